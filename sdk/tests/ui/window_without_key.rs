use sangam_sdk::*;

#[event]
struct Sale { amount: f64 }
#[state]
struct Total { sum: f64 }

#[operator(window = "1m")]
impl Total {
    fn add(&mut self, sale: Sale) { self.sum += sale.amount; }
    fn close(self, w: Window) -> Sale { Sale { amount: self.sum } }
}

fn main() {}
