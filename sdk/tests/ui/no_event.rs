use sangam_sdk::*;

#[config]
struct Limit { max: f64 }

#[operator]
fn nothing(limit: &Limit) {}

fn main() {}
