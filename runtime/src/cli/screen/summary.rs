//! What has happened in a run, as text, for its end.

use super::figures::{columns, exact, length, watermark};
use super::table::HASH_DIGITS;
use crate::admin::{OperatorStatus, Status};
use std::ops::Range;
use std::time::Duration;

/// A line per operator with how its events ended, and below it their builds. `in = ok + late + dead letters + dropped + fallback` must hold;
/// the last of them is shown where an operator has one that took something.
pub fn summary(status: &Status) -> String {
    let mut text = format!(
        "{}: {}, {}, {} waiting\n\n",
        status.pipeline,
        length(Duration::from_millis(status.uptime_ms)),
        counted(status.commits, "commit"),
        counted(status.lag, "event")
    );
    let heading =
        ["operator", "in", "=", "ok", "+", "late", "+", "dead letters", "+", "dropped", "+", "fallback", "", "out", "keys", "in/s"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(status.operators.iter().map(|operator| row(operator, status.uptime_ms).to_vec()));
    if status.operators.iter().all(|operator| operator.fallback == 0) {
        rows.iter_mut().for_each(|row| drop(row.drain(FALLBACK)));
    }
    let mut builds = vec![["operator", "plugin", "version", "sha256", "watermark"].map(str::to_owned)];
    builds.extend(status.operators.iter().map(build));
    for line in columns(&rows, 0).into_iter().chain([String::new()]).chain(columns(&builds, 0)) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Where the fallback stands in a row, with its sign.
const FALLBACK: Range<usize> = 10..12;

fn row(operator: &OperatorStatus, uptime_ms: u64) -> [String; 16] {
    let balance = match operator.unsettled() {
        0 => "holds".to_owned(),
        off => format!("OFF BY {}", exact(off)),
    };
    let sign = |sign: &str| sign.to_owned();
    [
        operator.name.clone(),
        exact(operator.events_in),
        sign("="),
        exact(operator.ok),
        sign("+"),
        exact(operator.late),
        sign("+"),
        exact(operator.dead_letters),
        sign("+"),
        exact(operator.dropped),
        sign("+"),
        exact(operator.fallback),
        balance,
        exact(operator.events_out),
        exact(operator.keys),
        exact(operator.events_in * 1000 / uptime_ms.max(1)),
    ]
}

fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", exact(number), if number == 1 { "" } else { "s" })
}

fn build(operator: &OperatorStatus) -> [String; 5] {
    let build = &operator.build;
    let hash = build.sha256.get(..HASH_DIGITS).unwrap_or(&build.sha256);
    [operator.name.clone(), build.plugin.clone(), build.version.clone(), hash.to_owned(), watermark(operator.watermark_ms)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Build;

    fn operator(name: &str, events_in: u64, late: u64) -> OperatorStatus {
        let build =
            Build { plugin: name.to_owned(), version: "0.1.0".to_owned(), sha256: "3f9c2ab41d0755aa".to_owned(), ..Build::default() };
        OperatorStatus { name: name.to_owned(), events_in, ok: 19_876, late, events_out: 17_372, build, ..OperatorStatus::default() }
    }

    #[test]
    fn one_commit_is_not_several() {
        let status = Status { pipeline: "demo".to_owned(), uptime_ms: 500, commits: 1, lag: 1, ..Status::default() };
        assert!(summary(&status).starts_with("demo: 500.0 ms, 1 commit, 1 event waiting\n"), "{}", summary(&status));
    }

    #[test]
    fn the_summary_says_whether_every_event_is_accounted_for() {
        let operators = vec![operator("windowing", 20_000, 124), operator("fraud", 20_001, 124)];
        let status = Status { pipeline: "demo".to_owned(), uptime_ms: 2_500, commits: 12, lag: 3, operators, ..Status::default() };
        assert_eq!(
            summary(&status),
            "\
demo: 2.5 s, 12 commits, 3 events waiting

operator      in =     ok + late + dead letters + dropped             out keys  in/s
windowing 20,000 = 19,876 +  124 +            0 +       0    holds 17,372    0 8,000
fraud     20,001 = 19,876 +  124 +            0 +       0 OFF BY 1 17,372    0 8,000

operator     plugin version       sha256 watermark
windowing windowing   0.1.0 3f9c2ab41d07  none yet
fraud         fraud   0.1.0 3f9c2ab41d07  none yet
"
        );
    }

    #[test]
    fn what_another_operator_took_is_part_of_the_account() {
        let backup = OperatorStatus { name: "backup".to_owned(), events_in: 3, ok: 3, ..OperatorStatus::default() };
        let operators = vec![OperatorStatus { fallback: 3, ..operator("pay", 20_003, 124) }, backup];
        let text = summary(&Status { uptime_ms: 1_000, operators, ..Status::default() });
        let lines: Vec<&str> = text.lines().skip(2).take(3).collect();
        assert_eq!(
            lines,
            [
                "operator     in =     ok + late + dead letters + dropped + fallback          out keys   in/s",
                "pay      20,003 = 19,876 +  124 +            0 +       0 +        3 holds 17,372    0 20,003",
                "backup        3 =      3 +    0 +            0 +       0 +        0 holds      0    0      3",
            ]
        );
    }
}
