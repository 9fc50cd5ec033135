//! Record headers between Kafka's list and the engine's MessagePack map of text to binary.
//!
//! Order and repeated names survive; a header without value is nil.

use std::ffi::CStr;
use std::os::raw::c_char;
use std::ptr;

use rdkafka::bindings as native;
use rdkafka::message::{Header, OwnedHeaders};
use sangam_protocol::msgpack::{Reader, write};

/// Appends the headers of a message that librdkafka has handed over; nothing where it has none.
///
/// # Safety
/// `message` points to a live message of librdkafka.
// By hand, as the crate's reader panics at a name that is not UTF-8, and any producer may write one.
pub(super) unsafe fn read(message: *mut native::rd_kafka_message_t, into: &mut Vec<u8>) {
    let mut headers = ptr::null_mut();
    // SAFETY: the message lives; the list that comes back belongs to it.
    let found = unsafe { native::rd_kafka_message_headers(message, &mut headers) };
    if found != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return;
    }
    // SAFETY: as above.
    let count = unsafe { native::rd_kafka_header_cnt(headers) };
    if count == 0 {
        return;
    }
    write::map(into, count);
    for i in 0..count {
        let (mut name, mut value, mut len): (*const c_char, _, _) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `i` is below the count; name and value stay valid as long as the message does.
        unsafe {
            native::rd_kafka_header_get_all(headers, i, &mut name, &mut value, &mut len);
            write::str(into, &CStr::from_ptr(name).to_string_lossy());
            match value.is_null() {
                true => write::nil(into),
                false => write::bin(into, std::slice::from_raw_parts(value.cast::<u8>(), len)),
            }
        }
    }
}

/// The headers of a record on its way out; `None` where there are none.
pub(super) fn to_kafka(bytes: &[u8]) -> Result<Option<OwnedHeaders>, String> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let damaged = |error| format!("the record's headers are not a map of text to binary: {error}");
    let mut reader = Reader::new(bytes);
    let count = reader.map().map_err(damaged)?;
    let mut headers = OwnedHeaders::new();
    for _ in 0..count {
        let key = reader.str().map_err(damaged)?;
        if key.contains('\0') {
            return Err(format!("the header name {key:?} holds a zero byte, which Kafka's client cannot send"));
        }
        let value = if reader.nil().map_err(damaged)? { None } else { Some(reader.bin().map_err(damaged)?) };
        headers = headers.insert(Header { key, value });
    }
    Ok(if count == 0 { None } else { Some(headers) })
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Headers;

    use super::*;

    fn pack(pairs: &[(&str, Option<&[u8]>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write::map(&mut bytes, pairs.len());
        for (name, value) in pairs {
            write::str(&mut bytes, name);
            match value {
                Some(value) => write::bin(&mut bytes, value),
                None => write::nil(&mut bytes),
            }
        }
        bytes
    }

    #[test]
    fn headers_keep_order_repeated_names_empty_and_missing_values() {
        let pairs: [(&str, Option<&[u8]>); 4] = [("b", Some(b"1")), ("a", Some(b"")), ("b", None), ("", Some(&[0, 255]))];
        let headers = to_kafka(&pack(&pairs)).unwrap().unwrap();
        let seen: Vec<_> = headers.iter().map(|header| (header.key, header.value)).collect();
        assert_eq!(seen, pairs);
    }

    #[test]
    fn no_headers_stay_none() {
        assert!(to_kafka(&[]).unwrap().is_none());
        assert!(to_kafka(&pack(&[])).unwrap().is_none());
    }

    #[test]
    fn damaged_headers_are_refused_with_words() {
        let cut = pack(&[("name", Some(b"value"))]);
        for bytes in [&cut[..3], &cut[..cut.len() - 1], &[0xc0], &[0x81, 0x01, 0x02], &[0xdf, 0xff, 0xff, 0xff, 0xff]] {
            assert!(to_kafka(bytes).unwrap_err().contains("not a map of text to binary"), "{bytes:?}");
        }
        assert!(to_kafka(&pack(&[("a\0b", None)])).unwrap_err().contains("zero byte"));
    }
}
