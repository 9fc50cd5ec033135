//! The first of all by a field of what others say of them: told whenever another one is first, second, or last among them.

use sangam_sdk::*;

/// Somebody and how much of it.
#[event]
pub struct Leader {
    /// Who.
    pub key: String,
    /// The field.
    pub value: f64,
}

/// The first of all.
#[event]
pub struct Leaders {
    /// The largest first; of equal ones the first in the alphabet.
    pub leaders: Vec<Leader>,
}

/// What is remembered: those that lead. What is said of somebody only grows, so that the others cannot lead without being heard of again.
#[state]
pub struct Known {
    /// By name, with the field.
    pub leaders: Vec<(String, f64)>,
}

/// The configuration.
#[config]
pub struct Settings {
    /// The field; it must only grow.
    pub by: String,
    /// How many lead.
    #[config(default = 5usize)]
    pub most: usize,
}

#[operator(keyed)]
impl Settings {
    /// Who, and the field.
    pub fn fields(&self) -> Vec<FieldPath> {
        vec![FieldPath::required("key"), FieldPath::required(&self.by)]
    }

    /// Hears of somebody.
    pub fn on_event(&self, row: Row<'_>, known: &mut Known) -> Result<Option<Leaders>> {
        let (key, value) = (row.str(0)?, row.f64(1)?);
        let mut leaders = known.leaders.clone();
        leaders.retain(|(name, _)| name != key);
        let place = leaders.partition_point(|(name, most)| *most > value || (*most == value && name.as_str() < key));
        leaders.insert(place, (key.to_owned(), value));
        leaders.truncate(self.most);
        let moved = !leaders.iter().map(|(name, _)| name).eq(known.leaders.iter().map(|(name, _)| name));
        known.leaders = leaders;
        let told = known.leaders.iter().map(|(key, value)| Leader { key: key.clone(), value: *value });
        Ok(moved.then(|| Leaders { leaders: told.collect() }))
    }
}
