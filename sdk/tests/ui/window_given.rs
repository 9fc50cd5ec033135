use sangam_sdk::*;

#[event]
struct Sale { shop: String, amount: f64 }
#[state]
struct Total { sum: f64 }

#[operator(key = "shop", window = given)]
impl Total {
    fn add(&mut self, sale: Sale) { self.sum += sale.amount; }
    fn close(self, w: Window) -> Sale { Sale { shop: String::new(), amount: self.sum } }
}

fn main() {}
