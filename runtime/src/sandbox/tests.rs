//! The door's own promises, on small guests in WebAssembly text. Hostile ones have a suite of their own in the `tests` crate.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;

/// A guest in parts; the default one answers every frame with effects in which nothing happens.
struct Guest<'a> {
    manifest: &'a str,
    /// Imports, functions, data.
    more: &'a str,
    /// Body of `sangam_init`.
    init: &'a str,
    /// Body of `sangam_process`.
    process: &'a str,
}

const MANIFEST: &str = r#"{"abi":1,"name":"small","version":"1","kind":"stateless","inputs":[{"name":"in"}]}"#;

impl Default for Guest<'_> {
    fn default() -> Self {
        // At 16 lie the empty effects, at 23 the reply that accepts.
        Guest { manifest: MANIFEST, more: "", init: "(i64.const 0x1700000001)", process: "(i64.const 0x1000000007)" }
    }
}

impl Guest<'_> {
    fn build(&self) -> Vec<u8> {
        let Guest { manifest, more, init, process } = self;
        let text = format!(
            r#"(module
                {more}
                (@custom "sangam.manifest" {manifest:?})
                (memory (export "memory") 1)
                (data (i32.const 16) "\96\90\90\90\90\80\90\00")
                (func (export "sangam_abi_v1"))
                (func (export "sangam_alloc") (param i32) (result i32) (i32.const 1024))
                (func (export "sangam_init") (param $ptr i32) (param $len i32) (result i64) {init})
                (func (export "sangam_process") (param $ptr i32) (param $len i32) (result i64) {process}))"#
        );
        wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }
}

fn sandbox() -> Arc<Sandbox> {
    Sandbox::new(SandboxOptions { instances_max: 4, ..SandboxOptions::default() }).unwrap()
}

fn start(guest: &Guest<'_>) -> Result<Instance, CallError> {
    sandbox().load(&guest.build()).unwrap().start(&[0x80], &Limits::default())
}

/// What a guest logs while it handles one frame.
fn logged(guest: &Guest<'_>, limits: &Limits) -> Vec<(LogLevel, String)> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let collector: LogCollector = {
        let seen = seen.clone();
        Box::new(move |level, line| seen.lock().unwrap().push((level, line.to_owned())))
    };
    let mut instance = sandbox().load(&guest.build()).unwrap().start_logging(&[0x80], limits, collector).unwrap();
    instance.process([b"", b""], 0, &mut NoState).unwrap();
    drop(instance);
    Arc::into_inner(seen).unwrap().into_inner().unwrap()
}

/// Bytes as a string of WebAssembly text.
fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}

/// Answers with `len` bytes at `ptr`, both expressions of type i32.
fn answer(ptr: &str, len: &str) -> String {
    format!("(i64.or (i64.shl (i64.extend_i32_u {ptr}) (i64.const 32)) (i64.extend_i32_u {len}))")
}

#[test]
fn a_frame_reaches_the_guest_as_one_piece_and_its_answer_comes_back() {
    let mut echo = start(&Guest { process: &answer("(local.get $ptr)", "(local.get $len)"), ..Guest::default() }).unwrap();
    assert_eq!(echo.process([b"head, ", b"tail"], 0, &mut NoState).unwrap(), b"head, tail");
    assert_eq!(echo.process([b"", b"again"], 0, &mut NoState).unwrap(), b"again");
    assert_eq!(echo.memory_bytes(), 64 << 10);
}

