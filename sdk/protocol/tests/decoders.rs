//! Both decoders on damaged input: whatever the bytes, they answer; and what they accept can be walked to its end.
//!
//! The same walks run for longer under a fuzzer, see `fuzz/`.

use proptest::prelude::*;
use sangam_protocol::effects::{Answering, Cause, EffectLimits, Effects, EffectsWriter, OutputKey, RejectKind};
use sangam_protocol::frame::{DueTimer, Frame, FrameWriter};
use sangam_protocol::msgpack::write;

#[path = "../fuzz/walk.rs"]
mod walk;

const ANSWERING: Answering = Answering { events: 3, slots: 2, timers: 1, ports: 2 };

/// A frame with something in every column.
fn frame() -> Vec<u8> {
    let mut writer = FrameWriter::default();
    writer.start();
    writer.key(b"a", Some(b"state"));
    writer.key(&[0xff; 300], None);
    writer.timer(DueTimer { slot: 1, at: -7, name: "idle" });
    for (time, slot) in [(5, 0), (1 << 40, 1), (-3, 0)] {
        let event = writer.event(time, time - 1);
        write::array(event, 2);
        write::str(event, "text");
        write::f64(event, 0.5);
        writer.slot(slot);
        writer.kind(1);
    }
    writer.finish(9, 10).concat()
}

/// Effects with something in every part.
fn effects() -> Vec<u8> {
    let mut writer = EffectsWriter::default();
    writer.start();
    writer.forward(1, 2);
    writer.simple(0, 1, |out| out.extend_from_slice(&[7; 300]));
    writer.full(1, Cause::TimerBefore(3), -5, OutputKey::Slot(1), &[0x81, 0xa1, b'h', 0xc4, 0], Some(|out: &mut Vec<u8>| out.push(9)));
    writer.full(0, Cause::Event(0), 1 << 40, OutputKey::Bytes(b"key"), &[], None::<fn(&mut Vec<u8>)>);
    writer.state(0, Some(b"state"));
    writer.state(1, None);
    writer.timer(1, "idle", Some(40));
    writer.timer(0, "idle", None);
    writer.reject(0, RejectKind::Late, "its window has closed");
    writer.clock_timer(1, "flush", Some(50));
    writer.counter("seen", 300);
    writer.cell(1, b"cell", Some(b"value"));
    writer.finish().to_vec()
}

/// What can happen to bytes on their way.
#[derive(Clone, Debug)]
enum Damage {
    /// Another byte at a place, often a MessagePack marker.
    Set(usize, u8),
    /// Cut off.
    Cut(usize),
    /// A stretch taken out.
    Remove(usize, usize),
    /// A stretch repeated.
    Repeat(usize, usize),
    /// Bytes put in.
    Insert(usize, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    // Heads that promise much, extremes, and all the rest.
    let byte = prop_oneof![
        prop::sample::select(vec![0x80, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc4, 0xc6, 0xcf, 0xd3, 0xdb, 0xdd, 0xdf, 0xff]),
        any::<u8>()
    ];
    let at = 0usize..2_000;
    prop_oneof![
        4 => (at.clone(), byte).prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => at.clone().prop_map(Damage::Cut),
        1 => (at.clone(), 1usize..20).prop_map(|(at, len)| Damage::Remove(at, len)),
        1 => (at.clone(), 1usize..20).prop_map(|(at, len)| Damage::Repeat(at, len)),
        1 => (at, prop::collection::vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
    ]
}

fn suffer(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        let len = bytes.len();
        if len == 0 {
            break;
        }
        let stretch = |at: usize, n: usize| at % len..(at % len + n).min(len);
        match damage {
            Damage::Set(at, byte) => bytes[at % len] = *byte,
            Damage::Cut(at) => bytes.truncate(at % len),
            Damage::Remove(at, n) => drop(bytes.drain(stretch(*at, *n))),
            Damage::Repeat(at, n) => {
                let again = bytes[stretch(*at, *n)].to_vec();
                bytes.splice(at % len..at % len, again);
            }
            Damage::Insert(at, more) => drop(bytes.splice(at % len..at % len, more.iter().copied())),
        }
    }
    bytes
}

#[test]
fn sound_bytes_are_accepted_and_walked_to_their_end() {
    let frame = frame();
    let read = Frame::read(&frame).unwrap();
    assert_eq!(walk::frame(&read), (3, 2, 1));
    let effects = effects();
    let read = Effects::read(&effects, ANSWERING, &EffectLimits::default()).unwrap();
    assert_eq!(walk::effects(&read), 4 + 2 + 2 + 1 + 1 + 1 + 1);
}

/// A frame for an operator that asks for processing time, with a timer by the clock, or with an event.
fn frame_with_clock(event: bool) -> Vec<u8> {
    let mut writer = FrameWriter::default();
    writer.start();
    writer.key(b"a", None);
    writer.clock(1 << 41, 77);
    if event {
        let event = writer.event(5, 4);
        write::array(event, 0);
        writer.slot(0);
    } else {
        writer.clock_timer(DueTimer { slot: 0, at: 40, name: "flush" });
    }
    writer.finish(9, 10).concat()
}

#[test]
fn the_clock_is_read_with_events_and_without_and_its_timers_only_without() {
    let (with, without) = (frame_with_clock(true), frame_with_clock(false));
    let with = Frame::read(&with).unwrap();
    assert_eq!((with.now, with.clock_timer_count(), with.clock_until), (Some(1 << 41), 0, i64::MIN));
    let without = Frame::read(&without).unwrap();
    let timers: Vec<_> = without.clock_timers().map(Result::unwrap).collect();
    assert_eq!((without.now, timers, without.clock_until), (Some(1 << 41), vec![DueTimer { slot: 0, at: 40, name: "flush" }], 77));
    assert_eq!(Frame::read(&frame()).unwrap().now, None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_frame_never_makes_the_guests_side_panic(damages in prop::collection::vec(damage(), 1..6)) {
        for sound in [frame(), frame_with_clock(true), frame_with_clock(false)] {
            let bytes = suffer(sound, &damages);
            if let Ok(frame) = Frame::read(&bytes) {
                walk::frame(&frame);
            }
        }
    }

    #[test]
    fn damaged_effects_never_make_the_host_panic_and_what_is_accepted_is_whole(damages in prop::collection::vec(damage(), 1..6)) {
        let bytes = suffer(effects(), &damages);
        if let Ok(effects) = Effects::read(&bytes, ANSWERING, &EffectLimits::default()) {
            walk::checked(&effects, ANSWERING);
        }
    }
}
