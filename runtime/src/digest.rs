//! SHA-256 in hex: the name that builds, savepoints and captured calls go by.

use sha2::{Digest, Sha256};

/// Digits of a hash that are enough for people.
const DIGITS: usize = 12;

/// The SHA-256 of `bytes`: 64 hex digits in lower case.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The first digits of a hash, enough for people.
#[must_use]
pub fn short(sha256: &str) -> &str {
    sha256.get(..DIGITS).unwrap_or(sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-2, appendix B.1.
    #[test]
    fn the_hash_of_abc_is_the_standards_and_its_first_twelve_digits_stand_for_it() {
        let hash = sha256(b"abc");
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(short(&hash), "ba7816bf8f01");
        assert_eq!(short("ba78"), "ba78");
    }
}
