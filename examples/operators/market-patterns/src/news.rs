//! Whether news is good or bad: more good words than bad ones, or the other way round.
//!
//! A word is a run of letters and digits, whatever its case; `gains` is not `gain`.

/// `positive`, `negative`, or `neutral` where there are as many of one as of the other.
pub fn sign(text: &str, positive: &[String], negative: &[String]) -> &'static str {
    let text = text.to_lowercase();
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    let (good, bad) =
        words.fold((0, 0), |(good, bad), word| (good + usize::from(counts(positive, word)), bad + usize::from(counts(negative, word))));
    match good.cmp(&bad) {
        std::cmp::Ordering::Greater => "positive",
        std::cmp::Ordering::Less => "negative",
        std::cmp::Ordering::Equal => "neutral",
    }
}

/// The lists are short, and hashing a word costs more than to look through one.
fn counts(words: &[String], word: &str) -> bool {
    words.iter().any(|one| one == word)
}
