//! When something that waits is due.

use sangam_protocol::Millis;

/// `span` milliseconds after `time`, and never the very end of time: no batch comes after that, in which such a timer could fire.
pub(crate) fn after(time: Millis, span: Millis) -> Millis {
    time.saturating_add(span).min(Millis::MAX - 1)
}
