//! What is refused before the first event.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests: the first surprise ends the test")]

use sangam_sdk::Config;
use video_regions::VideoRegions;

/// Reads the shipped configuration with a change in it.
fn read(change: impl FnOnce(&mut toml::Table)) -> Result<VideoRegions, String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../live-video/pipeline.toml")).unwrap();
    let pipeline: toml::Table = text.parse().unwrap();
    let mut config = pipeline["operators"]["video-regions"]["config"].as_table().unwrap().clone();
    change(&mut config);
    VideoRegions::read(&rmp_serde::to_vec_named(&config).unwrap())
}

#[test]
fn a_region_that_is_none_and_a_number_that_is_none_are_refused() {
    let check = |field: &str, value: &str, expected: &str| {
        let value: toml::Table = format!("it = {value}").parse().unwrap();
        let why = read(|config| drop(config.insert(field.into(), value["it"].clone()))).expect_err(field);
        assert!(why.contains(expected), "{field}: {why}");
    };
    assert!(read(|_| ()).is_ok());
    check("unknown", "\"goa\"", "there is no region `goa`; there are: bangalore, delhi");
    check("cities", "{ panaji = \"goa\" }", "there is no region `goa`");
    check("spill_above_percent", "101", "1 to 100, not 101");
    check("spill_above_percent", "0", "1 to 100, not 0");
    check("viewers_per_session", "0", "at least 1");
    check("regions", "{ mumbai = { capacity = 5, at = [\"north\", 72.9] } }", "invalid type: string \"north\", expected a number");
    check("regions", "{ mumbai = { capacity = 5, at = [nan, 72.9] } }", "no number to reckon with");
    check("regions", "{ mumbai = { capacty = 5, at = [19.1, 72.9] } }", "unknown field `capacty`");
    check("breaker", "{ failures = 5, open_for = \"soon\" }", "no duration");
}
