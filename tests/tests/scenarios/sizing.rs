//! The table of sizes follows from the measured lines by the formulas of docs/sizing.md.

use sangam_tests::program::folder;
use std::process::Command;

const LINES: &str = "\
RESULT bench=system system=S5 example=orders-continuous events=1000 users=0 cpu_ns=900 per_core=1 wall_eps=1 out=1 user_bytes=1 event_bytes=1 out_bytes=1
RESULT bench=system system=S12 example=live-video events=1000 users=1000 cpu_ns=600 per_core=1 wall_eps=1 out=1 user_bytes=400 event_bytes=200 out_bytes=50
RESULT bench=system-latency system=S12 example=live-video users=1000 eps=1 answers=1 p50_ms=1 p99_ms=1 max_ms=1
RESULT bench=system system=S12 example=live-video events=1000 users=1000 cpu_ns=1200 per_core=1 wall_eps=1 out=1 user_bytes=512 event_bytes=200 out_bytes=50
";

/// What the script prints of lines, or says is wrong.
fn sized(lines: &str, more: &[&str]) -> Result<String, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines).unwrap();
    let ran = Command::new("python3").arg(folder("scripts/sizing")).arg(file.path()).args(more).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if ran.status.success() { Ok(text(ran.stdout)) } else { Err(text(ran.stderr)) }
}

#[test]
fn cores_and_memory_follow_from_what_an_event_and_a_user_cost() {
    // 2,097,152 users, each 10 s: 209,715.2 events/s, twice that at the worst; 1,200 ns each and cores half busy: 1.007 cores. 512 B each: 1 GiB.
    let asked = ["--viewers", "2097152", "--every", "10", "--surge", "2", "--busy", "0.5", "--spare", "0.25"];
    let table = sized(LINES, &asked).unwrap();
    let row = |name: &str| table.lines().find_map(|line| line.strip_prefix(&format!("| {name} | "))).map(str::to_owned);
    for (name, expected) in [
        ("events/s", "209,715 |"),
        ("events/s at the worst", "419,430 |"),
        ("cores", "1.0 |"),
        ("partitions", "2 |"),
        ("state, GiB", "1 |"),
        ("memory, GiB", "1.2 |"),
        ("in, MB/s at the worst", "83.9 |"),
        ("out, MB/s at the worst", "21.0 |"),
        ("*measured:* CPU per event, ns", "1,200 |"),
    ] {
        assert_eq!(row(name).as_deref(), Some(expected), "{name}: {table}");
    }
}

#[test]
fn without_a_measured_system_there_is_nothing_to_size_and_the_script_says_what_to_run() {
    assert!(sized("nothing", &[]).unwrap_err().contains("scripts/bench systems"));
}
