//! Puts the manifest's JSON together while the guest is compiled: text in, one array of bytes out, for the custom section.

/// Joins texts that are constants into one.
#[doc(hidden)]
#[macro_export]
macro_rules! __join {
    ($($part:expr),* $(,)?) => {{
        const PARTS: &[&str] = &[$($part),*];
        const LEN: usize = $crate::manifest::len(PARTS);
        const BYTES: [u8; LEN] = $crate::manifest::join::<LEN>(PARTS);
        $crate::manifest::text(&BYTES)
    }};
}

/// Bytes of all parts.
pub const fn len(parts: &[&str]) -> usize {
    let (mut i, mut len) = (0, 0);
    while i < parts.len() {
        len += parts[i].len();
        i += 1;
    }
    len
}

/// All parts, one after the other.
pub const fn join<const N: usize>(parts: &[&str]) -> [u8; N] {
    let mut out = [0; N];
    let (mut i, mut at) = (0, 0);
    while i < parts.len() {
        let part = parts[i].as_bytes();
        let mut j = 0;
        while j < part.len() {
            out[at] = part[j];
            at += 1;
            j += 1;
        }
        i += 1;
    }
    out
}

/// The bytes as text.
pub const fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("texts joined to texts are text"),
    }
}

/// The text as an array, which is what a custom section must hold.
pub const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    join::<N>(&[text])
}

/// What follows the name in the JSON of an input that is called `in`.
///
/// # Panics
/// While the operator is compiled, for the inputs of an `#[inputs]` enum, which have names of their own.
pub const fn unnamed(input: &str) -> &str {
    let (head, rest) = input.split_at(UNNAMED.len());
    assert!(same(head, UNNAMED), "a variant of an #[inputs] enum carries one event: an #[event] or Raw, not another #[inputs] enum");
    rest
}

/// The same, but nothing of inputs that have names of their own.
pub const fn unnamed_or_nothing(input: &str) -> &str {
    if input.len() >= UNNAMED.len() && same(input.split_at(UNNAMED.len()).0, UNNAMED) { unnamed(input) } else { "" }
}

/// How the JSON of an input without a name of its own begins.
const UNNAMED: &str = "{\"name\":\"in\"";

/// The first text that is not empty.
pub const fn either<'t>(one: &'t str, other: &'t str) -> &'t str {
    if one.is_empty() { other } else { one }
}

/// Whether one of `inputs` has a name; `head` is how its JSON begins, `{"name":"orders"`.
pub const fn has_input(inputs: &str, head: &str) -> bool {
    let (inputs, head) = (inputs.as_bytes(), head.as_bytes());
    let mut start = 0;
    while start + head.len() <= inputs.len() {
        let mut i = 0;
        while i < head.len() && inputs[start + i] == head[i] {
            i += 1;
        }
        if i == head.len() {
            return true;
        }
        start += 1;
    }
    false
}

/// A boolean in JSON.
pub const fn boolean(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// The ports of an operator with two methods that emit.
pub const fn ports(event: &'static str, timer: &'static str) -> &'static str {
    if event.len() > NO_PORTS.len() { event } else { timer }
}

/// Whether two methods of an operator leave by the same ports, or one of them emits nothing.
pub const fn same_ports(event: &str, timer: &str) -> bool {
    event.len() <= NO_PORTS.len() || timer.len() <= NO_PORTS.len() || same(event, timer)
}

/// Whether these are no ports.
pub const fn emits_nothing(ports: &str) -> bool {
    ports.len() <= NO_PORTS.len()
}

/// The ports of a method that emits nothing.
pub const NO_PORTS: &str = "[]";

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}
