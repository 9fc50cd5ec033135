//! What an operator remembers for a key. `#[state]` implements it; the encoding is positional, the names live in the manifest.

use std::collections::BTreeMap;

use sangam_protocol::msgpack::Reader;

use crate::field::{Encode, Field};
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
    /// Whether it has [`crate::Map`] or [`crate::List`] fields.
    #[doc(hidden)]
    const HANDLES: bool = false;

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

/// Reads a state from its bytes.
pub(crate) fn read<S: State>(bytes: &[u8]) -> Result<S> {
    S::decode(&mut Reader::new(bytes))
        .map_err(|wrong| Error::Fault(format!("the stored state does not fit this version of the operator: {}", wrong.reason())))
}
