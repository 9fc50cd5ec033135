use sangam_sdk::pattern::{Match, Pattern};
use sangam_sdk::*;

#[event]
struct Payment {
    amount: f64,
}
#[config]
struct Fraud;

#[operator(key = "card")]
impl Fraud {
    fn pattern(&self) -> Pattern<Payment> {
        Pattern::begin("a")
    }
    fn on_match(&self, m: Match<Payment>) -> Option<Payment> {
        m.first("a").cloned()
    }
}

fn main() {}
