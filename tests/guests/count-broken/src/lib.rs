//! `count` before somebody mended it: it panics at a word that ends with an exclamation mark.

use sangam_sdk::*;

/// One word of a text.
#[event]
pub struct Word {
    /// The word.
    pub text: String,
}

/// How often a word has been seen.
#[event]
pub struct Tally {
    /// The word.
    pub text: String,
    /// Sightings so far.
    pub seen: u64,
}

/// What is remembered for each word.
#[state]
pub struct Seen {
    /// Sightings so far.
    pub count: u64,
}

/// Counts.
#[operator(key = "text")]
pub fn count(word: Word, seen: &mut Seen) -> Tally {
    seen.count += 1;
    check_spelling(&word.text);
    Tally { text: word.text, seen: seen.count }
}

/// Not inlined, so that a backtrace names it.
#[inline(never)]
fn check_spelling(text: &str) {
    assert!(!text.ends_with('!'), "`{text}` is no word");
}
