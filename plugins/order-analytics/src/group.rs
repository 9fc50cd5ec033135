//! Orders of one city and category in one window, and the order of groups by what they sold.

use std::cmp::Reverse;

use sangam_sdk::*;

/// What tells groups apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// The window's first millisecond.
    pub start: Millis,
    /// The city.
    pub city: String,
    /// The category.
    pub category: String,
}

impl CellKey for GroupKey {
    /// The window first, so that groups lie together by window; the city's length, so that no two pairs run together.
    fn append(&self, out: &mut Vec<u8>) {
        self.start.append(out);
        (self.city.len() as u32).append(out);
        self.city.append(out);
        self.category.append(out);
    }
}

impl OwnedCellKey for GroupKey {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (start, bytes) = bytes.split_at_checked(8)?;
        let (len, bytes) = bytes.split_at_checked(4)?;
        let (city, category) = bytes.split_at_checked(u32::read(len)? as usize)?;
        Some(GroupKey { start: Millis::read(start)?, city: String::read(city)?, category: String::read(category)? })
    }
}

/// What a group has sold.
#[state]
pub struct Group {
    /// Orders.
    pub orders: u64,
    /// Revenue in hundredths.
    pub cents: i64,
}

impl Group {
    /// Takes one order in.
    pub fn add(&mut self, cents: i64) {
        self.orders += 1;
        self.cents = self.cents.saturating_add(cents);
    }
}

/// The `most` groups with the largest revenue; among equals the alphabet decides.
pub fn top(mut groups: Vec<(GroupKey, Group)>, most: usize) -> Vec<(GroupKey, Group)> {
    groups.sort_by(|(a, sold), (b, more)| Reverse(sold.cents).cmp(&Reverse(more.cents)).then_with(|| a.cmp(b)));
    groups.truncate(most);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(city: &str, category: &str) -> GroupKey {
        GroupKey { start: -60_000, city: city.into(), category: category.into() }
    }

    #[test]
    fn no_two_groups_have_the_same_cell_and_each_can_be_read_back() {
        let keys = [key("a", "bc"), key("ab", "c"), key("", "abc"), key("abc", ""), key("", ""), key("पुणे", "चाय")];
        let cells: std::collections::BTreeSet<Vec<u8>> = keys
            .iter()
            .map(|key| {
                let mut cell = Vec::new();
                key.append(&mut cell);
                assert_eq!(GroupKey::read(&cell).as_ref(), Some(key));
                cell
            })
            .collect();
        assert_eq!(cells.len(), keys.len());
        assert_eq!(GroupKey::read(b"short"), None);
    }

    #[test]
    fn the_top_is_by_revenue_and_then_by_name() {
        let groups = |list: &[(&str, i64)]| {
            list.iter().map(|(city, cents)| (key(city, "x"), Group { orders: 1, cents: *cents })).collect::<Vec<_>>()
        };
        let check = |given: &[(&str, i64)], most: usize, expected: &[(&str, i64)]| assert_eq!(top(groups(given), most), groups(expected));
        check(&[("a", 1), ("b", 3), ("c", 2)], 2, &[("b", 3), ("c", 2)]);
        check(&[("b", 1), ("a", 1)], 2, &[("a", 1), ("b", 1)]);
        check(&[("a", 1)], 10, &[("a", 1)]);
        check(&[("a", 1)], 0, &[]);
        check(&[], 3, &[]);
    }
}
