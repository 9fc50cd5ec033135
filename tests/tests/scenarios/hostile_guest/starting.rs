//! Guests that fail before their first batch: while their memory is set up, in a start function, in `sangam_init`.

use sangam_tests::guest::{Guest, escaped};

use super::Ends::AtStart;
use super::{Case, FOR_EVER, LOG, case};

pub fn cases() -> Vec<Case> {
    let init = |what, body: &str, error| case(what, Guest { init: body.into(), ..Guest::default() }, AtStart(error));
    let more = |what, more: &str, error| case(what, Guest { more: more.into(), ..Guest::default() }, AtStart(error));
    let alloc = |what, body: &str, error| {
        let alloc = format!(r#"(func (export "sangam_alloc") (param i32) (result i32) {body})"#);
        case(what, Guest { alloc, ..Guest::default() }, AtStart(error))
    };
    let reply = |what, reply: &[u8], error| {
        let more = format!(r#"(data (i32.const 512) "{}")"#, escaped(reply));
        let init = format!("(i64.const {})", (512u64 << 32) | reply.len() as u64);
        case(what, Guest { more, init, ..Guest::default() }, AtStart(error))
    };
    let timeout = "the guest did not come back within 200ms";
    vec![
        more(
            "a start function that traps",
            "(start $boom) (func $boom unreachable)",
            "the guest trapped: wasm trap: wasm `unreachable` instruction",
        ),
        more("a start function without end", &format!("(start $boom) (func $boom {FOR_EVER})"), timeout),
        case(
            "a start function that logs what is not there",
            Guest {
                imports: LOG.into(),
                more: "(start $boom) (func $boom (call $log (i32.const 1) (i32.const -1) (i32.const 9)))".into(),
                ..Guest::default()
            },
            AtStart("the guest's log line is out of its memory: 9 bytes at 0xffffffff of 65536"),
        ),
        more("an `_initialize` that traps", r#"(func (export "_initialize") unreachable)"#, "the guest trapped"),
        more("a data segment out of range", r#"(data (i32.const 65535) "xx")"#, "out of bounds memory access"),
        more("a table segment out of range", "(table 1 funcref) (elem (i32.const 1) func $process)", "out of bounds table access"),
        case(
            "more memory to begin with than the operator may have",
            Guest { memory: r#"(memory (export "memory") 100)"#.into(), ..Guest::default() },
            AtStart("the guest ran out of bytes of memory: it asked for 6553600, at most 4194304 allowed"),
        ),
        init("a trap in init", "unreachable", "the guest trapped"),
        init("no end in init", &format!("{FOR_EVER} (i64.const 0)"), timeout),
        init(
            "a memory bomb in init",
            "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable",
            "ran out of bytes of memory",
        ),
        init("a reply out of range", "(i64.const -1)", "the guest's reply to `sangam_init` is out of its memory"),
        reply("a refusal that is no text", b"\xa4\xff\xfe\n!", r"the operator refuses its configuration: ��\n!"),
        reply("a reply that is garbage", b"\xc1", "the reply to `sangam_init` is refused: expected an integer, found a reserved byte"),
        reply("a reply with a string cut short", b"\xdb\xff\xff\xff\xff!", "the reply to `sangam_init` is refused: the value is cut short"),
        reply("fields that the manifest did not announce", b"\x91\x92\xa1a\xc3", "no input of the manifest is `dynamic`"),
        alloc("no end in alloc", &format!("{FOR_EVER} (i32.const 0)"), timeout),
        alloc(
            "a buffer below zero",
            "(i32.const -4)",
            "the guest's buffer from `sangam_alloc` is out of its memory: 1 bytes at 0xfffffffc",
        ),
        alloc("a buffer just behind the memory", "(i32.const 65536)", "the guest's buffer from `sangam_alloc` is out of its memory"),
    ]
}
