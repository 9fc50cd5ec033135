//! What the operator emits: maps whose names come from the configuration.

use sangam_protocol::msgpack::write;
use sangam_sdk::*;

/// A map that is written field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    fields: usize,
    bytes: Vec<u8>,
}

impl Record {
    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Encode) -> Record {
        self.fields += 1;
        write::str(&mut self.bytes, name);
        value.encode(&mut self.bytes);
        self
    }

    /// Adds a list of maps.
    #[must_use]
    pub fn with_all(mut self, name: &str, values: impl ExactSizeIterator<Item = Record>) -> Record {
        self.fields += 1;
        write::str(&mut self.bytes, name);
        write::array(&mut self.bytes, values.len());
        values.for_each(|value| value.encode(&mut self.bytes));
        self
    }
}

impl Encode for Record {
    fn encode(&self, out: &mut Vec<u8>) {
        write::map(out, self.fields);
        out.extend_from_slice(&self.bytes);
    }
}

impl Payload for Record {
    fn leave_by(self, port: u32, out: &mut Emitter<'_>) -> Result<()> {
        out.value(port, |buffer| self.encode(buffer));
        Ok(())
    }
}
