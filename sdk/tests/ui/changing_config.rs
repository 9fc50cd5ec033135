use sangam_sdk::*;

#[event]
struct Click { user: String }
#[config]
struct Op { clicks: u64 }

#[operator(key = "user")]
impl Op {
    fn on_event(&mut self, click: Click) { self.clicks += 1; }
}

fn main() {}
