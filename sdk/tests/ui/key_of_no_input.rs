use sangam_sdk::*;

#[event]
struct Order {
    user: String,
}
#[event]
struct Payment {
    payer: String,
}

#[inputs]
enum In {
    Orders(Order),
    Payments(Payment),
}

#[operator(key(orders = "user", payment = "payer"))]
fn match_up(_event: In) {}

fn main() {}
