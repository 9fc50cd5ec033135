use sangam_sdk::*;

#[event]
struct Word { text: String }
#[state]
struct Seen { count: u64 }

#[operator(key = "text")]
fn count(word: Word, seen: &mut Seen, more: &mut Seen) -> Word {
    word
}

fn main() {}
