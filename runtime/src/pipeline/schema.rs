//! Which version of each operator's state is in the store, and whether a build may go on from there.
//!
//! It reads no state: a build that migrates does so itself, key by key, when it first sees one. So from its first commit on there may be
//! state of its version, and a build of an earlier version is refused.

use super::PipelineError;
use crate::store::{Changes, Store, StoreError};
use crate::task::{SCHEMAS, Topology};
use sangam_protocol::manifest::{Manifest, StateSchema};

/// Checks the state of every operator against the build that is to run, and remembers the versions.
///
/// # Errors
/// When an operator's state is of another version and the build does not migrate it; when the store fails.
pub fn check_all(topology: &Topology, store: &dyn Store) -> Result<(), PipelineError> {
    let mut changes = Changes::default();
    for node in &topology.operators {
        let check = check(&node.name, node.plugin.manifest(), store)?;
        check.verdict().map_err(|why| PipelineError::Schema { operator: node.name.to_string(), why })?;
        check.remember(&mut changes);
    }
    if !changes.is_empty() {
        store.write(&changes)?;
    }
    Ok(())
}

/// An operator's state and a build that is to go on from it.
pub struct Check<'a> {
    operator: &'a str,
    stored: Option<u32>,
    new: Option<&'a StateSchema>,
}

/// Looks up what is stored for an operator.
pub fn check<'a>(operator: &'a str, manifest: &'a Manifest, store: &dyn Store) -> Result<Check<'a>, StoreError> {
    let stored = store.get(SCHEMAS, operator.as_bytes())?.and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    Ok(Check { operator, stored, new: manifest.state.as_ref() })
}

/// The same for state that is elsewhere, of a version that is known.
pub fn check_version<'a>(operator: &'a str, stored: Option<u32>, manifest: &'a Manifest) -> Check<'a> {
    Check { operator, stored, new: manifest.state.as_ref() }
}

impl Check<'_> {
    /// Whether the build may run; the error says what to do instead.
    pub fn verdict(&self) -> Result<(), String> {
        let (Some(stored), Some(new)) = (self.stored, self.new) else { return Ok(()) };
        let StateSchema { name, version, migrates, .. } = new;
        if *version < stored {
            return Err(format!(
                "its state `{name}` has schema version {version}, the state at hand has version {stored} already: run the newer build, or start \
                 afresh with another `name` (and another `data`, where the file sets one)"
            ));
        }
        if *version > stored && !migrates {
            return Err(format!(
                "its state `{name}` has schema version {version}, the state at hand has version {stored}, and the build does not say how to \
                 get from there: add `migrate = from_old` to #[state(version = {version})]"
            ));
        }
        Ok(())
    }

    /// Whether the build makes state that the one before it cannot read: there is no way back from it.
    pub fn raises(&self) -> bool {
        self.stored.zip(self.new).is_some_and(|(stored, new)| new.version > stored)
    }

    /// Adds the version that the build writes, where that is news.
    pub fn remember(&self, changes: &mut Changes) {
        if let Some(new) = self.new
            && self.stored != Some(new.version)
        {
            changes.put(SCHEMAS, self.operator.as_bytes(), &new.version.to_le_bytes());
        }
    }
}
