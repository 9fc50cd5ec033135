//! Patterns over the events of a key (complex event processing), a library over state and timers.
//!
//! The words and rules are those of Flink's CEP; `docs/patterns.md` is the author's guide. The host knows nothing of patterns.
//!
//! ```
//! use sangam_sdk::*;
//! use sangam_sdk::pattern::{Match, Pattern};
//! use sangam_sdk::test::Harness;
//!
//! #[event] struct Payment { card: String, amount: f64 }
//! #[event] struct Alert { card: String, probes: u64, amount: f64 }
//! #[config] struct Probing { large: f64 }
//!
//! #[operator(key = "card", pattern)]
//! impl Probing {
//!     fn pattern(&self) -> Pattern<Payment> {
//!         let large = self.large;
//!         Pattern::begin("probe").where_(|payment: &Payment, _| payment.amount < 1.0).times_or_more(2).consecutive()
//!             .next("large").where_(move |payment, _| payment.amount > large)
//!             .within(minutes(10))
//!     }
//!     fn on_match(&self, m: Match<Payment>) -> Option<Alert> {
//!         let large = m.last("large")?;
//!         Some(Alert { card: large.card.clone(), probes: m.events("probe").count() as u64, amount: large.amount })
//!     }
//! }
//!
//! let pay = |amount| Payment { card: "4".into(), amount };
//! let mut h = Harness::<Probing>::with(Probing { large: 500.0 });
//! h.send(1_000, pay(0.5)).send(3_000, pay(900.0)).send(2_000, pay(0.1)).advance(3_000);
//! assert_eq!(h.take::<Alert>("out"), [Alert { card: "4".into(), probes: 2, amount: 900.0 }]);
//! ```

mod builder;
mod found;
mod matches;
mod several;
mod skip;

mod data;
mod fields;
mod spec;

mod advance;
#[doc(hidden)]
pub mod detect;

mod automaton;
mod buffer;
mod compile;
mod spare;

pub use builder::{PARTIAL_MATCHES_MAX, Pattern, WAITING_MAX};
pub use detect::{Detect, Detector};
pub use found::{Found, Match, Matched};
pub use matches::Matches;
pub use several::Several;
pub use skip::{AfterMatch, SkipTo};
pub use spec::Spec;
