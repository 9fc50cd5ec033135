//! Which partitions a worker reads first, and how much of each: by priority, with a share for those that can wait.
//!
//! Deficit round robin over the priorities: a lower one that has to wait is credited with its share of what the others read, and reads as
//! much as its credit. Where nothing waits above it, it may read a whole turn. So no share is lost, none is exceeded while others have
//! work, and what comes in above waits for a turn of those below at most. It knows neither events nor time: numbers go in, an order comes out.

use crate::config::Priority;

/// The most events of one priority in one round of a worker: what a stream of higher priority waits for. Large enough for full batches,
/// small enough to be over in about a millisecond.
const TURN: usize = 1024;

/// Shares are in millionths.
const WHOLE: u64 = 1_000_000;

/// A partition that is read: the worker's task, and which of its partitions.
pub type Place = (usize, usize);

/// What was read of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Events.
    pub events: usize,
    /// There is more: it stopped only because it had as much as it might.
    pub more: bool,
}

/// Whose turn it is.
pub struct Turns {
    /// The share of each priority, in millionths of all events.
    floor: u64,
    /// The highest first.
    ranks: Vec<Rank>,
}

/// The partitions of one priority.
struct Rank {
    priority: Priority,
    places: Vec<Place>,
    /// The place that is next; all get the same chance.
    next: usize,
    /// Events that it may read though others wait, in millionths of one.
    credit: u64,
}

impl Turns {
    /// Turns for these partitions; `None` where all are of one priority, and so need none.
    pub fn new(floor: u32, places: impl Iterator<Item = (Priority, Place)>) -> Option<Turns> {
        let mut ranks: Vec<Rank> = Vec::new();
        for (priority, place) in places {
            match ranks.iter_mut().find(|rank| rank.priority == priority) {
                Some(rank) => rank.places.push(place),
                None => ranks.push(Rank { priority, places: vec![place], next: 0, credit: 0 }),
            }
        }
        ranks.sort_by_key(|rank| rank.priority);
        (ranks.len() > 1).then_some(Turns { floor: floor.into(), ranks })
    }

    /// One round: `read` is called for every partition once, with the most events that it may take; 0 for one whose turn it is not.
    pub fn round<E>(&mut self, mut read: impl FnMut(Place, usize) -> Result<Taken, E>) -> Result<(), E> {
        let mut others_wait = false;
        for at in 0..self.ranks.len() {
            let Some(rank) = self.ranks.get_mut(at) else { continue };
            let most = if others_wait { (rank.credit / WHOLE) as usize } else { TURN };
            let (taken, more) = rank.take(most, &mut read)?;
            rank.credit = if more { rank.credit.saturating_sub(taken as u64 * WHOLE) } else { 0 };
            others_wait |= more;
            self.earn(at, taken);
        }
        Ok(())
    }

    /// All others are credited with their share of what one has read.
    fn earn(&mut self, reader: usize, events: usize) {
        let share = events as u64 * WHOLE * self.floor / (WHOLE - self.floor);
        for (_, rank) in self.ranks.iter_mut().enumerate().filter(|(at, _)| *at != reader) {
            rank.credit = (rank.credit + share).min(TURN as u64 * WHOLE);
        }
    }
}

