use sangam_sdk::*;

#[event]
struct Word { text: String }

#[operator(keyy = "text")]
fn same(word: Word) -> Word {
    word
}

fn main() {}
