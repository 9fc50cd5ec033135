//! A payer's payments one by one, in order of event time: what sums, counts and repetitions are read from exactly.
//!
//! It does not bound itself: what is too much goes to [`crate::track`].

use sangam_protocol::msgpack::{Error as Malformed, Reader, write};
use sangam_sdk::{Encode, Field, Millis, Money, Wrong};

/// Payments and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Payments.
    pub count: u64,
    /// Their sum.
    pub sum: Money,
}

impl Total {
    /// Both together.
    pub fn and(self, other: Total) -> Total {
        Total { count: self.count + other.count, sum: self.sum + other.sum }
    }
}

/// One payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Event time.
    pub time: Millis,
    /// How much.
    pub amount: Money,
}

/// Payments in order of time; of the same time, in order of arrival.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History(Vec<Payment>);

impl History {
    /// Adds a payment at its place in time.
    pub fn add(&mut self, payment: Payment) {
        let place = self.0.partition_point(|known| known.time <= payment.time);
        self.0.insert(place, payment);
    }

    /// Payments after `after` and up to `until`.
    pub fn between(&self, after: Millis, until: Millis) -> &[Payment] {
        let end = self.0.partition_point(|payment| payment.time <= until);
        let (before, _) = self.0.split_at(end);
        before.split_at(before.partition_point(|payment| payment.time <= after)).1
    }

    /// How many they are and how much, after `after` and up to `until`.
    pub fn total(&self, after: Millis, until: Millis) -> Total {
        let payments = self.between(after, until);
        Total { count: payments.len() as u64, sum: payments.iter().map(|payment| payment.amount).sum() }
    }

    /// Forgets payments up to `until`.
    pub fn forget(&mut self, until: Millis) {
        if self.0.first().is_some_and(|oldest| oldest.time <= until) {
            self.0.drain(..self.0.partition_point(|payment| payment.time <= until));
        }
    }

    /// Takes out the oldest ones, until `most` are left.
    pub fn take_oldest(&mut self, most: usize) -> impl Iterator<Item = Payment> + '_ {
        self.0.drain(..self.0.len().saturating_sub(most))
    }

    /// How many it holds.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// One list of numbers: a time, an amount, then for each further payment how much later it was, and its amount.
impl Encode for History {
    fn encode(&self, out: &mut Vec<u8>) {
        write::array(out, 2 * self.0.len());
        let mut before = 0;
        for payment in &self.0 {
            write::i64(out, payment.time.wrapping_sub(before));
            write::i64(out, payment.amount.hundredths());
            before = payment.time;
        }
    }
}

impl<'a> Field<'a> for History {
    const KIND: &'static str = "array";
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let numbers = reader.array()?;
        if numbers % 2 != 0 {
            return Err(Malformed::Range("times and amounts in pairs").into());
        }
        // The length is a claim: a number takes at least a byte.
        let mut payments = Vec::with_capacity((numbers / 2).min(reader.rest().len()));
        let mut time: Millis = 0;
        for _ in 0..numbers / 2 {
            time = time.wrapping_add(i64::decode(reader)?);
            payments.push(Payment { time, amount: Money::decode(reader)? });
        }
        Ok(History(payments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(payments: &[(Millis, i64)]) -> History {
        let mut history = History::default();
        for (time, hundredths) in payments {
            history.add(Payment { time: *time, amount: Money::of_hundredths(*hundredths) });
        }
        history
    }

    #[test]
    fn a_span_is_open_at_its_beginning_and_closed_at_its_end() {
        let history = of(&[(10, 1), (30, 4), (20, 2), (20, 8)]);
        let check = |after: Millis, until: Millis, count: u64, sum: i64| {
            assert_eq!(history.total(after, until), Total { count, sum: Money::of_hundredths(sum) }, "{after} to {until}");
        };
        check(Millis::MIN, Millis::MAX, 4, 15);
        check(9, 30, 4, 15);
        check(10, 30, 3, 14);
        check(10, 29, 2, 10);
        check(20, 20, 0, 0);
        check(19, 20, 2, 10);
        check(30, 10, 0, 0);
    }

    #[test]
    fn payments_of_one_time_stay_in_order_of_arrival() {
        let amounts = |history: &History| history.between(0, 100).iter().map(|payment| payment.amount.hundredths()).collect::<Vec<_>>();
        assert_eq!(amounts(&of(&[(20, 1), (20, 2), (10, 3), (20, 4)])), [3, 1, 2, 4]);
    }

    #[test]
    fn the_oldest_ones_go_first() {
        let mut history = of(&[(10, 1), (20, 2), (30, 3), (40, 4)]);
        history.forget(9);
        assert_eq!(history.len(), 4);
        history.forget(10);
        assert_eq!(history, of(&[(20, 2), (30, 3), (40, 4)]));
        assert_eq!(history.take_oldest(2).map(|payment| payment.time).collect::<Vec<_>>(), [20]);
        assert_eq!(history.take_oldest(2).count(), 0);
        history.forget(Millis::MAX);
        assert_eq!(history, History::default());
    }

    #[test]
    fn what_is_stored_comes_back() {
        for history in [of(&[]), of(&[(5, 100)]), of(&[(-7, 1), (1_700_000_000_000, 0), (1_700_000_000_001, i64::MAX)])] {
            let mut bytes = Vec::new();
            history.encode(&mut bytes);
            assert_eq!(History::decode(&mut Reader::new(&bytes)).unwrap(), history);
        }
        let extremes = of(&[(Millis::MIN, 1), (Millis::MAX, 2)]);
        let mut bytes = Vec::new();
        extremes.encode(&mut bytes);
        assert_eq!(History::decode(&mut Reader::new(&bytes)).unwrap(), extremes);
        assert!(History::decode(&mut Reader::new(b"\x91\x05")).is_err());
        assert!(History::decode(&mut Reader::new(b"\xdd\xff\xff\xff\xfe\x05")).is_err());
    }
}
