use sangam_sdk::*;

#[event]
struct Order {
    user: String,
}
#[state]
struct Rules {
    max: f64,
}
#[config]
struct Judge {}

#[operator(key = "user")]
impl Judge {
    fn on_event(&self, _order: Order, _rules: &Rules) {}
}

fn main() {}
