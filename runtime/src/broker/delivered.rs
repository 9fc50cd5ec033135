//! Names of records that have been delivered and are not committed yet: when the same work is done again, they are left out.
//!
//! It lives as long as the process. After a crash the receiver has to tell repeats itself.

use std::collections::BTreeSet;

/// The names.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    names: BTreeSet<String>,
}

/// The most names that are kept; a commit has far fewer. Beyond, records may be repeated.
const NAMES_MAX: usize = 100_000;

impl Delivered {
    pub(super) fn holds(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(super) fn add(&mut self, name: &str) {
        if self.names.len() < NAMES_MAX {
            self.names.insert(name.to_owned());
        }
    }

    /// They are committed: nobody will do their work again.
    pub(super) fn forget(&mut self, names: &[String]) {
        for name in names {
            self.names.remove(name);
        }
    }
}