impl Rank {
    /// Reads up to `most` events, from the partition on whose turn it is; returns how many, and whether there are more.
    fn take<E>(&mut self, most: usize, read: &mut impl FnMut(Place, usize) -> Result<Taken, E>) -> Result<(usize, bool), E> {
        let (count, first) = (self.places.len(), self.next);
        let (mut left, mut more) = (most, false);
        for place in (0..count).filter_map(|i| self.places.get((first + i) % count)) {
            let taken = read(*place, left)?;
            if left == 0 {
                // Nobody has looked: what is not known to be empty counts as waiting.
                more = true;
            } else {
                self.next = (self.next + 1) % count;
                more |= taken.more;
                left -= taken.events.min(left);
            }
        }
        Ok((most - left, more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    const FLOOR: u32 = 50_000;
    const EVER: usize = usize::MAX / 2;

    /// Queues by place, and what has been read of each, in order.
    struct Queues {
        waiting: BTreeMap<Place, usize>,
        read: Vec<(Place, usize)>,
    }

    fn queues(waiting: &[(Place, usize)]) -> Queues {
        Queues { waiting: waiting.iter().copied().collect(), read: Vec::new() }
    }

    impl Queues {
        fn round(&mut self, turns: &mut Turns) {
            let done: Result<(), Infallible> = turns.round(|place, most| {
                let waiting = self.waiting.get_mut(&place).unwrap();
                let events = most.min(*waiting);
                *waiting -= events;
                if events > 0 {
                    self.read.push((place, events));
                }
                Ok(Taken { events, more: most > 0 && *waiting > 0 })
            });
            done.unwrap();
        }

        fn sum(&self, place: Place) -> usize {
            self.read.iter().filter(|(at, _)| *at == place).map(|(_, events)| events).sum()
        }
    }

    const HIGH: Place = (0, 0);
    const NORMAL: Place = (0, 1);
    const LOW: Place = (1, 0);

    fn three(floor: u32) -> Turns {
        Turns::new(floor, [(Priority::Low, LOW), (Priority::High, HIGH), (Priority::Normal, NORMAL)].into_iter()).unwrap()
    }

    #[test]
    fn partitions_of_one_priority_need_no_turns() {
        assert!(Turns::new(FLOOR, [(Priority::Low, HIGH), (Priority::Low, LOW)].into_iter()).is_none());
        assert!(Turns::new(FLOOR, std::iter::empty()).is_none());
    }

    #[test]
    fn what_is_of_high_priority_is_read_first_and_the_others_get_their_share() {
        for floor in [10_000, FLOOR, 200_000, 333_333] {
            let (mut turns, mut queues) = (three(floor), queues(&[(HIGH, EVER), (NORMAL, EVER), (LOW, EVER)]));
            queues.round(&mut turns);
            assert_eq!(queues.read[0], (HIGH, TURN));
            (0..1000).for_each(|_| queues.round(&mut turns));
            let all: usize = queues.read.iter().map(|(_, events)| events).sum();
            for place in [NORMAL, LOW] {
                let share = queues.sum(place) as f64 / all as f64;
                assert!((share * 1e6 - f64::from(floor)).abs() < 2_000.0, "{place:?} got {share} of a floor of {floor}");
            }
        }
    }

    #[test]
    fn what_nobody_above_needs_goes_to_those_below() {
        let (mut turns, mut queues) = (three(FLOOR), queues(&[(HIGH, 0), (NORMAL, 0), (LOW, EVER)]));
        (0..10).for_each(|_| queues.round(&mut turns));
        assert_eq!(queues.sum(LOW), 10 * TURN);
        queues.waiting.insert(NORMAL, EVER);
        (0..1000).for_each(|_| queues.round(&mut turns));
        assert!((50..=60).contains(&((queues.sum(LOW) - 10 * TURN) * 1000 / queues.sum(NORMAL))));
    }

    #[test]
    fn what_comes_in_above_waits_for_a_turn_of_those_below_and_no_longer() {
        let (mut turns, mut queues) = (three(FLOOR), queues(&[(HIGH, 0), (NORMAL, EVER), (LOW, EVER)]));
        for round in 0..1000 {
            // Comes in anywhere between two rounds.
            queues.waiting.insert(HIGH, round % 7);
            let before = queues.read.len();
            queues.round(&mut turns);
            let of_round = &queues.read[before..];
            let between: usize = of_round.iter().filter(|(place, _)| *place != HIGH).map(|(_, events)| events).sum();
            assert!(between <= TURN + TURN / 10, "{between} events between two looks at what is of high priority");
            assert!(round % 7 == 0 || of_round[0] == (HIGH, round % 7));
        }
    }

    #[test]
    fn equals_take_turns_however_little_there_is_for_them() {
        let lows: Vec<Place> = (0..5).map(|task| (task, 1)).collect();
        let places = lows.iter().map(|place| (Priority::Low, *place)).chain([(Priority::High, HIGH)]);
        let mut turns = Turns::new(FLOOR, places).unwrap();
        let mut waiting: Vec<(Place, usize)> = lows.iter().map(|place| (*place, EVER)).collect();
        waiting.push((HIGH, EVER));
        let mut queues = queues(&waiting);
        (0..500).for_each(|_| queues.round(&mut turns));
        let sums: Vec<usize> = lows.iter().map(|place| queues.sum(*place)).collect();
        let (least, most) = (sums.iter().min().unwrap(), sums.iter().max().unwrap());
        assert!(most - least <= TURN / 10, "{sums:?}");
    }

    #[test]
    fn a_share_that_was_not_needed_is_not_saved_up() {
        let (mut turns, mut queues) = (three(FLOOR), queues(&[(HIGH, EVER), (NORMAL, 0), (LOW, 0)]));
        (0..1000).for_each(|_| queues.round(&mut turns));
        queues.waiting.insert(LOW, EVER);
        let before = queues.read.len();
        queues.round(&mut turns);
        let low: usize = queues.read[before..].iter().filter(|(place, _)| *place == LOW).map(|(_, events)| events).sum();
        assert!(low <= TURN / 10, "{low}");
    }

    #[test]
    fn the_order_is_the_same_each_time() {
        let run = || {
            let (mut turns, mut queues) = (three(FLOOR), queues(&[(HIGH, 50_000), (NORMAL, 3_000), (LOW, 80_000)]));
            (0..300).for_each(|_| queues.round(&mut turns));
            assert!(queues.waiting.values().all(|left| *left == 0));
            queues.read
        };
        assert_eq!(run(), run());
    }
}
