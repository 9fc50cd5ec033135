use sangam_sdk::*;

struct Word { text: String }

#[operator]
fn same(word: Word) {}

fn main() {}
