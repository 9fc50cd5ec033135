use sangam_sdk::*;

#[event]
struct Word { text: String }
#[state]
struct Inner { items: Map<String, u64> }
#[state]
struct Outer { inner: Option<Inner> }

#[operator(key = "text")]
fn count(word: Word, outer: &mut Outer) -> Word {
    word
}

fn main() {}
