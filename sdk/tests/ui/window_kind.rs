use sangam_sdk::*;

#[event]
struct Sale { shop: String }
#[state]
struct Total { sales: u64 }

#[operator(key = "shop", window = rolling("1h"))]
impl Total {
    fn add(&mut self, _sale: Sale) { self.sales += 1; }
    fn close(self, _w: Window) -> Sale { Sale { shop: String::new() } }
}

fn main() {}
