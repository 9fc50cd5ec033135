//! Text from a guest, made fit for a log: a guest must not be able to forge lines or drive a terminal.

/// Bytes as one line for people: invalid UTF-8 replaced, control characters escaped, cut at about `bytes_max`. For whatever a guest
/// says that ends in a log, a terminal or a header: reasons, faults, names.
pub fn line(bytes: &[u8], bytes_max: usize) -> String {
    let cut = bytes.len() > bytes_max;
    let kept = bytes.get(..bytes_max).unwrap_or(bytes);
    let mut out = String::with_capacity(kept.len());
    for c in String::from_utf8_lossy(kept).chars() {
        // U+2028, U+2029 break lines and U+202A… turn the reading direction in some viewers; they are no `control` to Unicode.
        if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    if cut {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_guest_cannot_forge_a_log_line_or_drive_the_terminal() {
        let check = |bytes: &[u8], expected: &str| assert_eq!(super::line(bytes, 24), expected);
        check(b"all is well", "all is well");
        check(b"a\nERROR forged", r"a\nERROR forged");
        check(b"\x1b[2J", r"\u{1b}[2J");
        check(b"bad \xff\xfe utf", "bad \u{fffd}\u{fffd} utf");
        check("a\u{202e}b".as_bytes(), r"a\u{202e}b");
        check(&[b'x'; 30], "xxxxxxxxxxxxxxxxxxxxxxxx…");
    }
}
