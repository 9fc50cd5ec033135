//! Guests that mean harm, or are broken in the same ways: the process lives, the error says what happened, the next batch of a good
//! guest is right, and nothing is left behind.

use std::sync::Arc;
use std::time::Duration;

use sangam::sandbox::{CallError, Limits, Sandbox, SandboxOptions};
use sangam_protocol::effects::EffectLimits;
use sangam_tests::guest::{Guest, fixture};
use sangam_tests::play::{Batch, Refused, play};

mod batches;
mod effects;
mod modules;
mod starting;

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

// === what the cases are made of ===

fn case(what: &'static str, guest: Guest, ends: Ends) -> Case {
    let wasm = guest.build().unwrap_or_else(|e| panic!("{what}: {e}\n{}", guest.text()));
    Case { what, wasm, ends }
}

/// A loop without end.
const FOR_EVER: &str = "(loop $for_ever (br $for_ever))";

/// The import of the log.
const LOG: &str = r#"(import "sangam" "log" (func $log (param i32 i32 i32)))"#;

// === the suite ===

#[test]
fn a_module_that_cannot_be_trusted_is_not_loaded() {
    check_all(modules::cases());
}

#[test]
fn a_guest_that_fails_while_it_starts_takes_nothing_with_it() {
    check_all(starting::cases());
}

#[test]
fn a_guest_that_fails_in_a_batch_takes_nothing_with_it() {
    check_all(batches::cases());
}

#[test]
fn effects_that_lie_are_refused_whole() {
    check_all(effects::cases());
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
    [modules::cases(), starting::cases(), batches::cases(), effects::cases()].into_iter().flatten().collect()
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
