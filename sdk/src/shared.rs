//! The broadcast state of one instance: read from the first slot of a frame, and kept until other bytes come.
//!
//! The bytes travel with every frame, as guest memory is scratch; but to compare them costs a hundredth of decoding them.

use crate::Result;
use crate::state::State;
use crate::stored::{self, Head};

/// A broadcast state, decoded.
#[derive(Debug)]
pub(crate) struct Shared<S> {
    state: S,
    /// The bytes that it was decoded from, or encoded to; `None` when they are not known.
    bytes: Option<Vec<u8>>,
    /// It has changed since.
    changed: bool,
}

impl<S: State> Shared<S> {
    pub(crate) fn new() -> Self {
        Shared { state: S::default(), bytes: Some(Vec::new()), changed: false }
    }

    /// Begins a batch with what the host keeps.
    pub(crate) fn start(&mut self, bytes: Option<&[u8]>) -> Result<()> {
        // What a batch has changed that then came to nothing is not to be trusted.
        let known = self.bytes.as_deref().filter(|_| !self.changed);
        let bytes = bytes.unwrap_or(&[]);
        if known != Some(bytes) {
            self.bytes = None;
            self.state = if bytes.is_empty() { S::default() } else { stored::read(bytes)? };
            self.bytes = Some(bytes.to_vec());
        }
        self.changed = false;
        Ok(())
    }

    pub(crate) fn state(&self) -> &S {
        &self.state
    }

    /// The state, to be changed.
    pub(crate) fn change(&mut self) -> &mut S {
        self.changed = true;
        &mut self.state
    }

    /// Ends a batch: the bytes to keep, where they are news; none at all where the state is that of the beginning.
    pub(crate) fn finish(&mut self) -> Option<Option<&[u8]>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let (mut bytes, mut blank) = (Vec::new(), Vec::new());
        Head { version: S::VERSION, used: None }.append(&mut bytes);
        let head = bytes.len();
        self.state.encode(&mut bytes);
        S::default().encode(&mut blank);
        if bytes.get(head..) == Some(&blank) {
            bytes.clear();
        }
        if self.bytes.as_ref() == Some(&bytes) {
            return None;
        }
        let bytes: &[u8] = self.bytes.insert(bytes);
        Some((!bytes.is_empty()).then_some(bytes))
    }
}
