//! Appends values to a buffer, each in its shortest form unless a name says otherwise.

/// Appends bytes as they are. Most of what is written is short, and a call to copy so many bytes (out of a guest it goes through
/// the host) costs more than the copying: the first few and the last few are copied apart, and meet or overlap.
#[inline]
pub fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    let end = out.len() + value.len();
    match value.len() {
        4..=8 => ends::<4>(out, value, end),
        9..=16 => ends::<8>(out, value, end),
        17..=32 => ends::<16>(out, value, end),
        _ => out.extend_from_slice(value),
    }
}

/// Appends between `N` and twice `N` bytes; they are to end at `end`.
#[inline]
fn ends<const N: usize>(out: &mut Vec<u8>, value: &[u8], end: usize) {
    if let (Some(first), Some(last)) = (value.first_chunk::<N>(), value.last_chunk::<N>()) {
        out.extend_from_slice(first);
        out.truncate(end - N);
        out.extend_from_slice(last);
    }
}

/// Writes nil.
#[inline]
pub fn nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

/// Writes a boolean.
#[inline]
pub fn bool(out: &mut Vec<u8>, value: bool) {
    out.push(0xc2 | u8::from(value));
}

/// Writes an unsigned integer.
#[inline]
pub fn u64(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=0x7f => out.push(value as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, value as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        _ => {
            let mut nine = [0xcf; 9];
            nine[1..].copy_from_slice(&value.to_be_bytes());
            out.extend_from_slice(&nine);
        }
    }
}

/// Writes a signed integer; what is not negative takes the unsigned form.
#[inline]
pub fn i64(out: &mut Vec<u8>, value: i64) {
    if value >= 0 {
        return u64(out, value as u64);
    }
    match value {
        -32..=-1 => out.push(value as u8),
        -0x80..=-33 => out.extend_from_slice(&[0xd0, value as u8]),
        -0x8000..=-0x81 => {
            out.push(0xd1);
            out.extend_from_slice(&(value as i16).to_be_bytes());
        }
        -0x8000_0000..=-0x8001 => {
            out.push(0xd2);
            out.extend_from_slice(&(value as i32).to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// Writes a double.
#[inline]
pub fn f64(out: &mut Vec<u8>, value: f64) {
    let mut nine = [0xcb; 9];
    nine[1..].copy_from_slice(&value.to_be_bytes());
    out.extend_from_slice(&nine);
}

/// Writes a string.
#[inline]
pub fn str(out: &mut Vec<u8>, value: &str) {
    str_head(out, value.len());
    bytes(out, value.as_bytes());
}

/// Writes the head of a string of `len` bytes, which the caller appends.
#[inline]
pub fn str_head(out: &mut Vec<u8>, len: usize) {
    match len {
        0..=31 => out.push(0xa0 | len as u8),
        32..=0xff => out.extend_from_slice(&[0xd9, len as u8]),
        0x100..=0xffff => {
            out.push(0xda);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(0xdb);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
}

/// Writes binary.
#[inline]
pub fn bin(out: &mut Vec<u8>, value: &[u8]) {
    bin_head(out, value.len());
    bytes(out, value);
}

/// Writes the head of binary of `len` bytes, which the caller appends.
#[inline]
pub fn bin_head(out: &mut Vec<u8>, len: usize) {
    match len {
        0..=0xff => out.extend_from_slice(&[0xc4, len as u8]),
        0x100..=0xffff => {
            out.push(0xc5);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(0xc6);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
}

/// Writes binary whose length is known only afterwards: `body` appends it, and the four-byte length is filled in.
#[inline]
pub fn bin_with(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let head = out.len();
    out.extend_from_slice(&[0xc6, 0, 0, 0, 0]);
    body(out);
    let len = (out.len() - head - 5) as u32;
    if let Some(place) = out.get_mut(head + 1..head + 5) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}

/// Writes the head of an array of `len` values.
#[inline]
pub fn array(out: &mut Vec<u8>, len: usize) {
    match len {
        0..=15 => out.push(0x90 | len as u8),
        16..=0xffff => {
            out.push(0xdc);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => array32(out, len),
    }
}

/// Writes the head of an array in its five-byte form, so that the length can be patched by [`patch32`].
#[inline]
pub fn array32(out: &mut Vec<u8>, len: usize) {
    out.push(0xdd);
    out.extend_from_slice(&(len as u32).to_be_bytes());
}

/// Overwrites the length of the five-byte head that starts at `head`.
#[inline]
pub fn patch32(out: &mut [u8], head: usize, len: usize) {
    if let Some(place) = out.get_mut(head + 1..head + 5) {
        place.copy_from_slice(&(len as u32).to_be_bytes());
    }
}

/// Writes the head of a map of `len` pairs.
#[inline]
pub fn map(out: &mut Vec<u8>, len: usize) {
    match len {
        0..=15 => out.push(0x80 | len as u8),
        16..=0xffff => {
            out.push(0xde);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(0xdf);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
}
