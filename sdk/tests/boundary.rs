//! The guest's exports, called natively as the host calls them: nothing that comes in may do more than fail.

use proptest::prelude::*;
use sangam_protocol::effects::{Answering, EffectLimits, Effects, EffectsError};
use sangam_protocol::frame::{DueTimer, FrameWriter};
use sangam_protocol::msgpack::{Reader, write};
use sangam_sdk::guest::Guest;
use sangam_sdk::*;

#[event]
struct Word {
    text: String,
}
#[state]
struct Seen {
    count: u64,
}
#[config]
#[expect(dead_code, reason = "a field may be there only to be refused")]
struct Rules {
    most: u64,
    #[config(default = 2u8)]
    least: u8,
    names: Option<Vec<String>>,
}

#[operator(key = "text")]
impl Rules {
    fn on_event(&self, word: Word, seen: &mut Seen, ctx: &mut Context) -> Option<Word> {
        seen.count += 1;
        ctx.wake("soon", ctx.time() + 1);
        (seen.count < self.most).then_some(word)
    }
    fn on_timer(&self, _timer: Timer, seen: &mut Seen) {
        seen.count += u64::from(self.least);
    }
}

/// A fault that the guest reports about itself.
fn fault(bytes: &[u8]) -> String {
    match Effects::read(bytes, Answering { events: 9, slots: 9, timers: 9, ports: 1 }, &EffectLimits::default()) {
        Err(EffectsError::Fault { message, .. }) => message,
        Err(other) => panic!("{other}"),
        Ok(_) => String::new(),
    }
}

fn give(guest: &Guest<Rules>, bytes: &[u8]) -> (*const u8, usize) {
    let ptr = guest.alloc(bytes.len());
    assert_eq!(ptr as usize % 8, 0, "the buffer is aligned for any column");
    // SAFETY: the guest's buffer has room for that many bytes.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), ptr, bytes.len()) };
    (ptr.cast_const(), bytes.len())
}

fn answer((ptr, len): (*const u8, usize)) -> Vec<u8> {
    // SAFETY: the guest says so, and the bytes are valid until the next call.
    unsafe { std::slice::from_raw_parts(ptr, len) }.to_vec()
}

fn init(guest: &Guest<Rules>, config: &[u8]) -> Vec<u8> {
    let (ptr, len) = give(guest, config);
    answer(guest.init(ptr, len))
}

fn process(guest: &Guest<Rules>, frame: &[u8]) -> Vec<u8> {
    let (ptr, len) = give(guest, frame);
    answer(guest.process(ptr, len))
}

fn ready() -> Guest<Rules> {
    let guest = Guest::new();
    assert_eq!(init(&guest, b"\x81\xa4most\x05"), b"");
    guest
}

fn frame() -> Vec<u8> {
    let mut frame = FrameWriter::default();
    frame.start();
    for text in ["a", "b"] {
        let out = frame.event(5, 4);
        write::array(out, 1);
        write::str(out, text);
        let slot = frame.key(text.as_bytes(), Some(&[0x91, 3]));
        frame.slot(slot);
    }
    frame.timer(DueTimer { slot: 1, at: 3, name: "soon" });
    frame.finish(9, i64::MAX).concat()
}

#[test]
fn a_configuration_that_does_not_fit_is_refused_in_words() {
    let check = |config: &[u8], expected: &str| {
        let reply = init(&Guest::new(), config);
        assert_eq!(if reply.is_empty() { "" } else { Reader::new(&reply).str().unwrap() }, expected);
    };
    check(b"\x81\xa4most\x05", "");
    check(b"\x83\xa4most\x05\xa5least\x07\xa5names\x91\xa1x", "");
    check(b"\x80", "config field `most` is missing");
    check(b"\x81\xa4mots\x05", "unknown config field `mots`: did you mean `most`? valid: `most`, `least`, `names`");
    check(b"\x81\xa4most\xa1x", "config field `most`: expected u64, found a string");
    check(b"\x82\xa4most\x05\xa5least\xcd\x01\x00", "config field `least`: invalid value: integer `256`, expected u8");
    check(b"\x82\xa4most\x05\xa5names\x91\x05", "config field `names`: invalid type: integer `5`, expected a string");
    check(b"\x05", "the configuration is not a map of named fields: expected a map, found an integer");
    check(b"", "the configuration is not a map of named fields: the value is cut short");
}

#[test]
fn the_input_buffer_is_reused_and_given_back_after_a_giant_batch() {
    let guest = Guest::<Rules>::new();
    let small = guest.alloc(100);
    assert_eq!(guest.alloc(60), small);
    assert_eq!(guest.alloc(0), small);
    let giant = guest.alloc(64 << 20);
    assert_ne!(giant, small);
    assert_eq!(guest.alloc(60 << 20), giant);
    assert_ne!(guest.alloc(100), giant, "64 MiB are not held for 100 bytes");
}

#[test]
fn a_pointer_that_is_not_the_buffer_is_refused() {
    let guest = ready();
    let (ptr, _) = give(&guest, &frame());
    assert_eq!(fault(&answer(guest.process(ptr.wrapping_add(8), 1))), "the frame is not where sangam_alloc said");
    assert_eq!(fault(&answer(guest.process(ptr, 1 << 30))), "the frame is not where sangam_alloc said");
    assert_eq!(fault(&process(&Guest::new(), &frame())), "sangam_init has not been called");
}

#[test]
fn a_batch_says_only_what_has_changed() {
    let guest = ready();
    let bytes = process(&guest, &frame());
    let effects = Effects::read(&bytes, Answering { events: 2, slots: 2, timers: 1, ports: 1 }, &EffectLimits::default()).unwrap();
    assert_eq!(effects.emit_count(), 1);
    // Each timer fired within the batch: `a`: 3+1+2; `b`: 2 (due) + 3+1+2.
    assert_eq!(effects.states().collect::<Vec<_>>(), [(0, Some(&[0x91, 6][..])), (1, Some(&[0x91, 8][..]))]);
    // The due one is consumed by the host; of `a` it may hold an older one by that name.
    assert_eq!(effects.timers().collect::<Vec<_>>(), [(0, "soon", None)]);
}

#[test]
fn a_timer_at_or_after_until_goes_back_to_the_host() {
    let mut writer = FrameWriter::default();
    writer.start();
    let out = writer.event(5, 4);
    write::array(out, 1);
    write::str(out, "a");
    let slot = writer.key(b"a", None);
    writer.slot(slot);
    let bytes = process(&ready(), &writer.finish(9, 6).concat());
    let effects = Effects::read(&bytes, Answering { events: 1, slots: 1, timers: 0, ports: 1 }, &EffectLimits::default()).unwrap();
    assert_eq!(effects.timers().collect::<Vec<_>>(), [(0, "soon", Some(6))]);
}

proptest! {
    #[test]
    fn no_bytes_do_more_than_fail(bytes: Vec<u8>) {
        fault(&process(&ready(), &bytes));
    }

    #[test]
    fn a_damaged_frame_does_no_more_than_fail(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let mut bytes = frame();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let guest = ready();
        process(&guest, &bytes);
        bytes.truncate(cut.index(bytes.len()));
        process(&guest, &bytes);
    }
}
