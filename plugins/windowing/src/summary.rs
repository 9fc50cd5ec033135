//! What a window emits: a map whose names come from the configuration.

use sangam_protocol::msgpack::write;
use sangam_sdk::*;

use crate::aggregate::Aggregates;
use crate::cell::Cell;

/// The result of one window of one key, already written: `{key, window_start, window_end, …}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary(Vec<u8>);

impl Summary {
    /// Writes a window's result. A key of several fields is an array of its parts.
    pub fn new(ctx: &Context, window: Window, aggregates: &Aggregates, cells: &[Cell]) -> Summary {
        let mut out = Vec::with_capacity(128);
        write::map(&mut out, 3 + aggregates.list.len());
        write::str(&mut out, "key");
        write_key(ctx, &mut out);
        write::str(&mut out, "window_start");
        write::i64(&mut out, window.start);
        write::str(&mut out, "window_end");
        write::i64(&mut out, window.end);
        for (i, aggregate) in aggregates.list.iter().enumerate() {
            write::str(&mut out, &aggregate.name);
            match cells.get(i) {
                Some(cell) => cell.write(aggregate.function, &mut out),
                None => Cell::new(aggregate.function).write(aggregate.function, &mut out),
            }
        }
        Summary(out)
    }
}

fn write_key(ctx: &Context, out: &mut Vec<u8>) {
    let parts: Vec<&str> = (0..).map_while(|i| ctx.key_part(i)).collect();
    if !parts.is_empty() {
        parts.encode(out);
    } else if let Ok(text) = std::str::from_utf8(ctx.key_bytes()) {
        write::str(out, text);
    } else {
        write::bin(out, ctx.key_bytes());
    }
}

impl Encode for Summary {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Payload for Summary {
    fn leave_by(self, port: u32, out: &mut Emitter<'_>) -> Result<()> {
        out.value(port, |buffer| self.encode(buffer));
        Ok(())
    }
}
