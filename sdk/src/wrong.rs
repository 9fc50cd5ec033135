//! Why an event or a state does not fit its declaration: where in it, and what stands there.

use sangam_protocol::msgpack;

use crate::Error;

/// Why a value does not fit the type that an operator declared for it.
#[derive(Debug)]
pub struct Wrong(Box<Inner>);

#[derive(Debug)]
struct Inner {
    /// Names from the inside out.
    path: Vec<String>,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Missing,
    Value(msgpack::Error),
    Said(String),
    Frame,
}

impl Wrong {
    #[cold]
    #[doc(hidden)]
    pub fn missing() -> Self {
        Wrong(Box::new(Inner { path: Vec::new(), why: Why::Missing }))
    }

    /// Wrong for a reason of its own.
    #[cold]
    pub(crate) fn said(why: &str) -> Self {
        Wrong(Box::new(Inner { path: Vec::new(), why: Why::Said(why.to_owned()) }))
    }

    /// Not the value is wrong but the frame around it.
    #[cold]
    pub(crate) fn frame() -> Self {
        Wrong(Box::new(Inner { path: Vec::new(), why: Why::Frame }))
    }

    pub(crate) fn is_frame(&self) -> bool {
        matches!(self.0.why, Why::Frame)
    }

    /// The same error, seen from the struct that has the value in its field `name`.
    #[cold]
    #[doc(hidden)]
    pub fn inside(mut self, name: &str) -> Self {
        self.0.path.push(name.to_owned());
        self
    }

    /// The error as a sentence for the event's dead letter.
    pub fn reason(&self) -> String {
        let mut text = String::new();
        if !self.0.path.is_empty() {
            text.push_str("field `");
            for (i, name) in self.0.path.iter().rev().enumerate() {
                text.push_str(if i > 0 { "." } else { "" });
                text.push_str(name);
            }
            text.push('`');
        }
        match &self.0.why {
            Why::Missing => text.push_str(" is missing"),
            Why::Value(error) => {
                text.push_str(if text.is_empty() { "" } else { ": " });
                text.push_str(&error.to_string());
            }
            Why::Said(why) => {
                text.push_str(if text.is_empty() { "" } else { ": " });
                text.push_str(why);
            }
            Why::Frame => text.push_str("the event has another number of fields than the manifest asks for"),
        }
        text
    }
}

impl From<msgpack::Error> for Wrong {
    #[cold]
    fn from(error: msgpack::Error) -> Self {
        Wrong(Box::new(Inner { path: Vec::new(), why: Why::Value(error) }))
    }
}

impl From<Wrong> for Error {
    #[cold]
    fn from(wrong: Wrong) -> Self {
        Error::Reject(wrong.reason())
    }
}
