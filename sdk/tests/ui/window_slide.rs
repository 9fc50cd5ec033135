use sangam_sdk::*;

#[event]
struct Sale { shop: String }
#[state]
struct Total { sales: u64 }

#[operator(key = "shop", window = hopping("5m", "1h"))]
impl Total {
    fn add(&mut self, _sale: Sale) { self.sales += 1; }
    fn merge(&mut self, later: Self) { self.sales += later.sales; }
    fn close(self, _w: Window) -> Sale { Sale { shop: String::new() } }
}

fn main() {}