#[test]
fn what_a_module_says_about_itself_is_read_without_running_it() {
    let wasm = Guest { more: r#"(import "sangam" "log" (func (param i32 i32 i32)))"#, ..Guest::default() }.build();
    let inspection = inspect(&wasm).unwrap();
    assert_eq!(inspection.manifest.name, "small");
    assert_eq!(inspection.bytes, wasm.len());
    assert_eq!(inspection.memory_bytes_min, 64 << 10);
    assert_eq!(inspection.imports, [Import { module: "sangam".into(), name: "log".into(), kind: "(i32, i32, i32) -> ()".into() }]);
    assert!(inspection.exports.contains(&Export { name: "sangam_init".into(), kind: "(i32, i32) -> i64".into() }));
    assert_eq!(inspection.sha256.len(), 64);
    assert!(!inspection.is_wasi());
}

#[test]
fn an_instance_that_failed_is_not_used_again_and_its_place_comes_free() {
    let sandbox = sandbox();
    let plugin = sandbox.load(&Guest { process: "unreachable", ..Guest::default() }.build()).unwrap();
    let mut instance = plugin.start(&[0x80], &Limits::default()).unwrap();
    assert_eq!(sandbox.instances(), 1);
    assert!(matches!(instance.process([b"", b""], 0, &mut NoState), Err(CallError::Trap { .. })));
    assert_eq!(instance.process([b"", b""], 0, &mut NoState), Err(CallError::Poisoned));
    drop(instance);
    assert_eq!(sandbox.instances(), 0);
}

#[test]
fn more_instances_than_there_are_places_is_an_error_and_not_the_guests_fault() {
    for allocation in [Allocation::Pooled, Allocation::OnDemand] {
        let sandbox = Sandbox::new(SandboxOptions { instances_max: 2, allocation, ..SandboxOptions::default() }).unwrap();
        let plugin = sandbox.load(&Guest::default().build()).unwrap();
        let start = || plugin.start(&[0x80], &Limits::default());
        let held = [start().unwrap(), start().unwrap()];
        let error = start().unwrap_err();
        assert_eq!(error, CallError::NoRoom(2));
        assert!(error.is_hosts_fault());
        drop(held);
        assert!(start().is_ok());
    }
}

/// Runs this test again in a process of its own, where address space is short; there it finds the pool refused.
#[cfg(target_os = "linux")]
#[test]
fn where_address_space_is_short_instances_get_their_memory_on_demand() {
    const SHORT: &str = "SANGAM_TEST_SHORT_OF_ADDRESS_SPACE";
    if std::env::var_os(SHORT).is_none() {
        let name = "sandbox::tests::where_address_space_is_short_instances_get_their_memory_on_demand";
        let script = format!("ulimit -v 2000000 && exec \"$0\" --exact {name} --nocapture");
        let shell = std::process::Command::new("sh").args(["-c", &script]).arg(std::env::current_exe().unwrap()).env(SHORT, "1").output();
        let output = shell.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let sandbox = Sandbox::new(SandboxOptions::default()).unwrap();
    assert_eq!(sandbox.options().allocation, Allocation::OnDemand);
    let plugin = sandbox.load(&Guest::default().build()).unwrap();
    let mut instances: Vec<_> = (0..10).map(|_| plugin.start(&[0x80], &Limits::default()).unwrap()).collect();
    for instance in &mut instances {
        assert_eq!(instance.process([b"", b""], 0, &mut NoState).unwrap().len(), 7);
    }
}

#[test]
fn the_limits_in_the_abis_page_are_the_defaults() {
    let page = include_str!("../../../docs/abi.md");
    let limits = Limits::default();
    let options = SandboxOptions::default();
    for row in [
        format!("| linear memory | {} MiB; {} GiB for any operator", limits.memory_bytes >> 20, options.memory_bytes_max >> 30),
        format!("| time of one batch, wall clock | {} s |", limits.batch_time.as_secs()),
        format!("| time to start: instantiation, `_initialize`, `sangam_init` | {} s |", limits.init_time.as_secs()),
        format!("| log lines per call, bytes per line | {}, {} KiB;", limits.log_lines, limits.log_line_bytes >> 10),
        format!("| bytes of the module's file (host) | {} MiB |", options.module_bytes_max >> 20),
        format!("| table entries (fixed) | {},000, in at most 2 tables |", limits::TABLE_ENTRIES_MAX / 1000),
    ] {
        assert!(page.contains(&row), "{row}");
    }
}

#[test]
fn an_instance_may_move_to_another_thread_between_calls() {
    let mut instance = start(&Guest::default()).unwrap();
    instance.process([b"", b""], 0, &mut NoState).unwrap();
    let answered = std::thread::spawn(move || instance.process([b"", b""], 0, &mut NoState).map(<[u8]>::len)).join().unwrap();
    assert_eq!(answered, Ok(7));
}

#[test]
fn a_trap_names_the_functions_that_led_to_it() {
    // Called through a table, as the compiler may inline what it can see.
    let more = "(table funcref (elem $divide_by $really)) (type $f (func (param i32) (result i32)))
        (func $divide_by (type $f) (i32.add (i32.const 1) (call_indirect (type $f) (local.get 0) (i32.add (local.get 0) (i32.const 1)))))
        (func $really (type $f) (i32.div_u (i32.const 1) (local.get 0)))";
    let guest = Guest { more, process: "(drop (call_indirect (type $f) (i32.const 0) (i32.const 0))) (i64.const 0)", ..Guest::default() };
    let error = start(&guest).unwrap().process([b"", b""], 0, &mut NoState).unwrap_err();
    let CallError::Trap { message, backtrace } = &error else { panic!("{error}") };
    assert!(message.contains("divide by zero"), "{message}");
    assert!(backtrace.first().is_some_and(|line| line.contains("really")), "{backtrace:?}");
    assert!(backtrace.iter().any(|line| line.contains("divide_by")), "{backtrace:?}");
}

#[test]
fn the_time_limit_is_the_batchs_own_and_not_that_of_all_batches_together() {
    let limits = Limits { batch_time: Duration::from_millis(100), ..Limits::default() };
    // The first byte of the frame says whether to loop.
    let process = "(loop $again (br_if $again (i32.load8_u (local.get $ptr)))) (i64.const 0x1000000007)";
    let plugin = sandbox().load(&Guest { process, ..Guest::default() }.build()).unwrap();
    let mut instance = plugin.start(&[0x80], &limits).unwrap();
    let begin = std::time::Instant::now();
    while begin.elapsed() < 3 * limits.batch_time {
        instance.process([&[0], b""], 0, &mut NoState).unwrap();
    }
    let error = instance.process([&[1], b""], 0, &mut NoState).unwrap_err();
    assert!(matches!(error, CallError::Timeout { limit, .. } if limit == limits.batch_time), "{error}");
}

#[test]
fn the_guest_may_refuse_its_configuration_or_name_its_fields() {
    let dynamic = MANIFEST.replace(r#""name":"in""#, r#""name":"in","dynamic":true"#);
    let check = |manifest: &str, reply: &[u8], expected: Result<Option<&[(&str, bool)]>, &str>| {
        let more = format!(r#"(data (i32.const 512) "{}")"#, escaped(reply));
        let init = answer("(i32.const 512)", &format!("(i32.const {})", reply.len()));
        let started = start(&Guest { manifest, more: &more, init: &init, ..Guest::default() });
        let got = started.map(|instance| instance.declared_fields().map(<[DeclaredField]>::to_vec)).map_err(|e| e.to_string());
        let fields =
            |fields: &[(&str, bool)]| fields.iter().map(|&(path, optional)| DeclaredField { path: path.into(), optional }).collect();
        assert_eq!(got, expected.map(|named| named.map(fields)).map_err(str::to_owned), "{reply:02x?}");
    };
    check(MANIFEST, b"\x00", Ok(None));
    check(&dynamic, b"\x92\x92\xa3a.b\xc2\x92\xa1c\xc3", Ok(Some(&[("a.b", false), ("c", true)])));
    check(MANIFEST, b"\xa3max", Err("the operator refuses its configuration: max"));
    check(MANIFEST, b"\xa3a\nb", Err(r"the operator refuses its configuration: a\nb"));
    check(MANIFEST, b"\x90", Err("the reply to `sangam_init` is refused: it names fields, but no input of the manifest is `dynamic`"));
    check(&dynamic, b"\x91\x92\xa0\xc2", Err("the reply to `sangam_init` is refused: a field has no path"));
    check(&dynamic, b"\xdd\xff\xff\xff\xff", Err("the reply to `sangam_init` is refused: it names 4294967295 fields, at most 256 allowed"));
    check(MANIFEST, b"\x07", Err("the reply to `sangam_init` is refused: it is 7, which means nothing"));
    check(MANIFEST, b"", Ok(None));
}

// === log ===

#[test]
fn log_lines_are_bounded_in_number_and_length_and_what_is_left_out_is_counted() {
    let more = r#"(import "sangam" "log" (func $log (param i32 i32 i32))) (data (i32.const 512) "a long line\ff")"#;
    let process = "(call $log (i32.const 1) (i32.const 512) (i32.const 6))
        (call $log (i32.const 4) (i32.const 521) (i32.const 3))
        (call $log (i32.const 9) (i32.const 512) (i32.const 12))
        (call $log (i32.const 2) (i32.const 512) (i32.const 1))
        (i64.const 0x1000000007)";
    let limits = Limits { log_lines: 3, log_line_bytes: 8, ..Limits::default() };
    let expected = [
        (LogLevel::Error, "a long".to_owned()),
        (LogLevel::Debug, "ne\u{fffd}".into()),
        (LogLevel::Info, "a long l…".into()),
        (LogLevel::Warn, "1 more lines in this batch are not shown".into()),
    ];
    assert_eq!(logged(&Guest { more, process, ..Guest::default() }, &limits), expected);
}

// === large state ===

struct Cells(BTreeMap<(u32, Vec<u8>), Vec<u8>>);

impl StateReads for Cells {
    fn get(&mut self, slot: u32, cell: &[u8]) -> Option<Cow<'_, [u8]>> {
        self.0.get(&(slot, cell.to_vec())).map(|value| Cow::Borrowed(&value[..]))
    }

    fn scan(&mut self, slot: u32, prefix: &[u8], after: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        let found = self.0.iter().filter(|((s, cell), _)| *s == slot && cell.starts_with(prefix) && &cell[..] > after);
        for ((_, cell), value) in found {
            if !each(cell, value) {
                return;
            }
        }
    }
}

fn cells() -> Cells {
    let cell = |cell: &[u8], value: &[u8]| ((1, cell.to_vec()), value.to_vec());
    Cells([cell(b"a1", b"one"), cell(b"a2", b"two"), cell(b"b1", b"three")].into())
}

#[test]
fn one_cell_of_large_state_is_read_when_it_fits_and_measured_when_it_does_not() {
    // The frame names the cell; the answer is what `state_get` returned and the buffer behind it.
    let more = r#"(import "sangam" "state_get" (func $get (param i32 i32 i32 i32 i32) (result i64)))"#;
    let check = |slot: u32, capacity: u32, cell: &[u8], length: i64, bytes: &[u8]| {
        let process = format!(
            "(i64.store (i32.const 2048) (call $get (i32.const {slot}) (local.get $ptr) (local.get $len) (i32.const 2056) (i32.const {capacity})))
            {}",
            answer("(i32.const 2048)", "(i32.const 16)")
        );
        let mut instance = start(&Guest { more, process: &process, ..Guest::default() }).unwrap();
        let mut expected = length.to_le_bytes().to_vec();
        expected.extend_from_slice(bytes);
        expected.resize(16, 0);
        assert_eq!(instance.process([cell, b""], 0, &mut cells()).unwrap(), expected);
    };
    check(1, 8, b"a1", 3, b"one");
    check(1, 2, b"a1", 3, b"");
    check(1, 8, b"zz", -1, b"");
    check(9, 8, b"a1", -1, b"");
}

#[test]
fn a_scan_gives_as_many_cells_as_fit_and_goes_on_after_the_last() {
    let more = r#"(import "sangam" "state_scan" (func $scan (param i32 i32 i32 i32 i32 i32 i32) (result i64)))"#;
    // The frame's first byte is the prefix, the rest the cell to go on after.
    let check = |capacity: u32, frame: &[u8], result: i64, bytes: &[u8]| {
        let process = format!(
            "(i64.store (i32.const 2048) (call $scan (i32.const 1) (local.get $ptr) (i32.const 1)
                (i32.add (local.get $ptr) (i32.const 1)) (i32.sub (local.get $len) (i32.const 1)) (i32.const 2056) (i32.const {capacity})))
            {}",
            answer("(i32.const 2048)", "(i32.const 32)")
        );
        let mut instance = start(&Guest { more, process: &process, ..Guest::default() }).unwrap();
        let mut expected = result.to_le_bytes().to_vec();
        expected.extend_from_slice(bytes);
        expected.resize(32, 0);
        assert_eq!(instance.process([frame, b""], 0, &mut cells()).unwrap(), expected, "{frame:?}");
    };
    check(24, b"a", 18, b"\xc4\x02a1\xc4\x03one\xc4\x02a2\xc4\x03two");
    check(12, b"a", 9, b"\xc4\x02a1\xc4\x03one");
    check(12, b"aa1", 9, b"\xc4\x02a2\xc4\x03two");
    check(12, b"aa2", 0, b"");
    check(8, b"a", -9, b"");
}

// === WASI ===

const WASI: &str = r#"
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (global $ready (mut i32) (i32.const 0))
    (func (export "_initialize") (global.set $ready (i32.const 42)))"#;

#[test]
fn a_wasi_guest_lives_in_a_closed_and_deterministic_world() {
    let process = "(i32.store (i32.const 2048) (global.get $ready))
        (i32.store (i32.const 2052) (call $fd_read (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0)))
        (i32.store (i32.const 2056)
            (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0)))
        (i32.store (i32.const 2060) (i32.const 7))
        (drop (call $environ (i32.const 2060) (i32.const 2064)))
        (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 2068)))
        (drop (call $random (i32.const 2076) (i32.const 12)))";
    let process = format!("{process}{}", answer("(i32.const 2048)", "(i32.const 40)"));
    let guest = Guest { more: WASI, process: &process, ..Guest::default() };
    assert!(inspect(&guest.build()).unwrap().is_wasi());
    let mut instance = start(&guest).unwrap();
    let first = instance.process([b"", b""], 1_500, &mut NoState).unwrap().to_vec();
    let word = |at: usize| u32::from_le_bytes(first[at..at + 4].try_into().unwrap());
    assert_eq!((word(0), word(4), word(8), word(12)), (42, 8, 52, 0), "initialised, no such file, no such function, no environment");
    assert_eq!(u64::from_le_bytes(first[20..28].try_into().unwrap()), 1_500_000_000, "the clock is event time");
    assert_ne!(first[28..], [0; 12], "random bytes");
    assert_eq!(instance.process([b"", b""], 1_500, &mut NoState).unwrap(), first, "the same again in each call");
}

