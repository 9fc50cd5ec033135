use sangam_sdk::*;

#[event]
struct Click {
    user: String,
}
#[config]
struct PerBatch {}

#[operator]
impl PerBatch {
    fn on_event(&self, _click: Click) {}
    fn on_batch_end(&self) -> Click {
        Click { user: String::new() }
    }
}

fn main() {}
