//! Remembers the first event of a key until a timer, or the second event, makes it forget: Flink's `testEventTimeTimerWithState`.
//!
//! What it emits are orders for the guest `kitchen-sink`, which says under what watermark they reach an operator behind it.

use sangam_sdk::*;

/// An event; only its key and time matter.
#[event]
pub struct Input {
    /// The key.
    pub key: String,
}

/// What is emitted: `note` for a first event, `count` for a timer that found its key's value.
#[event]
pub struct Order {
    /// The key.
    pub key: String,
    /// What happened.
    pub act: String,
}

/// What is remembered for a key.
#[state]
pub struct Stored {
    /// The key of the first event; empty without one.
    pub value: String,
}

/// The configuration.
#[config]
pub struct FirstAndSecond {
    /// How far ahead of the watermark the timer is set.
    pub delay: Millis,
}

#[operator(key = "key")]
impl FirstAndSecond {
    /// The first event of a key is stored and sets the timer; the second one clears both.
    pub fn on_event(&self, input: Input, stored: &mut Stored, ctx: &mut Context) -> Option<Order> {
        if !stored.value.is_empty() {
            stored.value.clear();
            ctx.cancel("later");
            return None;
        }
        ctx.wake("later", ctx.watermark() + self.delay);
        stored.value.clone_from(&input.key);
        Some(Order { key: input.key, act: "note".to_owned() })
    }

    /// Emits what was stored, and forgets it.
    pub fn on_timer(&self, _later: Timer, stored: &mut Stored) -> Order {
        Order { key: std::mem::take(&mut stored.value), act: "count".to_owned() }
    }
}
