use sangam_sdk::*;

#[event]
struct Click { user: String }
#[outputs]
enum Out { Main(Click), Side(Click) }
#[config]
struct Op;

#[operator(key = "user")]
impl Op {
    fn on_event(&self, click: Click) -> Click { click }
    fn on_timer(&self, timer: Timer) -> Option<Out> { None }
}

fn main() {}
