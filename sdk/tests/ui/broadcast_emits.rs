use sangam_sdk::*;

#[event]
struct Order {
    user: String,
}
#[event]
struct Rule {
    max: f64,
}
#[state]
struct Rules {
    max: f64,
}
#[config]
struct Judge {}

#[operator(key = "user")]
impl Judge {
    fn on_broadcast(&self, rule: Rule, rules: &mut Rules) -> Rule {
        rules.max = rule.max;
        rule
    }
    fn on_event(&self, _order: Order, _rules: &Rules) {}
}

fn main() {}
