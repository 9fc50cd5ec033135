use sangam_sdk::*;

#[event]
struct Word { text: String }

#[operator]
fn pair(left: Word, right: Word) -> Word {
    left
}

fn main() {}
