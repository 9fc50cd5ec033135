use sangam_sdk::*;

#[event]
struct Word { text: String }

#[operator]
fn length(word: Word) -> usize {
    word.text.len()
}

fn main() {}
