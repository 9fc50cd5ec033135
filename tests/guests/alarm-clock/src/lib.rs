//! Rings when it is told to, by the clock or by the watermark, and says at the end of each batch how many events it had per key.

use sangam_sdk::*;

/// What to do, for which key.
#[event]
pub struct Order {
    /// The key.
    pub key: String,
    /// `after` and `at` set a timer by the clock, `cancel` clears it, `event` sets one by the watermark, anything else only counts.
    pub act: String,
    /// When, or after how long.
    pub number: Option<i64>,
    /// The timer's name.
    pub text: Option<String>,
}

/// A timer has fired.
#[event]
pub struct Rang {
    /// Its name.
    pub name: String,
    /// Whether by the clock.
    pub by_clock: bool,
    /// What the clock showed.
    pub now: Millis,
    /// Events of the key so far.
    pub events: u64,
}

/// A batch has ended.
#[event]
pub struct Ended {
    /// The key.
    pub key: String,
    /// Events of the key in it.
    pub events: u64,
}

/// Where things leave.
#[outputs]
pub enum Out {
    /// A timer has fired.
    Rang(Rang),
    /// A batch has ended.
    Ended(Ended),
}

/// What is remembered for a key.
#[state]
pub struct Kept {
    /// Events so far.
    pub events: u64,
    /// Events since the last batch ended.
    pub batch: u64,
}

/// No configuration.
#[config]
pub struct AlarmClock {}

#[operator(key = "key", processing_time)]
impl AlarmClock {
    /// Does what the event says.
    pub fn on_event(&self, order: Order, kept: &mut Kept, ctx: &mut Context) {
        kept.events += 1;
        kept.batch += 1;
        let (name, number) = (order.text.as_deref().unwrap_or("alarm"), order.number.unwrap_or(0));
        match order.act.as_str() {
            "after" => ctx.wake_after(name, number),
            "at" => ctx.wake_at_processing_time(name, number),
            "cancel" => ctx.cancel_processing_time(name),
            "event" => ctx.wake(name, number),
            _ => {}
        }
    }

    /// Rings; `again` sets itself for 10 ms later, up to ten times, `poison` panics, `forget` forgets the key.
    pub fn on_timer(&self, timer: Timer, kept: &mut Kept, ctx: &mut Context) -> Out {
        assert!(timer.name() != "poison", "this timer is poison");
        let rang = Rang { name: timer.name().to_owned(), by_clock: timer.is_processing_time(), now: ctx.now(), events: kept.events };
        if timer.name() == "again" && kept.events < 10 {
            kept.events += 1;
            ctx.wake_at_processing_time("again", timer.at() + 10);
        }
        if timer.name() == "forget" {
            *kept = Kept::default();
        }
        Out::Rang(rang)
    }

    /// Says how many events the key had.
    pub fn on_batch_end(&self, kept: &mut Kept, ctx: &mut Context) -> Out {
        Out::Ended(Ended { key: ctx.key().to_owned(), events: std::mem::take(&mut kept.batch) })
    }
}
