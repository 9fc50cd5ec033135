//! `docs/abi.md` is a contract: its examples are what our own writers write, and its defaults are the real ones.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use sangam_protocol::effects::{Answering, Cause, EffectLimits, Effects, EffectsWriter, OutputKey, RejectKind};
use sangam_protocol::frame::{DueTimer, Frame, FrameWriter};
use sangam_protocol::manifest::Manifest;
use sangam_protocol::msgpack::write;

const PAGE: &str = include_str!("../../../docs/abi.md");

/// The text of the fenced block with this label.
fn block(label: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```{label}\n")).expect("the page has this block");
    rest.split_once("```").expect("the block ends").0
}

/// The bytes of a block in hexadecimal, with comments from `;` on.
fn bytes(label: &str) -> Vec<u8> {
    let digits = block(label).lines().flat_map(|line| line.split(';').next().unwrap_or("").split_whitespace());
    digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[test]
fn the_frame_on_the_page_is_the_one_that_is_written() {
    let mut writer = FrameWriter::default();
    writer.start();
    let to = writer.key(b"to", Some(&1u64.to_le_bytes()));
    let be = writer.key(b"be", None);
    writer.timer(DueTimer { slot: to, at: 600, name: "idle" });
    for (time, slot, text) in [(1000, to, "to"), (1200, be, "be")] {
        let event = writer.event(time, 499);
        write::array(event, 1);
        write::str(event, text);
        writer.slot(slot);
    }
    let written = writer.finish(699, i64::MAX).concat();
    assert_eq!(bytes("hex frame"), written);
    assert!(Frame::read(&written).is_ok());
}

#[test]
fn the_frame_with_a_clock_on_the_page_is_the_one_that_is_written() {
    let mut writer = FrameWriter::default();
    writer.start();
    let to = writer.key(b"to", None);
    writer.clock(1_600, i64::MAX);
    writer.clock_timer(DueTimer { slot: to, at: 1_500, name: "flush" });
    let written = writer.finish(699, i64::MAX).concat();
    assert_eq!(bytes("hex clock"), written);
    let frame = Frame::read(&written).unwrap();
    assert_eq!((frame.now, frame.clock_timer_count()), (Some(1_600), 1));
}

#[test]
fn the_effects_on_the_page_are_the_ones_that_are_written() {
    let mut writer = EffectsWriter::default();
    writer.start();
    writer.simple(0, 0, |out| {
        write::map(out, 1);
        write::str(out, "seen");
        write::u64(out, 2);
    });
    writer.forward(0, 1);
    writer.full(0, Cause::TimerBefore(2), 600, OutputKey::Slot(0), &[], Some(|out: &mut Vec<u8>| write::u64(out, 7)));
    writer.state(0, Some(&2u64.to_le_bytes()));
    writer.state(1, None);
    writer.timer(0, "idle", None);
    writer.timer(1, "idle", Some(1900));
    writer.reject(1, RejectKind::Late, "old");
    writer.counter("hits", 3);
    writer.cell(0, b"c", Some(b"v"));
    let written = writer.finish();
    assert_eq!(bytes("hex effects"), written);
    let answering = Answering { events: 2, slots: 2, timers: 1, ports: 1 };
    assert!(Effects::read(written, answering, &EffectLimits::default()).is_ok());
    assert_eq!(bytes("hex fault"), writer.fault(Some(1), "no route"));
}

#[test]
fn the_manifest_on_the_page_is_a_sound_one() {
    let manifest: Manifest = serde_json::from_str(block("json")).unwrap();
    manifest.check().unwrap();
}

#[test]
fn the_limits_on_the_page_are_the_defaults() {
    let check = |row: &str, expected: &str| {
        let line = PAGE.lines().find(|line| line.starts_with(&format!("| {row}"))).expect("the page has this limit");
        assert_eq!(line.split('|').nth(2).map(str::trim), Some(expected), "{row}");
    };
    let limits = EffectLimits::default();
    let size = |bytes: usize| if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) };
    let number = |n: usize| if n >= 1000 { format!("{},{:03}", n / 1000, n % 1000) } else { n.to_string() };
    check("bytes of effects", &size(limits.output_bytes));
    check("emits per event", &number(limits.outputs_per_event));
    check("timer changes per event", &number(limits.timers_per_event));
    check("bytes of one key's state", &size(limits.state_bytes));
    check("bytes of a timer's name", &size(limits.name_bytes));
    check("counters per batch", &number(limits.counters));
}
