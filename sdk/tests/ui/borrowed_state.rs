use sangam_sdk::*;

#[state]
struct Seen<'a> { last: &'a str }

fn main() {}
