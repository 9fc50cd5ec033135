//! The house has floors, and this reads its sources to say so: imports go down only, each outside library has one door, files stay small.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Past this many lines a file has more than one noun.
const LINES_MAX: usize = 700;

/// From here on it is worth a look.
const LINES_MANY: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust files under a folder of the workspace, with their paths from there.
fn sources(folder: &str) -> BTreeMap<PathBuf, String> {
    let top = root().join(folder);
    let mut found = BTreeMap::new();
    let mut folders = vec![top.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                if entry.file_name().is_some_and(|name| name != "target") {
                    folders.push(entry);
                }
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                found.insert(entry.strip_prefix(&top).unwrap().to_owned(), std::fs::read_to_string(&entry).unwrap());
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has sources");
    found
}

/// The code of a file without comments, line by line.
fn code(source: &str) -> impl Iterator<Item = &str> {
    source.lines().map(|line| line.split("//").next().unwrap_or(""))
}

/// The floor of each module, as `lib.rs` says.
fn floors() -> BTreeMap<String, u32> {
    let mut floors = BTreeMap::new();
    let mut floor = None;
    for line in std::fs::read_to_string(root().join("runtime/src/lib.rs")).unwrap().lines() {
        if let Some(rest) = line.strip_prefix("// Floor ") {
            floor = Some(rest.split(':').next().unwrap().parse().unwrap());
        } else if let Some(module) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            floors.insert(module.to_owned(), floor.expect("every module stands under the name of a floor"));
        }
    }
    assert!(floors.len() > 10, "{floors:?}");
    floors
}

/// The module of the crate that a file belongs to: the first part of its path.
fn module(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

#[test]
fn imports_go_down_only() {
    let floors = floors();
    let mut beside: BTreeSet<(String, String)> = BTreeSet::new();
    let mut wrong = Vec::new();
    for (path, source) in sources("runtime/src") {
        let from = module(&path);
        let Some(floor) = floors.get(&from) else {
            assert!(["lib", "main"].contains(&from.as_str()), "{} is not in lib.rs", path.display());
            continue;
        };
        for (i, line) in code(&source).enumerate() {
            for to in line.split("crate::").skip(1).map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap()) {
                match floors.get(to) {
                    _ if to == from => {}
                    Some(below) if below < floor => {}
                    Some(same) if same == floor => {
                        beside.insert((from.clone(), to.to_owned()));
                    }
                    Some(_) => wrong.push(format!("{}:{}: {from} (floor {floor}) uses {to}, which is above", path.display(), i + 1)),
                    None => wrong.push(format!("{}:{}: `crate::{to}` names no module of lib.rs", path.display(), i + 1)),
                }
            }
        }
    }
    for (from, to) in &beside {
        if beside.contains(&(to.clone(), from.clone())) {
            wrong.push(format!("{from} and {to} are neighbours that use each other"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_outside_library_has_one_door() {
    let doors = [
        ("wasmtime", "sandbox"),
        ("rdkafka", "broker/kafka"),
        ("redb", "store"),
        ("axum", "admin"),
        ("notify_debouncer_full", "pipeline"),
        ("object_store", "objects"),
    ];
    let mut wrong = Vec::new();
    for (path, source) in sources("runtime/src") {
        for (library, door) in doors.iter().filter(|(_, door)| !path.starts_with(door)) {
            let named =
                |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == *library) && !line.contains('"');
            for (i, _) in code(&source).enumerate().filter(|(_, line)| named(line)) {
                wrong.push(format!("{}:{}: {library} is for {door}/ only", path.display(), i + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_imports_everything_of_the_crate() {
    for (path, source) in sources("runtime/src") {
        assert!(!code(&source).any(|line| line.contains("use crate::*")), "{}: name what you use", path.display());
    }
}

#[test]
fn files_stay_small() {
    let folders = ["runtime/src", "sdk", "plugins", "tests"];
    let mut wrong = Vec::new();
    for folder in folders {
        for (path, source) in sources(folder) {
            let lines = source.lines().count();
            if lines > LINES_MANY {
                println!("{folder}/{}: {lines} lines", path.display());
            }
            // The codec of the boundary is one piece by intent.
            if lines > LINES_MAX && path != Path::new("protocol/src/effects.rs") {
                wrong.push(format!("{folder}/{} has {lines} lines; its second noun wants a file of its own", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
