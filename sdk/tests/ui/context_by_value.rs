use sangam_sdk::*;

#[event]
struct Word { text: String }

#[operator(key = "text")]
fn same(word: Word, ctx: Context) -> Word {
    word
}

fn main() {}
