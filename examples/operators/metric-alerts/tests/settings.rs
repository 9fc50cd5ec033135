//! What is refused before the first event; and that the files beside the pipeline speak of metrics that there are.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests: the first surprise ends the test")]

use metric_alerts::MetricAlerts;
use sangam_sdk::Config;
use std::fs;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../monitoring");

/// Reads the shipped configuration with changes: a path into it, and a value.
fn read(path: &[&str], value: &str) -> Result<MetricAlerts, String> {
    let pipeline: toml::Table = fs::read_to_string(format!("{EXAMPLE}/pipeline.toml")).unwrap().parse().unwrap();
    let mut config = pipeline["operators"]["metric-alerts"]["config"].clone();
    let value: toml::Table = format!("it = {value}").parse().unwrap();
    let (last, folders) = path.split_last().unwrap();
    let table = folders.iter().fold(&mut config, |table, name| table.get_mut(name).unwrap());
    table.as_table_mut().unwrap().insert((*last).to_owned(), value["it"].clone());
    MetricAlerts::read(&rmp_serde::to_vec_named(&config).unwrap())
}

#[test]
fn a_rule_that_is_none_is_refused_before_the_first_sample() {
    let check = |path: &[&str], value: &str, expected: &str| {
        let why = read(path, value).expect_err(value);
        assert!(why.contains(expected), "{path:?} = {value}: {why}");
    };
    check(&["thresholds", "error_rate_percent", "warning"], "\"low\"", "invalid type: string \"low\", expected a number");
    check(&["thresholds", "error_rate_percent", "critical"], "nan", "no number to reckon with");
    check(&["thresholds", "error_rate_percent", "kritical"], "3", "unknown field `kritical`");
    check(&["thresholds"], "{}", "has no threshold; there are: ");
    check(&["rules", "error_rate_percent", "breaching_percent"], "101", "1 to 100 per cent, not 101");
    check(&["rules", "error_rate_percent", "channels"], "[\"pigeon\"]", "unknown variant `pigeon`, expected one of");
    check(&["rules", "error_rate_percent", "within"], "\"soon\"", "no duration");
    assert!(read(&["rules"], "{}").is_ok());
}

#[test]
fn the_rules_for_prometheus_and_the_dashboard_name_metrics_that_there_are() {
    let known = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/metrics.md")).unwrap();
    for file in ["prometheus-rules.yml", "grafana-dashboard.json"] {
        let text = fs::read_to_string(format!("{EXAMPLE}/{file}")).unwrap();
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let names: Vec<_> = words.filter(|word| word.starts_with("sangam_")).collect();
        assert!(names.len() > 5, "{file}");
        for name in names {
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(known.contains(&format!("`{name}`")), "{file}: {name}");
        }
    }
}
