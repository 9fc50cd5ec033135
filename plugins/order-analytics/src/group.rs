//! What a group has sold in a window, and which of two groups sells more.

use std::cmp::{Ordering, Reverse};

use sangam_sdk::*;

use crate::money::Cents;

/// Orders and what they were worth.
#[state]
pub struct Sold {
    /// Orders.
    pub orders: u64,
    /// Revenue in hundredths.
    pub cents: Cents,
}

impl Sold {
    /// Takes more in.
    pub fn add(&mut self, orders: u64, cents: Cents) {
        self.orders += orders;
        self.cents = self.cents.saturating_add(cents);
    }

    /// What is more than that.
    pub fn since(&self, before: &Sold) -> Sold {
        Sold { orders: self.orders - before.orders, cents: self.cents - before.cents }
    }
}

/// A group in a window.
#[state]
pub struct Group {
    /// A number made of the name, by which it is found among many.
    pub hash: u32,
    /// The values that tell it from others; none where the operator's key does.
    pub name: Vec<String>,
    /// What it has sold.
    pub sold: Sold,
    /// How much of that has been told.
    pub told: Sold,
    /// Which alerts it has caused: a bit for each rule.
    pub alerted: u64,
}

impl Group {
    /// Takes in what the same group has sold in another part of the window.
    pub fn merge(&mut self, other: &Group) {
        self.sold.add(other.sold.orders, other.sold.cents);
        self.told.add(other.told.orders, other.told.cents);
        self.alerted |= other.alerted;
    }
}

/// The number of a name. Names of different numbers differ; nothing but speed depends on how often equal ones do.
pub fn hash<'p>(parts: impl Iterator<Item = &'p str>) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = 0u64;
    for part in parts {
        for chunk in part.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(word, byte)| *word = *byte);
            hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR).rotate_left(29);
        }
        hash = (hash ^ (part.len() as u64 + 1)).wrapping_mul(FACTOR);
    }
    (hash >> 32) as u32
}

/// The order in which groups are kept.
fn kept(a: &Group, b: &Group) -> Ordering {
    a.hash.cmp(&b.hash).then_with(|| a.name.cmp(&b.name))
}

/// Adds groups to others, both in the order in which they are kept.
pub fn merge(groups: &mut Vec<Group>, more: Vec<Group>) {
    // A single order into many groups is the common case where windows overlap and do not share.
    if more.len() * 8 > groups.len() {
        groups.extend(more);
        groups.sort_by(kept);
        groups.dedup_by(|second, first| {
            let same = first.name == second.name;
            if same {
                first.merge(second);
            }
            same
        });
        return;
    }
    for group in more {
        match groups.binary_search_by(|known| kept(known, &group)) {
            Ok(place) => groups.get_mut(place).into_iter().for_each(|known| known.merge(&group)),
            Err(place) => groups.insert(place, group),
        }
    }
}

/// The larger revenue first; among equals the names decide.
pub fn by_revenue(a: &Group, b: &Group) -> Ordering {
    Reverse(a.sold.cents).cmp(&Reverse(b.sold.cents)).then_with(|| a.name.cmp(&b.name))
}

/// More orders first; among equals the names decide.
pub fn by_orders(a: &Group, b: &Group) -> Ordering {
    Reverse(a.sold.orders).cmp(&Reverse(b.sold.orders)).then_with(|| a.name.cmp(&b.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(list: &[(&str, u64, Cents)]) -> Vec<Group> {
        let group = |(name, orders, cents): &(&str, u64, Cents)| Group {
            hash: hash([*name].into_iter()),
            name: vec![(*name).to_owned()],
            sold: Sold { orders: *orders, cents: *cents },
            ..Group::default()
        };
        let mut groups: Vec<Group> = list.iter().map(group).collect();
        groups.sort_by(kept);
        groups
    }

    #[test]
    fn groups_of_two_parts_of_a_window_are_added_by_name() {
        let check = |some: &[(&str, u64, Cents)], more: &[(&str, u64, Cents)], expected: &[(&str, u64, Cents)]| {
            let mut merged = groups(some);
            merge(&mut merged, groups(more));
            assert_eq!(merged, groups(expected));
        };
        check(&[], &[], &[]);
        check(&[], &[("a", 1, 10)], &[("a", 1, 10)]);
        check(
            &[("a", 1, 10), ("c", 2, 20)],
            &[("a", 3, 5), ("b", 1, 1), ("d", 1, 1)],
            &[("a", 4, 15), ("b", 1, 1), ("c", 2, 20), ("d", 1, 1)],
        );
        let many: Vec<(String, u64, Cents)> = (10..40).map(|i| (format!("g{i}"), i, 1)).collect();
        let many: Vec<(&str, u64, Cents)> = many.iter().map(|(name, orders, cents)| (name.as_str(), *orders, *cents)).collect();
        let mut expected = many.clone();
        expected[5].1 += 7;
        expected.push(("z", 1, 1));
        check(&many, &[("g15", 7, 0), ("z", 1, 1)], &expected);
    }

    #[test]
    fn names_of_other_parts_have_other_numbers() {
        let names: [&[&str]; 9] =
            [&["a", "bc"], &["ab", "c"], &["", "abc"], &["abc", ""], &[], &[""], &["", ""], &["12345678", "9"], &["123456789"]];
        let numbers: std::collections::BTreeSet<u32> = names.iter().map(|name| hash(name.iter().copied())).collect();
        assert_eq!(numbers.len(), names.len());
        let many: std::collections::BTreeSet<u32> = (0..100_000).map(|i| hash([format!("customer-{i}").as_str()].into_iter())).collect();
        // By chance two numbers of 32 bits would be equal about once among so many.
        assert!(many.len() > 99_990, "{}", many.len());
    }

    #[test]
    fn the_name_decides_between_groups_that_sell_the_same() {
        let order = |rank: fn(&Group, &Group) -> Ordering| {
            let mut all = groups(&[("b", 1, 30), ("a", 1, 30), ("d", 9, 10), ("c", 2, 40)]);
            all.sort_by(rank);
            all.into_iter().map(|group| group.name.concat()).collect::<String>()
        };
        assert_eq!(order(by_revenue), "cabd");
        assert_eq!(order(by_orders), "dcab");
    }
}
