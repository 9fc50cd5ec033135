//! Guests that fail in a batch: traps, bombs, loops, pointers into nowhere.

use sangam_tests::guest::Guest;

use super::Ends::{InBatch, Well};
use super::{Case, FOR_EVER, LOG, case};

/// Empty effects, as an end of a body.
const NOTHING: &str = "(i64.const 0x1000000007)";

pub fn cases() -> Vec<Case> {
    let first = |what, body: &str, error| case(what, Guest::processing(body), InBatch(0, error));
    let with = |what, imports: &str, more: &str, process: String, ends| {
        case(what, Guest { imports: imports.into(), more: more.into(), process, ..Guest::default() }, ends)
    };
    let timeout = "the guest did not come back within 200ms";
    let trap = "the guest trapped";
    vec![
        first("a trap", "unreachable", trap),
        first(
            "a division by zero",
            "(i64.div_u (i64.const 1) (i64.extend_i32_u (i32.sub (local.get $ptr) (local.get $ptr))))",
            "integer divide by zero",
        ),
        first("a float that is no integer", "(i64.trunc_f64_s (f64.const nan))", "invalid conversion to integer"),
        first("no end", &format!("{FOR_EVER} (i64.const 0)"), timeout),
        first(
            "no end, with calls",
            "(loop $l (drop (memory.size)) (memory.fill (i32.const 8192) (i32.const 0) (i32.const 50000)) (br $l)) (i64.const 0)",
            timeout,
        ),
        first("recursion without end", "(i64.add (i64.const 1) (call $process (local.get $ptr) (local.get $len)))", "call stack exhausted"),
        first("a write out of range", "(i64.store (i32.const -8) (i64.const 1)) (i64.const 0)", "out of bounds memory access"),
        first(
            "a copy out of range",
            "(memory.copy (i32.const 0) (i32.const 1) (i32.const -1)) (i64.const 0)",
            "out of bounds memory access",
        ),
        with(
            "a call through an empty table",
            "",
            "(table 1 funcref)",
            "(call_indirect (result i64) (i32.const 0))".into(),
            InBatch(0, "uninitialized element"),
        ),
        with(
            "a call with the wrong type",
            "",
            "(table funcref (elem $process))",
            "(call_indirect (result i64) (i32.const 0))".into(),
            InBatch(0, "indirect call type mismatch"),
        ),
        first(
            "a memory bomb",
            "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable",
            "the guest ran out of bytes of memory: it asked for 4259840, at most 4194304 allowed",
        ),
        first(
            "all memory in one go",
            "(if (i32.eq (memory.grow (i32.const 65535)) (i32.const -1)) (then unreachable)) (i64.const 0)",
            "it asked for 4294967296",
        ),
        case(
            "all memory that it may have, and content with that",
            Guest::processing(format!("(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) {NOTHING}")),
            Well,
        ),
        with(
            "a table bomb",
            "",
            "(table $t 0 funcref)",
            "(loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable".into(),
            InBatch(0, "the guest ran out of table entries: it asked for 21000, at most 20000 allowed"),
        ),
        with(
            "a trap on the third batch",
            "",
            "(global $n (mut i32) (i32.const 0))",
            format!(
                "(global.set $n (i32.add (global.get $n) (i32.const 1))) (if (i32.eq (global.get $n) (i32.const 3)) (then unreachable)) {NOTHING}"
            ),
            InBatch(2, trap),
        ),
        case(
            "a buffer that moves out of memory after a while",
            Guest {
                more: "(global $at (mut i32) (i32.const 0))".into(),
                alloc: r#"(func (export "sangam_alloc") (param i32) (result i32)
                    (global.set $at (i32.add (global.get $at) (i32.const 30000))) (global.get $at))"#
                    .into(),
                ..Guest::default()
            },
            InBatch(1, "the guest's buffer from `sangam_alloc` is out of its memory"),
        ),
        case(
            "an odd buffer",
            Guest { alloc: r#"(func (export "sangam_alloc") (param i32) (result i32) (i32.const 4097))"#.into(), ..Guest::default() },
            Well,
        ),
        case(
            "a buffer over its own effects",
            Guest {
                alloc: r#"(func (export "sangam_alloc") (param i32) (result i32) (i32.const 16))"#.into(),
                init: "(i64.store8 (i32.const 9) (i64.const 0)) (i64.const 0x900000001)".into(),
                ..Guest::default()
            },
            InBatch(0, "the effects are malformed"),
        ),
        // imports
        with(
            "a log line out of range",
            LOG,
            "",
            format!("(call $log (i32.const 1) (i32.const 65535) (i32.const 2)) {NOTHING}"),
            InBatch(0, "the guest's log line is out of its memory"),
        ),
        with(
            "a log line whose end wraps around",
            LOG,
            "",
            format!("(call $log (i32.const 1) (i32.const -1) (i32.const -1)) {NOTHING}"),
            InBatch(0, "the guest's log line is out of its memory"),
        ),
        with(
            "a log bomb of all its memory",
            LOG,
            "(global $n (mut i32) (i32.const 0))",
            format!(
                "(global.set $n (i32.const 1000)) (loop $l (call $log (i32.const 1) (i32.const 0) (i32.const 65536)) (global.set $n (i32.sub (global.get $n) (i32.const 1))) (br_if $l (global.get $n))) {NOTHING}"
            ),
            Well,
        ),
        with(
            "a log without end",
            LOG,
            "",
            "(loop $l (call $log (i32.const 1) (i32.const 0) (i32.const 9)) (br $l)) (i64.const 0)".into(),
            InBatch(0, timeout),
        ),
        with(
            "a read of state with a key out of range",
            r#"(import "sangam" "state_get" (func $get (param i32 i32 i32 i32 i32) (result i64)))"#,
            "",
            "(call $get (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 8))".into(),
            InBatch(0, "the guest's cell key is out of its memory"),
        ),
        with(
            "a read of state into nowhere",
            r#"(import "sangam" "state_get" (func $get (param i32 i32 i32 i32 i32) (result i64)))"#,
            "",
            "(call $get (i32.const -1) (i32.const 0) (i32.const 1) (i32.const 65530) (i32.const 8))".into(),
            InBatch(0, "the guest's buffer for a cell is out of its memory"),
        ),
        with(
            "a scan of state into nowhere",
            r#"(import "sangam" "state_scan" (func $scan (param i32 i32 i32 i32 i32 i32 i32) (result i64)))"#,
            "",
            "(call $scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const -1))".into(),
            InBatch(0, "the guest's buffer for cells is out of its memory"),
        ),
        with(
            "an exit",
            r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#,
            "",
            "(call $exit (i32.const 0)) (i64.const 0)".into(),
            InBatch(0, "the guest called exit(0)"),
        ),
        with(
            "text pieces out of range",
            r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"#,
            "",
            "(drop (call $write (i32.const 1) (i32.const 8) (i32.const -1) (i32.const 0))) (i64.const 0)".into(),
            InBatch(0, "the guest's list of text pieces is out of its memory"),
        ),
    ]
}
