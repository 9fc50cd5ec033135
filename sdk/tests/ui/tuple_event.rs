use sangam_sdk::*;

#[event]
struct Word(String);

fn main() {}
