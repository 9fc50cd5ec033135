use sangam_sdk::*;

#[event]
struct Basket { items: Map<String, u64> }

fn main() {}
