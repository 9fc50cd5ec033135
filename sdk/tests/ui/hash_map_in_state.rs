use sangam_sdk::*;

#[state]
struct Seen { words: std::collections::HashMap<String, u64> }

fn main() {}
