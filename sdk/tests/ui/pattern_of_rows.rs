use sangam_sdk::pattern::{Match, Pattern};
use sangam_sdk::*;

#[config]
struct Fraud;

#[operator(key = "card", pattern)]
impl Fraud {
    fn pattern(&self) -> Pattern<Row<'_>> {
        Pattern::begin("a")
    }
    fn on_match(&self, _m: Match<Row<'_>>) {}
}

fn main() {}
