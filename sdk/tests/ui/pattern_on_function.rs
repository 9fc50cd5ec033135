use sangam_sdk::*;

#[event]
struct Payment {
    amount: f64,
}

#[operator(key = "card", pattern)]
fn fraud(_payment: Payment) {}

fn main() {}
