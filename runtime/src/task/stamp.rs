//! The stamp on an output: which build of which operator has made it, as a header of the record.
//!
//! It is made once per build; putting it on a record copies bytes and nothing more.

use crate::digest::short;
use crate::sandbox::Plugin;
use sangam_protocol::msgpack::{Error, Reader, write};
use std::sync::Arc;

/// The header of a build, ready to be put on records.
#[derive(Clone, Debug)]
pub struct Stamp {
    build: Arc<Plugin>,
    /// A MessagePack map of this header alone.
    alone: Arc<[u8]>,
}

/// The header: the operator's name, the version in the plugin's manifest, and the first twelve digits of its SHA-256.
pub const HEADER: &str = "sangam.version";

/// A map of one entry, in one byte.
const MAP_OF_ONE: usize = 1;

impl Stamp {
    /// The stamp of a build of an operator.
    pub fn new(operator: &str, build: &Arc<Plugin>) -> Stamp {
        let text = format!("{operator} {} {}", build.manifest().version, short(build.sha256()));
        let mut alone = Vec::new();
        write::map(&mut alone, 1);
        write::str(&mut alone, HEADER);
        write::bin(&mut alone, text.as_bytes());
        Stamp { build: Arc::clone(build), alone: alone.into() }
    }

    /// Whether it is the stamp of this build.
    pub fn is_of(&self, build: &Arc<Plugin>) -> bool {
        Arc::ptr_eq(&self.build, build)
    }

    /// The headers with this one behind them, in the place of an older one; `scratch` is for its memory only.
    pub fn put_on<'a>(&'a self, headers: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
        if headers.is_empty() {
            return &self.alone;
        }
        scratch.clear();
        match self.append_to(headers, scratch) {
            Ok(()) => scratch,
            // Sources and the check of effects let nothing in that cannot be read; the sink says what is wrong with it.
            Err(_) => headers,
        }
    }

    fn append_to(&self, headers: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let kept = each(headers, &mut |_, _| {})?;
        write::map(out, kept + 1);
        each(headers, &mut |name, value| {
            write::str(out, name);
            match value {
                Some(value) => write::bin(out, value),
                None => write::nil(out),
            }
        })?;
        out.extend_from_slice(self.alone.get(MAP_OF_ONE..).unwrap_or_default());
        Ok(())
    }
}

/// Hands each header but an older stamp to `keep`, and counts them.
fn each(headers: &[u8], keep: &mut dyn FnMut(&str, Option<&[u8]>)) -> Result<usize, Error> {
    let (mut reader, mut kept) = (Reader::new(headers), 0);
    for _ in 0..reader.map()? {
        let name = reader.str()?;
        let value = if reader.nil()? { None } else { Some(reader.bin()?) };
        if name != HEADER {
            keep(name, value);
            kept += 1;
        }
    }
    Ok(kept)
}
