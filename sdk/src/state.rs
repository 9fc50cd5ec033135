//! What an operator remembers for a key. `#[state]` implements it; the encoding is positional, the names live in the manifest.

use std::collections::BTreeMap;

use sangam_protocol::msgpack::Reader;

use crate::field::{Encode, Field};
use crate::ttl::Ttl;
use crate::wrong::Wrong;
use crate::{Error, Result};

/// The state of one key. Equal to `Default` means: nothing to remember, and the host deletes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a state",
    label = "an operator takes its state by `&mut`",
    note = "mark the struct with #[state]"
)]
pub trait State: Default + Clone + Encode + for<'a> Field<'a> + 'static {
    /// The schema in the manifest, as JSON.
    const SCHEMA: &'static str;
    /// The version of its schema. A state's encoding begins with an array; that of another version than 1 has a head before it.
    const VERSION: u32 = 1;
    /// How long it lives, if not for ever.
    const TTL: Option<Ttl> = None;
    /// Whether it has [`crate::Map`] or [`crate::List`] fields.
    #[doc(hidden)]
    const HANDLES: bool = false;

    /// Makes this state from the bytes of an earlier version, `#[state(version = 2, migrate = from_old)]`.
    ///
    /// # Errors
    /// A fault, where it does not know that version.
    fn migrate(version: u32, _bytes: &[u8]) -> Result<Self> {
        Err(Error::Fault(format!(
            "the stored state has version {version}, this build has version {0} and no way from one to the other: \
             write #[state(version = {0}, migrate = from_old)]",
            Self::VERSION
        )))
    }

    /// Reads a state from its bytes: in a migration, that of the earlier version.
    ///
    /// ```
    /// use sangam_sdk::*;
    ///
    /// #[state] struct Before { count: u32 }
    /// #[state(version = 2, migrate = from_old)] struct Seen { count: u64, first: Option<Millis> }
    ///
    /// fn from_old(_version: u32, bytes: &[u8]) -> Result<Seen> {
    ///     Ok(Seen { count: Before::from_bytes(bytes)?.count.into(), first: None })
    /// }
    ///
    /// assert_eq!(Seen::migrate(1, &[0x91, 7]).unwrap().count, 7);
    /// ```
    ///
    /// # Errors
    /// A fault, where the bytes are not such a state.
    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::decode(&mut Reader::new(bytes)).map_err(|wrong| Error::Fault(format!("the stored state cannot be read: {}", wrong.reason())))
    }

    /// Ties its handles to the cells of a slot.
    #[doc(hidden)]
    fn bind_all(&mut self, _slot: u32) {}

    #[doc(hidden)]
    fn settle_all(&mut self, _slot: u32) -> Result<()> {
        Ok(())
    }

    #[doc(hidden)]
    fn own_all(&mut self, _cells: &BTreeMap<Vec<u8>, Vec<u8>>) {}
}

/// No state.
impl State for () {
    const SCHEMA: &'static str = "null";
}

impl<'a> Field<'a> for () {
    const KIND: &'static str = "any";
    fn decode(_reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        Ok(())
    }
}

impl Encode for () {
    fn encode(&self, _out: &mut Vec<u8>) {}
}
