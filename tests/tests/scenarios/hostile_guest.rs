//! Guests that mean harm, or are broken in the same ways: the process lives, the error says what happened, the next batch of a good
//! guest is right, and nothing is left behind.

use std::sync::Arc;
use std::time::Duration;

use sangam::sandbox::{CallError, Limits, LoadError, Sandbox, SandboxOptions};
use sangam_protocol::effects::{Cause, EffectLimits, EffectsWriter, OutputKey, RejectKind};
use sangam_protocol::msgpack::write;
use sangam_tests::guest::{Guest, MANIFEST, escaped, fixture};
use sangam_tests::play::{Batch, Refused, play};

/// How an acquaintance with a guest ends.
#[derive(Clone, Copy, Debug)]
enum Ends {
    /// Not loaded, with an error that contains this.
    AtLoad(&'static str),
    /// Loaded, but no instance starts.
    AtStart(&'static str),
    /// Started, but the batch with this index fails; those before it go well.
    InBatch(u32, &'static str),
    /// Odd, yet within its rights.
    Well,
}
use Ends::{AtLoad, AtStart, InBatch, Well};

/// A hostile guest.
struct Case {
    what: &'static str,
    wasm: Vec<u8>,
    ends: Ends,
}

// === the suite ===

#[test]
fn a_module_that_cannot_be_trusted_is_not_loaded() {
    check_all(modules());
}

#[test]
fn a_guest_that_fails_while_it_starts_takes_nothing_with_it() {
    check_all(starters());
}

#[test]
fn a_guest_that_fails_in_a_batch_takes_nothing_with_it() {
    check_all(batches());
}

#[test]
fn effects_that_lie_are_refused_whole() {
    check_all(liars());
}

/// Runs in a process of its own, where no other test moves the numbers.
#[test]
fn many_rounds_of_all_hostile_guests_leave_memory_flat() {
    const ROUNDS: usize = 50;
    const ALONE: &str = "SANGAM_TEST_ALONE";
    const NAME: &str = "hostile_guest::many_rounds_of_all_hostile_guests_leave_memory_flat";
    if std::env::var_os(ALONE).is_none() {
        let test = std::env::current_exe().unwrap();
        let output = std::process::Command::new(test).args(["--exact", NAME, "--nocapture"]).env(ALONE, "1").output().unwrap();
        let ran = String::from_utf8_lossy(&output.stdout).contains("1 passed");
        assert!(output.status.success() && ran, "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        return;
    }
    let sandbox = sandbox();
    let limits = Limits { batch_time: Duration::from_millis(5), init_time: Duration::from_millis(5), ..limits() };
    let plugins: Vec<_> = all().iter().filter_map(|case| sandbox.load(&case.wasm).ok()).collect();
    assert!(plugins.len() > 50);
    let round = || {
        for plugin in &plugins {
            if let Ok(mut instance) = plugin.start(&[0x80], &limits) {
                // Most fail, some do not: neither may leave anything.
                let _ = play(&mut instance, &Batch::texts(&["a", "b"]), &limits, |_| ());
            }
        }
    };
    (0..10).for_each(|_| round());
    let before = resident_bytes();
    (0..ROUNDS).for_each(|_| round());
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more after {} hostile instances", ROUNDS * plugins.len());
    assert_eq!(sandbox.instances(), 0);
}

/// Bytes of memory that this process really uses.
fn resident_bytes() -> usize {
    let pages: usize = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

// === the check ===

fn sandbox() -> Arc<Sandbox> {
    Sandbox::new(SandboxOptions { instances_max: 4, memory_bytes_max: 64 << 20, module_bytes_max: 4 << 20, ..SandboxOptions::default() })
        .unwrap()
}

fn limits() -> Limits {
    Limits {
        memory_bytes: 4 << 20,
        batch_time: Duration::from_millis(200),
        init_time: Duration::from_millis(200),
        effects: EffectLimits {
            output_bytes: 32 << 10,
            outputs_per_event: 4,
            state_bytes: 64,
            timers_per_event: 2,
            name_bytes: 16,
            counters: 2,
        },
        ..Limits::default()
    }
}

fn all() -> Vec<Case> {
    [modules(), starters(), batches(), liars()].into_iter().flatten().collect()
}

fn check_all(cases: Vec<Case>) {
    let sandbox = sandbox();
    let good = fixture("count.wat").unwrap();
    for case in cases {
        check(&sandbox, &case);
        assert_eq!(sandbox.instances(), 0, "{}", case.what);
        check_good(&sandbox, &good, case.what);
    }
}

fn check(sandbox: &Arc<Sandbox>, case: &Case) {
    let Case { what, wasm, ends } = case;
    let limits = limits();
    let said = |error: &dyn std::fmt::Display, expected: &str| {
        let text = error.to_string();
        assert!(text.contains(expected), "{what}: {text}");
        assert!(text.len() < 10_000 && !text.chars().any(|c| c.is_control() && c != '\n'), "{what}: fit for a log: {text:?}");
    };
    let plugin = match (sandbox.load(wasm), ends) {
        (Err(e), AtLoad(expected)) => return said(&e, expected),
        (Ok(plugin), AtStart(_) | InBatch(..) | Well) => plugin,
        (loaded, _) => panic!("{what}: {:?}", loaded.map_err(|e| e.to_string())),
    };
    let mut instance = match (plugin.start(&[0x80], &limits), ends) {
        (Err(e), AtStart(expected)) => {
            assert!(!e.is_hosts_fault(), "{what}: {e}");
            return said(&e, expected);
        }
        (Ok(instance), InBatch(..) | Well) => instance,
        (started, _) => panic!("{what}: {started:?}"),
    };
    let last = if let InBatch(n, _) = ends { *n } else { 2 };
    for n in 0..=last {
        let answer = play(&mut instance, &Batch::texts(&["a", "b"]), &limits, |_| ());
        match (answer, ends) {
            (Err(refused), InBatch(n_expected, expected)) if n == *n_expected => {
                said(&refused, expected);
                // After a failed call the instance is done for; after bad effects, the caller throws it away.
                if let Refused::Call(e) = refused {
                    assert!(!e.is_hosts_fault(), "{what}: {e}");
                    let again = play(&mut instance, &Batch::texts(&["a"]), &limits, |_| ());
                    assert_eq!(again, Err(Refused::Call(CallError::Poisoned)), "{what}");
                }
            }
            (Ok(()), _) if !matches!(ends, InBatch(at, _) if *at == n) => {}
            (answer, _) => panic!("{what}: batch {n}: {answer:?}"),
        }
    }
}

/// A good guest, loaded into the same sandbox, still counts.
fn check_good(sandbox: &Arc<Sandbox>, good: &[u8], after: &str) {
    let plugin = sandbox.load(good).unwrap();
    let limits = Limits::default();
    let mut instance = plugin.start(&[0x80], &limits).unwrap();
    let states = play(&mut instance, &Batch::texts(&["x", "x", "x"]), &limits, |effects| {
        assert_eq!(effects.emit_count(), 3);
        effects.states().map(|(_, state)| state.unwrap().to_vec()).collect::<Vec<_>>()
    });
    assert_eq!(states, Ok(vec![3u64.to_le_bytes().to_vec()]), "after: {after}");
}

// === modules that are not loaded ===

fn case(what: &'static str, guest: Guest, ends: Ends) -> Case {
    let wasm = guest.build().unwrap_or_else(|e| panic!("{what}: {e}\n{}", guest.text()));
    Case { what, wasm, ends }
}

fn modules() -> Vec<Case> {
    let raw = |what, wasm: &[u8], ends| Case { what, wasm: wasm.to_vec(), ends };
    let manifest = |what, json: &str, error| case(what, Guest { manifest: Some(json.into()), ..Guest::default() }, AtLoad(error));
    let change = |what, from: &str, to: &str, error| {
        let json = MANIFEST.replace(from, to);
        assert_ne!(json, MANIFEST, "{what}");
        manifest(what, &json, error)
    };
    let imports = |what, imports: &str, error| case(what, Guest { imports: imports.into(), ..Guest::default() }, AtLoad(error));
    let more = |what, more: &str, error| case(what, Guest { more: more.into(), ..Guest::default() }, AtLoad(error));
    let memory = |what, memory: &str, error| case(what, Guest { memory: memory.into(), ..Guest::default() }, AtLoad(error));
    let alloc = |what, alloc: &str, error| case(what, Guest { alloc: alloc.into(), ..Guest::default() }, AtLoad(error));
    // Changes to the template's text, for what it always writes.
    let edit = |what, from: &str, to: &str, error| {
        let text = Guest::default().text();
        assert!(text.contains(from), "{what}");
        Case { what, wasm: wat::parse_str(text.replace(from, to)).unwrap(), ends: AtLoad(error) }
    };
    let good = Guest::default().build().unwrap();
    let huge_section = format!(r#"(@custom "junk" "{}")"#, "x".repeat(5 << 20));
    let fitting_section = format!(r#"(@custom "junk" "{}")"#, "x".repeat(2 << 20));
    vec![
        raw("an empty file", b"", AtLoad("the file is empty")),
        raw("a script", b"#!/bin/sh\nrm -rf /\n", AtLoad("does not begin like one")),
        raw("a component", b"\0asm\x0d\0\x01\0", AtLoad("it is a component; build a core module")),
        raw("half a file", &good[..good.len() / 2], AtLoad("not a module that this host takes")),
        raw("a file without its last byte", &good[..good.len() - 1], AtLoad("not a module that this host takes")),
        raw("bytes after a good module", &[&good[..], b"\xff\xff\xff"].concat(), AtLoad("not a module that this host takes")),
        more("a custom section larger than the limit on files", &huge_section, "at most 4194304 allowed"),
        case("a large custom section that no one reads", Guest { more: fitting_section, ..Guest::default() }, Well),
        // manifests
        case("no manifest", Guest { manifest: None, ..Guest::default() }, AtLoad("is there an `#[operator]` in it")),
        more("two manifests", r#"(@custom "sangam.manifest" "{}")"#, "there are 2 custom sections `sangam.manifest`"),
        manifest("garbage for a manifest", "\0\u{1b}[2J\u{7f}", "not the JSON that it should be"),
        manifest("a manifest nested without end", &"[".repeat(200_000), "not the JSON that it should be"),
        manifest("a manifest of two megabytes", &" ".repeat(2 << 20), "at most 1048576 allowed"),
        change("a manifest for another ABI", r#""abi":1"#, r#""abi":99"#, "it was built for ABI 99, this host speaks ABI 1"),
        change("a stateless operator with a key", "keyed", "stateless", "it is stateless but names a key"),
        change("a kind that there is not", "keyed", "kyed", "unknown variant `kyed`"),
        change(
            "no inputs",
            r#""inputs":[{"name":"in","types":[{"name":"Word","fields":[{"path":"text"}]}]}]"#,
            r#""inputs":[]"#,
            "it names no input",
        ),
        change("a field that the manifest does not have", r#""abi":1"#, r#""abi":1,"root":true"#, "unknown field `root`"),
        change("the same port twice", r#"["out"]"#, r#"["out","out"]"#, "the output port `out` is there twice"),
        change("a name that drives the terminal", r#""guest""#, r#""a\u001b[2J""#, "a slash or a control character"),
        change("a name that climbs out of a folder", r#""guest""#, r#""../../etc/passwd""#, "a slash or a control character"),
        // imports
        imports("an unknown import", r#"(import "env" "system" (func (param i32)))"#, "import `env.system` is not offered"),
        imports("a way to write state", r#"(import "sangam" "state_set" (func (param i32)))"#, "import `sangam.state_set` is not offered"),
        imports("a browser", r#"(import "__wbindgen_placeholder__" "now" (func))"#, "it was built for a browser"),
        imports(
            "an import of the wrong type",
            r#"(import "sangam" "log" (func (param i64)))"#,
            "is (i64) -> (), but the host offers (i32, i32, i32) -> ()",
        ),
        imports("a global for a function", r#"(import "sangam" "log" (global i32))"#, "is global, but the host offers"),
        imports(
            "a WASI function of the wrong type",
            r#"(import "wasi_snapshot_preview1" "random_get" (func (result i32)))"#,
            "the host offers (i32, i32) -> i32",
        ),
        imports("a WASI memory", r#"(import "wasi_snapshot_preview1" "memory" (table 1 funcref))"#, "is not offered"),
        case(
            "memory from outside",
            Guest { imports: r#"(import "env" "memory" (memory 1))"#.into(), memory: String::new(), ..Guest::default() },
            AtLoad("a guest defines its memory itself"),
        ),
        // exports
        edit(
            "no function to process with",
            r#"(export "sangam_process")"#,
            "",
            "export `sangam_process` is missing; was it built with sangam-sdk as a cdylib?",
        ),
        edit("no memory", r#"(export "memory")"#, "", "export `memory` is missing"),
        edit("no mark of the ABI", "sangam_abi_v1", "sangam_abi_v2", "export `sangam_abi_v1` is missing; it marks ABI 1"),
        alloc(
            "an export of the wrong type",
            r#"(func (export "sangam_alloc") (param i64) (result i32) (i32.const 0))"#,
            "is (i64) -> i32, but the ABI asks for (i32) -> i32",
        ),
        alloc(
            "a global for an export",
            r#"(global (export "sangam_alloc") i32 (i32.const 0))"#,
            "is global, but the ABI asks for (i32) -> i32",
        ),
        more("a command", r#"(func (export "_start"))"#, "it is a command (it exports `_start`)"),
        more("an `_initialize` that wants arguments", r#"(func (export "_initialize") (param i32))"#, "the ABI asks for () -> ()"),
        // proposals that are off
        more("two memories", "(memory 1)", "not a module that this host takes: multiple memories"),
        memory("shared memory", r#"(memory (export "memory") 1 1 shared)"#, "threads must be enabled for shared memories"),
        case(
            "plain SIMD, which is welcome",
            Guest { more: "(func (param v128) (result v128) (i32x4.abs (local.get 0)))".into(), ..Guest::default() },
            Well,
        ),
        more(
            "relaxed SIMD",
            "(func (param v128) (result v128) (i32x4.relaxed_trunc_f32x4_s (local.get 0)))",
            "relaxed SIMD support is not enabled",
        ),
        more("exceptions", "(tag)", "exceptions"),
        // declared sizes
        memory(
            "four gigabytes of memory to begin with",
            r#"(memory (export "memory") 65536)"#,
            "it declares 4294967296 bytes of memory at least",
        ),
        more("a table of four billion entries", "(table 4294967295 funcref)", "table entries at least, at most 20000 allowed"),
    ]
}

// === guests that fail before their first batch ===

/// A loop without end.
const FOR_EVER: &str = "(loop $for_ever (br $for_ever))";

const LOG: &str = r#"(import "sangam" "log" (func $log (param i32 i32 i32)))"#;

fn starters() -> Vec<Case> {
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

// === guests that fail in a batch ===

/// Empty effects, as an end of a body.
const NOTHING: &str = "(i64.const 0x1000000007)";

fn batches() -> Vec<Case> {
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

// === guests whose calls come back with lies ===

fn liars() -> Vec<Case> {
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
        bytes("an output bomb", &many(9, &|w, _| w.forward(0, 0)), "9 outputs, at most 8 allowed"),
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

/// The two kinds of error are not mixed up: one keeps a module out, the other ends an instance.
#[test]
fn a_refusal_to_load_names_what_is_wrong_and_the_remedy() {
    let guest = Guest { manifest: None, ..Guest::default() };
    let error = sandbox().load(&guest.build().unwrap()).unwrap_err();
    assert!(matches!(error, LoadError::Manifest(_)));
    assert!(error.to_string().ends_with("built with sangam-sdk as a cdylib?"), "{error}");
}
