//! Guests whose calls come back, with lies.

use sangam_protocol::effects::{Cause, EffectsWriter, OutputKey, RejectKind};
use sangam_protocol::msgpack::write;
use sangam_tests::guest::Guest;

use super::Ends::InBatch;
use super::{Case, case};

pub fn cases() -> Vec<Case> {
    let bytes = |what, effects: &[u8], error| case(what, Guest::answering(effects), InBatch(0, error));
    let written = |what, lie: &dyn Fn(&mut EffectsWriter), error| {
        let mut effects = EffectsWriter::default();
        effects.start();
        lie(&mut effects);
        case(what, Guest::answering(effects.finish()), InBatch(0, error))
    };
    let pointer = |what, reply: &str, error| case(what, Guest::processing(format!("(i64.const {reply})")), InBatch(0, error));
    let many = |count: u32, one: &dyn Fn(&mut EffectsWriter, u32)| {
        let mut effects = EffectsWriter::default();
        effects.start();
        (0..count).for_each(|i| one(&mut effects, i));
        effects.finish().to_vec()
    };
    let echo = "(i64.or (i64.shl (i64.extend_i32_u (local.get $ptr)) (i64.const 32)) (i64.extend_i32_u (local.get $len)))";
    vec![
        pointer("effects out of range", "0x0010000000000001", "the guest's effects is out of its memory: 1 bytes at 0x100000 of 65536"),
        pointer("effects whose end wraps around", "-1", "the guest's effects is out of its memory: 4294967295 bytes at 0xffffffff"),
        pointer("effects that end one byte late", "0x0000ffff00000002", "the guest's effects is out of its memory: 2 bytes at 0xffff"),
        pointer("effects of all its memory", "0x10000", "the effects break a limit: 65536 bytes of effects, at most 32768 allowed"),
        pointer("no effects", "0", "the effects are malformed: outer array: the value is cut short"),
        case(
            "the frame for effects",
            Guest::processing(echo),
            InBatch(0, "the effects are malformed: emits: expected an array, found an integer"),
        ),
        pointer("effects that lie in the buffer of the frame", "0x0000100000000020", "the effects are malformed"),
        bytes("effects cut short", b"\x96\x90", "the effects are malformed: states: the value is cut short"),
        bytes("too few parts", b"\x93\x90\x90\x90", "the effects are malformed: outer array: the value is cut short"),
        bytes("text for an array", b"\x96\xa1x\x90\x90\x90\x80\x90", "the effects are malformed: emits: expected an array, found a string"),
        bytes("a port that is text", b"\x96\x91\x92\xa1x\x00\x90\x90\x90\x80\x90", "the effects are malformed: emits: expected an integer"),
        bytes(
            "an array for counters",
            b"\x96\x90\x90\x90\x90\x90\x90",
            "the effects are malformed: counters: expected a map, found an array",
        ),
        bytes("arrays in arrays without end", &[0x91; 4_000], "the effects are malformed"),
        bytes("six parts nested without end", &[&b"\x96"[..], &[0x91; 4_000]].concat(), "the effects are malformed"),
        bytes("four billion emits", b"\x96\xdd\xff\xff\xff\xff\x92\x00\x00", "the effects are malformed: emits"),
        bytes(
            "a value of four gigabytes",
            b"\x96\x91\x93\x00\x00\xc6\xff\xff\xff\xffx",
            "the effects are malformed: emits: the value is cut short",
        ),
        bytes(
            "an emit of seven elements",
            b"\x96\x91\x97\x00\x00\x00\x00\x00\x00\x00\x90\x90\x90\x80\x90",
            "the 2, 3 or 6 elements of an emit",
        ),
        written("a port that there is not", &|w| w.forward(1, 0), "the effects name port 1, but there are 1"),
        written("an event that there is not", &|w| w.forward(0, 2), "the effects name event 2, but there are 2"),
        written("the largest event", &|w| w.forward(0, u32::MAX), "the effects name event 4294967295, but there are 2"),
        written("state of a slot that there is not", &|w| w.state(1, Some(b"x")), "the effects name slot 1, but there are 1"),
        written(
            "the key of a slot that there is not",
            &|w| w.full(0, Cause::Event(0), 0, OutputKey::Slot(7), &[], None::<fn(&mut Vec<u8>)>),
            "the effects name slot 7, but there are 1",
        ),
        written(
            "a timer after all events",
            &|w| w.full(0, Cause::TimerBefore(3), 0, OutputKey::None, &[], None::<fn(&mut Vec<u8>)>),
            "the effects name event 3, but there are 3",
        ),
        written(
            "headers that are no map",
            &|w| w.full(0, Cause::Event(0), 0, OutputKey::None, &[0x07], None::<fn(&mut Vec<u8>)>),
            "the effects are malformed: emits: expected a map",
        ),
        written("a state bomb", &|w| w.state(0, Some(&[7; 65])), "65 bytes of state of one key, at most 64 allowed"),
        written("a cell bomb", &|w| w.cell(0, b"c", Some(&[7; 65])), "65 bytes of one cell, at most 64 allowed"),
        written("a cell key bomb", &|w| w.cell(0, &[7; 17], None), "17 bytes of a cell's key, at most 16 allowed"),
        bytes("a timer bomb", &many(5, &|w, i| w.timer(0, "t", Some(i64::from(i)))), "5 timers, at most 4 allowed"),
        written("a timer name bomb", &|w| w.timer(0, &"t".repeat(17), None), "17 bytes of a timer's name, at most 16 allowed"),
        bytes("an output bomb", &many(9, &|w, _| w.forward(0, 0)), "5 outputs, at most 4 allowed"),
        bytes("a counter bomb", &many(3, &|w, _| w.counter("c", u64::MAX)), "3 counters, at most 2 allowed"),
        bytes("more rejects than events", &many(3, &|w, _| w.reject(0, RejectKind::Reject, "")), "3 rejects, at most 2 allowed"),
        bytes(
            "a reason that is no text",
            b"\x96\x90\x90\x90\x91\x93\x00\x00\xa2\xff\xfe\x80\x90",
            "the effects are malformed: rejects: the text is not UTF-8",
        ),
        bytes("a reject of a kind that there is not", b"\x96\x90\x90\x90\x91\x93\x00\x09\xa0\x80\x90", "a kind of reject (0, 1 or 2)"),
        bytes("a fault that is no text", b"\x81\xa5fault\xa2\xff\xfe", "the effects are malformed: fault: the text is not UTF-8"),
        bytes("a fault", b"\x81\xa5fault\xa3why", "the operator failed: why"),
        bytes("a fault with a novel", &fault(20_000), "the operator failed: xxx"),
    ]
}

fn fault(len: usize) -> Vec<u8> {
    let mut out = vec![0x81];
    write::str(&mut out, "fault");
    write::str(&mut out, &"x".repeat(len));
    out
}
