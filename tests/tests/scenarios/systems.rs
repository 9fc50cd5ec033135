//! The example systems give what their hand-made cases expect, and what tests/reference computes for them in another way; a new folder in
//! examples/ is found by itself.

use sangam_tests::kafka;
use sangam_tests::program::{folder, guest, path};
use std::path::Path;
use std::process::Command;

/// Runs the tool of the examples with the program and the guests of these tests.
fn tool(arguments: &[&str]) -> String {
    let guests = Path::new(&guest("pass")).parent().unwrap().to_owned();
    let mut command = Command::new("python3");
    command.arg(folder("scripts/lib/example.py")).args(arguments).env("SANGAM_BIN", path()).env("SANGAM_PLUGINS", guests);
    let ran = command.output().unwrap_or_else(|why| panic!("python3 does not start: {why}"));
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}{err}");
    out.into_owned()
}

fn check_all(more: &[&str]) {
    let systems = tool(&["list"]);
    assert!(systems.lines().count() > 0);
    for system in systems.lines() {
        let said = tool(&[&["check", system], more].concat());
        assert!(said.contains("as expected"), "{said}");
    }
}

#[test]
fn every_system_gives_what_its_cases_and_its_reference_expect() {
    check_all(&[]);
}

#[test]
fn every_system_gives_the_same_over_topics_of_a_kafka() {
    check_all(&["--seeded", "--kafka", &kafka::bootstrap()]);
}
