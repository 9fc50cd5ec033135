//! How an operator says that something went wrong; sorted by what happens next to the event.

use std::fmt;

/// What happens to an event that an operator does not process.
///
/// Anything that is a [`std::error::Error`] becomes a [`Error::Fault`] under `?`: an error that the author has not thought about is a
/// fault of the operator, not of the event.
///
/// ```
/// use sangam_sdk::*;
///
/// fn port(text: &str) -> Result<u16> {
///     Ok(text.parse()?)
/// }
/// assert!(matches!(port("many"), Err(Error::Fault(_))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The event is refused and goes to the dead letters with this reason; the rest of the batch goes on.
    Reject(String),
    /// The event came after everything that it could change had been closed.
    Late(String),
    /// The operator has no use for the event: counted and gone.
    Drop(String),
    /// The event is fine and none of the operator's business: it counts as processed, and nothing of it remains.
    Ignore,
    /// The operator failed: the batch leaves no trace and is tried again; if it keeps failing, the pipeline's ladder decides.
    Fault(String),
}

/// A result whose error says what happens to the event.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Refuses the event: it goes to the dead letters with this reason.
///
/// ```
/// use sangam_sdk::*;
///
/// fn check(amount: f64) -> Result<f64> {
///     if amount < 0.0 { Err(reject("a negative amount")) } else { Ok(amount) }
/// }
/// assert_eq!(check(-1.0), Err(Error::Reject("a negative amount".into())));
/// ```
pub fn reject(why: impl Into<String>) -> Error {
    Error::Reject(why.into())
}

/// Says that the event came too late to change anything.
///
/// ```
/// assert_eq!(sangam_sdk::late("closed"), sangam_sdk::Error::Late("closed".into()));
/// ```
pub fn late(why: impl Into<String>) -> Error {
    Error::Late(why.into())
}

/// Drops the event: counted, and gone without a dead letter.
///
/// ```
/// assert_eq!(sangam_sdk::discard("a test event"), sangam_sdk::Error::Drop("a test event".into()));
/// ```
pub fn discard(why: impl Into<String>) -> Error {
    Error::Drop(why.into())
}

/// Passes the event over: it counts as processed, and nothing of it remains. What an `add` of a window returns for an event that does not belong
/// into it; an operator that emits what it likes emits nothing instead.
///
/// ```
/// assert_eq!(sangam_sdk::ignore(), sangam_sdk::Error::Ignore);
/// ```
pub fn ignore() -> Error {
    Error::Ignore
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, why) = match self {
            Error::Reject(why) => ("rejected", why),
            Error::Late(why) => ("late", why),
            Error::Drop(why) => ("dropped", why),
            Error::Ignore => return f.write_str("ignored"),
            Error::Fault(why) => ("fault", why),
        };
        f.write_str(what)?;
        f.write_str(": ")?;
        f.write_str(why)
    }
}

// `Error` itself is no `std::error::Error`, or this would overlap with `From<T> for T`.
impl<E: std::error::Error> From<E> for Error {
    #[cold]
    fn from(error: E) -> Self {
        Error::Fault(error.to_string())
    }
}
