//! The tour does what it shows: its files are written, its commands run, and what they print is compared.

use sangam_tests::kafka;
use sangam_tests::program::{folder, path};
use std::process::{Command, Output};

/// Goes through a page, in the tour's own way.
fn go(page: &std::path::Path, kafka: &str) -> Output {
    let mut command = Command::new("python3");
    command.arg(folder("scripts/lib/tour.py")).arg(page).env("SANGAM_BIN", path()).env("SANGAM_KAFKA", kafka);
    command.output().unwrap_or_else(|why| panic!("python3 does not start: {why}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A page that is gone through, and what is said of it; none where it does what it shows.
fn check(page: &str, fails: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.md");
    std::fs::write(&path, page).unwrap();
    let ran = go(&path, "");
    let said = text(&ran.stderr);
    assert_eq!(ran.status.success(), fails.is_none(), "{page}\n{said}");
    assert!(said.contains(fails.unwrap_or_default()), "{said}");
}

#[test]
fn the_tour_leads_where_it_says_and_a_page_that_shows_something_else_is_found_out() {
    // One after the other: all of them begin in the same folder.
    check("```console\n$ echo one; echo two\none\ntwo\n```\n", None);
    check("```console\n$ echo one; echo two\n...\ntw…\n$ true\n```\n", None);
    check("Text.\n\n```console\n$ echo one; echo two\none\n```\n", Some("page.md:4: echo one; echo two\nit prints\none\ntwo\n"));
    check("```console\n$ false\n```\n", Some("page.md:2: false\nit ends with 1"));
    check("```console terminal-2\n$ sh -c 'echo up; exit 3'\nup\n^C\n```\n", Some("ends with 3"));
    check("Nothing to do.\n", Some("page.md has no commands"));
    check("```console\n$ true\n", Some("page.md:1: the block has no end"));

    let ran = go(&folder("docs/tour.md"), &kafka::bootstrap());
    assert!(ran.status.success(), "{}{}", text(&ran.stdout), text(&ran.stderr));
}