#[test]
fn what_a_wasi_guest_prints_goes_to_the_log_line_by_line() {
    let more = format!(
        r#"{WASI} (data (i32.const 512) "one\ntw") (data (i32.const 520) "o\n") (data (i32.const 528) "\00\02\00\00\06\00\00\00\08\02\00\00\02\00\00\00")"#
    );
    let process = "(drop (call $fd_write (i32.const 2) (i32.const 528) (i32.const 2) (i32.const 600))) (i64.const 0x1000000007)";
    let got = logged(&Guest { more: &more, process, ..Guest::default() }, &Limits::default());
    assert_eq!(got, [(LogLevel::Warn, "one".to_owned()), (LogLevel::Warn, "two".into())]);
}

#[test]
fn a_wasi_guest_that_exits_traps_and_says_with_which_code() {
    let guest = Guest { more: WASI, process: "(call $exit (i32.const 3)) (i64.const 0)", ..Guest::default() };
    let error = start(&guest).unwrap().process([b"", b""], 0, &mut NoState).unwrap_err();
    assert!(error.to_string().starts_with("the guest trapped: the guest called exit(3)"), "{error}");
}

// === cache ===

#[test]
fn compiled_code_is_kept_and_a_damaged_entry_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache_dir = folder.path().join("code");
    let options = SandboxOptions { cache_dir: Some(cache_dir.clone()), instances_max: 2, ..SandboxOptions::default() };
    let wasm = Guest::default().build();
    let load = || {
        let plugin = Sandbox::new(options.clone()).unwrap().load(&wasm).unwrap();
        let mut instance = plugin.start(&[0x80], &Limits::default()).unwrap();
        assert_eq!(instance.process([b"", b""], 0, &mut NoState).unwrap().len(), 7);
    };
    let entry = || {
        let entries: Vec<_> = fs::read_dir(&cache_dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        let [one] = &entries[..] else { panic!("{entries:?}") };
        one.clone()
    };
    load();
    let sound = fs::read(entry()).unwrap();
    let written = fs::metadata(entry()).unwrap().modified().unwrap();
    load();
    assert_eq!(fs::metadata(entry()).unwrap().modified().unwrap(), written, "taken from the cache, not written again");
    let mut flipped = sound.clone();
    flipped[sound.len() / 2] ^= 1;
    for damaged in [&flipped[..], &sound[..sound.len() - 1], &sound[..20], b""] {
        fs::write(entry(), damaged).unwrap();
        load();
        assert_eq!(fs::read(entry()).unwrap().len(), sound.len(), "made again");
    }
}

#[cfg(unix)]
#[test]
fn a_cache_folder_that_others_may_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let open = |cache_dir: std::path::PathBuf| {
        let options = SandboxOptions { cache_dir: Some(cache_dir), instances_max: 2, ..SandboxOptions::default() };
        Sandbox::new(options).unwrap().load(&Guest::default().build()).unwrap();
    };
    let ours = folder.path().join("ours");
    open(ours.clone());
    assert_eq!(mode(&ours), 0o700);
    assert_eq!(fs::read_dir(&ours).unwrap().count(), 1);
    let shared = folder.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    open(shared.clone());
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 0);
}
