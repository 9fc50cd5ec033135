//! How many different values there are: exact up to 512, then a HyperLogLog of 4,096 registers, whose standard error is 1.6 %.
//!
//! What it holds depends on the set of values alone, not on their order or on how they were merged.

use sangam_protocol::msgpack::{Error, Reader, write};
use sangam_sdk::{Encode, Field, Wrong};

use crate::number::Number;

/// Different values that are counted exactly: as many bytes as the registers take then.
const EXACT: usize = 512;

/// Bits of a hash that choose a register.
const BITS: u32 = 12;

/// The set of values, as hashes or as registers.
#[derive(Clone, Debug, PartialEq)]
pub enum Distinct {
    /// The hashes, in order.
    Exact(Vec<u64>),
    /// For each register the longest run of zeroes that a hash had there, plus one.
    Registers(Vec<u8>),
}

impl Default for Distinct {
    fn default() -> Self {
        Distinct::Exact(Vec::new())
    }
}

impl Distinct {
    /// Takes one value in. A whole number is the same value whether it is written as an integer or not.
    pub fn take(&mut self, value: &[u8]) {
        self.insert(hash(value));
    }

    fn insert(&mut self, hash: u64) {
        match self {
            Distinct::Exact(hashes) => {
                let Err(place) = hashes.binary_search(&hash) else { return };
                hashes.insert(place, hash);
                if hashes.len() > EXACT {
                    let mut registers = vec![0; 1 << BITS];
                    hashes.iter().for_each(|hash| register(&mut registers, *hash));
                    *self = Distinct::Registers(registers);
                }
            }
            Distinct::Registers(registers) => register(registers, hash),
        }
    }

    /// Takes in another set.
    pub fn merge(&mut self, other: &Distinct) {
        match (&mut *self, other) {
            (_, Distinct::Exact(hashes)) => hashes.iter().for_each(|hash| self.insert(*hash)),
            (Distinct::Registers(registers), Distinct::Registers(more)) => {
                registers.iter_mut().zip(more).for_each(|(register, more)| *register = (*register).max(*more));
            }
            (Distinct::Exact(hashes), Distinct::Registers(more)) => {
                let mut registers = more.clone();
                hashes.iter().for_each(|hash| register(&mut registers, *hash));
                *self = Distinct::Registers(registers);
            }
        }
    }

    /// How many.
    pub fn estimate(&self) -> u64 {
        match self {
            Distinct::Exact(hashes) => hashes.len() as u64,
            Distinct::Registers(registers) => ertl(registers).round() as u64,
        }
    }
}

/// FNV-1a, and MurmurHash3's finalizer to spread it over all bits.
fn hash(value: &[u8]) -> u64 {
    let mut plain = Vec::new();
    let bytes = match Number::decode(&mut Reader::new(value)) {
        Ok(number) => {
            let whole = number.float();
            let int = if let Number::Int(int) = number {
                Some(int)
            } else {
                (whole == whole.trunc() && whole.abs() < 9e15).then_some(whole as i64)
            };
            int.map_or(number, Number::Int).encode(&mut plain);
            plain.as_slice()
        }
        Err(_) => value,
    };
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

fn register(registers: &mut [u8], hash: u64) {
    let run = ((hash << BITS) | (1 << (BITS - 1))).leading_zeros() as u8 + 1;
    if let Some(register) = registers.get_mut((hash >> (64 - BITS)) as usize) {
        *register = (*register).max(run);
    }
}

/// The estimate without tables of corrections: O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017), algorithm 6.
fn ertl(registers: &[u8]) -> f64 {
    let count = registers.len() as f64;
    let longest = (64 - BITS + 1) as usize;
    let mut counts = vec![0.0; longest + 1];
    for register in registers {
        if let Some(count) = counts.get_mut(*register as usize) {
            *count += 1.0;
        }
    }
    let share = |i: usize| counts.get(i).copied().unwrap_or(0.0) / count;
    let mut sum = count * tau(1.0 - share(longest));
    for i in (1..longest).rev() {
        sum = 0.5 * (sum + counts.get(i).copied().unwrap_or(0.0));
    }
    sum += count * sigma(share(0));
    0.5 / std::f64::consts::LN_2 * count * count / sum
}

fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// Binary: of as many bytes as there are registers, or of eight for each hash.
impl<'a> Field<'a> for Distinct {
    const KIND: &'static str = "bytes";

    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let registers = reader.bool()?;
        let bytes = reader.bin()?;
        if registers {
            return if bytes.len() == 1 << BITS { Ok(Distinct::Registers(bytes.to_vec())) } else { Err(Error::Range("registers").into()) };
        }
        let hashes = bytes.chunks_exact(8).filter_map(|chunk| chunk.try_into().ok().map(u64::from_be_bytes));
        Ok(Distinct::Exact(hashes.collect()))
    }
}

impl Encode for Distinct {
    fn encode(&self, out: &mut Vec<u8>) {
        write::bool(out, matches!(self, Distinct::Registers(_)));
        match self {
            Distinct::Registers(registers) => write::bin(out, registers),
            Distinct::Exact(hashes) => {
                write::bin_head(out, hashes.len() * 8);
                hashes.iter().for_each(|hash| out.extend_from_slice(&hash.to_be_bytes()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sangam_sdk::Value;

    use super::*;

    fn of(total: u64) -> Distinct {
        let mut distinct = Distinct::default();
        for i in 0..total {
            distinct.take(Value::from(&i).bytes());
            distinct.take(Value::from(&i).bytes());
        }
        distinct
    }

    #[test]
    fn up_to_512_values_are_counted_exactly() {
        for total in [0, 1, 100, 512] {
            assert_eq!(of(total).estimate(), total);
        }
    }

    #[test]
    fn beyond_that_the_error_stays_within_three_times_the_standard_error() {
        for total in [513, 2_000, 10_000, 20_000, 200_000] {
            let estimate = of(total).estimate() as f64;
            assert!((estimate / total as f64 - 1.0).abs() < 3.0 * 0.0163, "{total}: {estimate}");
        }
    }

    #[test]
    fn text_and_numbers_are_different_values() {
        let mut distinct = Distinct::default();
        for value in [Value::from(&"1".to_owned()), Value::from(&1u64), Value::from(&1.0f64), Value::from(&true), Value::from(&1.5f64)] {
            distinct.take(value.bytes());
        }
        assert_eq!(distinct.estimate(), 4);
    }
}
