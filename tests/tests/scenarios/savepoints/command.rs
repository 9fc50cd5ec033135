//! `sangam savepoint` and `sangam rollback`, as users run them.

use sangam_tests::guests::{rebuilt, wasm};
use sangam_tests::place::Place;
use sangam_tests::program::{Started, json_lines};
use sangam_tests::world::eventually;
use serde_json::json;

const WORDS: &str = r#"
    data = "data"
    [admin]
    listen = "127.0.0.1:0"
    [savepoints]
    url = "kept"
    before_swap = true
    [streams.words]
    [streams.tallies]
    [operators.count]
    input = "words"
    output = "tallies"
"#;

fn place() -> Place {
    Place::new(WORDS, &[("count", "count")])
}

/// Writes a word, twice.
fn say(place: &Place) {
    place.world().send("words", 0, &[(0, json!({"text": "a"})), (0, json!({"text": "a"}))]);
}

fn seen(place: &Place) -> Vec<u64> {
    place.world().values("tallies").iter().map(|tally| tally["seen"].as_u64().unwrap()).collect()
}

#[test]
fn a_savepoint_is_created_listed_restored_and_removed() {
    let place = place();
    say(&place);
    place.drain();
    let said = place.said(&["savepoint", "create", "p.toml", "monday", "--why", "before the weekend"]);
    assert!(said.starts_with("monday: ") && said.contains(" entries, "), "{said}");
    assert!(place.folder.path().join("kept/test/monday/manifest.json").is_file());
    let created = json_lines(&place.said(&["savepoint", "create", "p.toml", "--json"]));
    say(&place);
    place.drain();
    let table = place.said(&["savepoint", "list", "p.toml"]);
    assert!(table.starts_with("name ") && table.contains("before the weekend"), "{table}");
    let listed = json_lines(&place.said(&["savepoint", "list", "p.toml", "--json"]));
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1], created[0]);
    assert_eq!(listed[0]["operators"][0]["name"], "count");
    assert_eq!(listed[0]["positions"][0], json!({"stream": "words", "partition": 0, "offset": 2, "watermark_ms": -1}));

    let said = place.said(&["savepoint", "restore", "p.toml", "monday"]);
    assert!(said.starts_with("test: back to monday, "), "{said}");
    place.drain();
    assert_eq!(seen(&place), [1, 2, 3, 4, 3, 4], "what was written since stays, and comes again");
    place.said(&["savepoint", "rm", "p.toml", "monday"]);
    let ran = place.sangam(&["savepoint", "restore", "p.toml", "monday"]);
    assert!(!ran.ok && ran.err.contains("there is no savepoint `monday` in") && ran.err.contains("sangam savepoint list"), "{}", ran.err);
}

#[test]
fn a_running_pipeline_is_asked_through_its_doors() {
    let place = place();
    say(&place);
    let running = Started::start(place.folder.path(), &["run", "--no-screen", "p.toml"]);
    let doors = running.doors().to_string();
    let create = |name| place.sangam(&["savepoint", "create", "p.toml", name, "--admin", &doors, "--json"]);
    let created = eventually("there is a savepoint of both words", || {
        let created = create("live");
        assert!(created.ok, "{}", created.err);
        let created = json_lines(&created.out).remove(0);
        let all = created["positions"][0]["offset"] == 2;
        if !all {
            place.said(&["savepoint", "rm", "p.toml", "live"]);
        }
        all.then_some(created)
    });
    assert_eq!(created["name"], "live");
    let again = create("live");
    assert!(!again.ok && again.err.contains("there is a savepoint `live` in"), "{}", again.err);
    let bad = create("a/b");
    assert!(!bad.ok && bad.err.contains("is no name for a savepoint"), "{}", bad.err);
    let restore = place.sangam(&["savepoint", "restore", "p.toml", "live"]);
    assert!(!restore.ok && restore.err.contains("the pipeline is running; stop it first"), "{}", restore.err);
    running.terminate();
    assert_eq!(running.ended().code, Some(0));
    place.said(&["savepoint", "restore", "p.toml", "live"]);
}

#[test]
fn a_swap_is_rolled_back_with_its_state_by_one_command() {
    let place = place();
    let file = place.folder.path().join("plugins/count.wasm");
    let (good, bad) = (wasm("count"), rebuilt(&wasm("count"), 1));
    say(&place);
    let running = Started::start(place.folder.path(), &["run", "--no-screen", "p.toml"]);
    let doors = running.doors().to_string();
    // Both words are counted when a savepoint has them.
    eventually("both words are counted", || {
        place.said(&["savepoint", "create", "p.toml", "probe", "--admin", &doors]);
        let probe = json_lines(&place.said(&["savepoint", "list", "p.toml", "--json"])).remove(0);
        place.said(&["savepoint", "rm", "p.toml", "probe"]);
        (probe["positions"][0]["offset"] == 2).then_some(())
    });
    std::fs::write(&file, &bad).unwrap();
    let before = eventually("there is a savepoint of before the swap", || {
        json_lines(&place.said(&["savepoint", "list", "p.toml", "--json"])).into_iter().find(|one| one["error"].is_null())
    });
    assert!(before["name"].as_str().unwrap().starts_with("before-count-"), "{before}");
    running.terminate();
    running.ended();
    say(&place);
    place.drain();
    assert_eq!(seen(&place), [1, 2, 3, 4]);

    let nobody = place.sangam(&["rollback", "p.toml", "other"]);
    assert!(!nobody.ok && nobody.err.contains("there is no savepoint of before a swap of `other`"), "{}", nobody.err);
    let said = place.said(&["rollback", "p.toml", "count"]);
    assert!(said.contains("count runs ") && said.contains("test: back to before-count-"), "{said}");
    assert!(std::fs::read(&file).unwrap() == good, "the build of before is in the folder again");
    let aside = format!("plugins/count.wasm.{}", &before["swap"]["to"].as_str().unwrap()[..12]);
    assert!(std::fs::read(place.folder.path().join(aside)).unwrap() == bad);
    place.drain();
    assert_eq!(seen(&place), [1, 2, 3, 4, 3, 4]);
}
