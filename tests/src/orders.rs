//! Orders for the kitchen sink, the guest that does what an event asks of it.

use serde_json::{Value, json};

/// An order: under which key, what to do, with which number and text.
pub fn order(key: &str, act: &str, number: i64, text: &str) -> Value {
    json!({"key": key, "act": act, "with": {"number": number, "text": text}})
}

/// Sets a timer so long after the order's time.
pub fn wake(key: &str, after: i64) -> Value {
    order(key, "wake", after, "alarm")
}
