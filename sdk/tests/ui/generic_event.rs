use sangam_sdk::*;

#[event]
struct Holder<T> { value: T }

fn main() {}
