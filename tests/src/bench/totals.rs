//! What a workload's output adds up to: the same for everyone who has done the work.

use sangam_protocol::msgpack::Reader;
use std::fmt;

/// What a workload's output adds up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records, without lists of the best.
    pub records: u64,
    /// Lists of the best.
    pub tops: u64,
    /// Sum of all counts.
    pub count: u64,
    /// Sum of all sums, in hundredths.
    pub cents: i64,
    /// Bytes of all records. They say nothing across implementations where numbers may be written in several ways.
    pub bytes: u64,
}

impl Totals {
    /// What two implementations must agree on. Bytes are left out where the output holds integers, which may be written in several ways.
    pub fn without_bytes(self) -> Totals {
        Totals { bytes: 0, ..self }
    }

    /// Adds a record as it was written: a map.
    ///
    /// # Errors
    /// When it is not one.
    pub fn add(&mut self, record: &[u8]) -> Result<(), sangam_protocol::msgpack::Error> {
        let mut reader = Reader::new(record);
        let mut top = false;
        for _ in 0..reader.map()? {
            match reader.str()? {
                "count" | "count_1h" => self.count += reader.u64()?,
                "sum" | "sum_1h" | "revenue" => self.cents = self.cents.wrapping_add(cents(reader.f64()?)),
                "top" => {
                    top = true;
                    reader.skip()?;
                }
                _ => reader.skip()?,
            }
        }
        if top {
            self.tops += 1;
        } else {
            self.records += 1;
        }
        self.bytes += record.len() as u64;
        Ok(())
    }
}

/// An amount in hundredths.
#[inline]
pub fn cents(amount: f64) -> i64 {
    (amount * 100.0).round() as i64
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { records, tops, count, cents, bytes } = self;
        write!(f, "records:{records},tops:{tops},count:{count},cents:{cents},bytes:{bytes}")
    }
}
