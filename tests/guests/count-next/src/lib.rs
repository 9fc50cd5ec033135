//! The next version of `count`: it remembers more of each word, in another layout, and takes over what `count` has stored.

use sangam_sdk::*;

/// One word of a text.
#[event]
pub struct Word {
    /// The word.
    pub text: String,
}

/// How often a word has been seen, and how long it is.
#[event]
pub struct Tally {
    /// The word.
    pub text: String,
    /// Sightings so far.
    pub seen: u64,
    /// Which version of the state the sightings were counted in at first.
    pub since: u32,
}

/// What `count` remembers for each word.
#[state]
pub struct Before {
    /// Sightings so far.
    pub count: u64,
}

/// What is remembered for each word.
#[state(version = 2, migrate = from_old)]
pub struct Seen {
    /// Which version of the state the word was seen in first.
    pub since: u32,
    /// Sightings so far.
    pub count: u64,
}

fn from_old(version: u32, bytes: &[u8]) -> Result<Seen> {
    let before = Before::from_bytes(bytes)?;
    Ok(Seen { since: version, count: before.count })
}

/// Counts.
#[operator(key = "text")]
pub fn count(word: Word, seen: &mut Seen) -> Tally {
    if seen.count == 0 {
        seen.since = Seen::VERSION;
    }
    seen.count += 1;
    Tally { text: word.text, seen: seen.count, since: seen.since }
}
