//! Records in memory: one after the other in one buffer.

/// Which events, and how much event time passes from one to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events {
    /// Payments or orders.
    pub kind: Kind,
    /// Microseconds of event time per event.
    pub step_us: u64,
}

/// What the events are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Payments.
    Payments,
    /// Orders.
    Orders,
}

impl Events {
    /// 5 000 payments per second of event time.
    pub const PAYMENTS: Events = Events { kind: Kind::Payments, step_us: 200 };
    /// 500 payments per second of event time.
    pub const SLOW_PAYMENTS: Events = Events { kind: Kind::Payments, step_us: 2000 };
    /// 5 000 orders per second of event time.
    pub const ORDERS: Events = Events { kind: Kind::Orders, step_us: 200 };

    /// The field that holds an event's time, in milliseconds.
    pub fn time_field(self) -> &'static str {
        match self.kind {
            Kind::Payments => "timestamp",
            Kind::Orders => "ts",
        }
    }
}

/// Records in memory.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Where each record ends.
    ends: Vec<u32>,
}

impl Frames {
    /// Appends a record; `write` appends its bytes.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len() as u32);
    }

    /// Record `i`.
    #[inline]
    pub fn get(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.bytes[start as usize..self.ends[i] as usize]
    }

    /// The records in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| &self.bytes[std::mem::replace(&mut start, end as usize)..end as usize])
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all records.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}
