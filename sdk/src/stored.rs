//! What stands in the store for a key: the state's bytes, behind a head where there is more to know of them.
//!
//! When a state expires is decided in `ttl`.

use sangam_protocol::Millis;
use sangam_protocol::msgpack::Reader;
pub(crate) use sangam_protocol::stored::Head;

use crate::state::State;
use crate::wrong::Wrong;
use crate::{Error, Result};

/// When a stored state was last used, where it says so.
pub(crate) fn used(bytes: &[u8]) -> Option<Millis> {
    Head::read(&mut Reader::new(bytes)).ok()?.used
}

/// Reads a stored state, migrated where it is of an earlier version.
pub(crate) fn read<S: State>(bytes: &[u8]) -> Result<S> {
    let mut reader = Reader::new(bytes);
    let head = Head::read(&mut reader).map_err(|why| misfit(&why.into()))?;
    match head.version {
        version if version == S::VERSION => S::decode(&mut reader).map_err(|wrong| misfit(&wrong)),
        version if version < S::VERSION => S::migrate(version, reader.rest()),
        newer => Err(Error::Fault(format!(
            "the stored state has version {newer}, this build knows versions up to {}: run the newer build",
            S::VERSION
        ))),
    }
}

#[cold]
fn misfit(wrong: &Wrong) -> Error {
    Error::Fault(format!("the stored state does not fit this version of the operator: {}", wrong.reason()))
}
