//! `sangam rollback`, as users run it, of a pipeline that keys its events anew through topics at Kafka: the build of before is in its place
//! again, and the state is that of before the swap, the events that were under way then included.

use super::passages::{Counted, Guarded};
use sangam::digest::sha256;
use sangam_tests::guests::{rebuilt, wasm};
use sangam_tests::program::{Started, run};
use sangam_tests::world::eventually;
use serde_json::Value;
use std::path::Path;

/// A folder with the pipeline and its plugins.
fn place(kafka: &Guarded) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("plugins")).unwrap();
    ["count", "windowing"].iter().for_each(|plugin| build(place.path(), plugin, &wasm(plugin)));
    let toml = format!(
        "name = \"{}\"\ndata = \"data\"\ncommit_interval = \"50ms\"\n{}\n[savepoints]\nbefore_swap = true\n[admin]\nlisten = \"127.0.0.1:0\"\n",
        kafka.topics.name,
        kafka.toml()
    );
    std::fs::write(place.path().join("p.toml"), toml).unwrap();
    place
}

fn build(place: &Path, plugin: &str, wasm: &[u8]) {
    std::fs::write(place.join(format!("plugins/{plugin}.wasm")), wasm).unwrap();
}

/// Runs the program, which must end well; returns what it says.
fn said(place: &Path, args: &[&str]) -> String {
    let ran = run(place, args, "");
    assert!(ran.ok, "{args:?}: {}{}", ran.out, ran.err);
    ran.out
}

/// The savepoint of before the swap to a build, once there is one.
fn before_swap_to(place: &Path, sha256: &str) -> Option<Value> {
    let listed = said(place, &["savepoint", "list", "p.toml", "--json"]);
    listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|one| one["swap"]["to"] == sha256)
}

#[test]
fn a_rollback_behind_a_repartition_topic_brings_the_build_and_what_was_under_way_back() {
    let kafka = Guarded::new("exactly_once");
    let place = place(&kafka);
    let running = Started::start(place.path(), &["run", "--no-screen", "p.toml"]);
    running.doors();
    let (mut rounds, mut builds) = (0, vec![wasm("count")]);
    // Words come all the time, so that a swap finds some in the topic; not each of them need.
    let under_way = loop {
        builds.push(rebuilt(&wasm("count"), builds.len() as u32));
        let new = builds.last().unwrap();
        build(place.path(), "count", new);
        let savepoint = eventually("the new build is swapped in", || {
            kafka.say(rounds);
            rounds += 1;
            before_swap_to(place.path(), &sha256(new))
        });
        if let Some(under_way) = savepoint["under_way"]["count:words"].as_u64() {
            break under_way;
        }
        assert!(builds.len() < 20, "no swap of {} has found words under way", builds.len() - 1);
    };
    assert!(under_way > 0);
    running.terminate();
    assert_eq!(running.ended().code, Some(0));
    kafka.say(rounds);
    said(place.path(), &["run", "--drain", "p.toml"]);
    let scratch = kafka.since((0, 0), Some(&Counted::default()));
    assert_eq!(scratch.words.values().sum::<u64>(), (rounds as u64 + 1) * 600);

    let before = kafka.outputs();
    let told = said(place.path(), &["rollback", "p.toml", "count"]);
    assert!(told.contains("count runs ") && told.contains(": back to before-count-"), "{told}");
    let [.., good, bad] = builds.as_slice() else { panic!("there are two builds at least") };
    assert!(std::fs::read(place.path().join("plugins/count.wasm")).unwrap() == *good, "the build of before is in the folder again");
    let aside = place.path().join(format!("plugins/count.wasm.{}", &sha256(bad)[..12]));
    assert!(std::fs::read(aside).unwrap() == *bad);
    said(place.path(), &["run", "--drain", "p.toml"]);
    let again = kafka.since(before, None);
    assert_eq!(again.words, scratch.words, "nothing is missing and nothing counts twice");
    assert!(again.windows.iter().all(|(at, count)| scratch.windows.get(at) == Some(count)), "{:?}", again.windows);
}
