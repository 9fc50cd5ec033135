//! Cells of large state.
use sangam_protocol::effects::EffectsWriter;
pub(crate) fn start() {}
pub(crate) fn keep() {}
pub(crate) fn undo() {}
pub(crate) fn write(_out: &mut EffectsWriter) {}
