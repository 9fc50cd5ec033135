use sangam_sdk::*;

#[event]
struct Word { text: String }
#[state]
struct Seen { count: u64 }

#[operator]
fn count(word: Word, seen: &mut Seen) -> Word {
    seen.count += 1;
    word
}

fn main() {}
