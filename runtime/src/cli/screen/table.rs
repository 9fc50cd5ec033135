//! The table of a running pipeline, as text. What it stands on is not its business.

use super::figures::{ago, columns, length, short, watermark};
use crate::admin::{OperatorStatus, Status};
use std::time::Duration;

/// A pipeline at one moment, and how fast it is.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    status: Status,
    /// By operator: events per second, in and out.
    rates: Vec<(u64, u64)>,
}

/// Before what is said of an operator.
const INDENT: &str = "  ";

/// The digits of a hash that people compare.
pub(super) const HASH_DIGITS: usize = 12;

/// Wide enough for what [`short`] gives, so that columns stand still while figures grow.
const COLUMN: usize = 6;

const FOOTER: &str = "Ctrl-C drains and stops";

// === impl Snapshot ===

impl Snapshot {
    /// The rates are those since `before`.
    pub(super) fn new(status: Status, before: Option<&Status>) -> Self {
        let rates = status.operators.iter().enumerate().map(|(i, now)| {
            let Some((before, then)) = before.and_then(|status| Some((status, status.operators.get(i)?))) else { return (0, 0) };
            let millis = status.uptime_ms.saturating_sub(before.uptime_ms).max(1);
            let rate = |now: u64, then: u64| now.saturating_sub(then) * 1000 / millis;
            (rate(now.events_in, then.events_in), rate(now.events_out, then.events_out))
        });
        Snapshot { rates: rates.collect(), status }
    }
}

/// The table, without its footer.
pub(super) fn table(snapshot: &Snapshot) -> String {
    let Snapshot { status, rates } = snapshot;
    let state = match (status.stopping, status.running) {
        (true, _) => "   stopping",
        (false, false) => "   waiting for partitions",
        (false, true) => "",
    };
    let mut text = format!(
        "{}   up {}   lag {}   {} commits{state}\n\n",
        status.pipeline,
        length(Duration::from_millis(status.uptime_ms)),
        short(status.lag),
        short(status.commits)
    );
    let mut rows = vec![["operator", "in/s", "out/s", "in", "out", "late", "dead letters", "dropped", "keys"].map(str::to_owned)];
    rows.extend(status.operators.iter().zip(rates).map(|(operator, rates)| row(operator, *rates)));
    let mut lines = columns(&rows, COLUMN).into_iter();
    text.extend(lines.next().map(|heading| heading + "\n"));
    for (line, operator) in lines.zip(&status.operators) {
        text.push_str(&line);
        text.push('\n');
        for remark in remarks(operator, status) {
            text.push_str(INDENT);
            text.push_str(&remark);
            text.push('\n');
        }
    }
    text
}

/// The table, the last log lines and the footer, cut to a terminal: lines of the log go first. Remarks are wrapped: a reason says most
/// at its end.
pub(super) fn fit(table: &str, log: &[String], width: usize, height: usize) -> Vec<String> {
    let room = height.saturating_sub(1);
    let wrapped = table.lines().flat_map(|line| if line.starts_with(INDENT) { wrap(line, width) } else { vec![line.to_owned()] });
    let mut lines: Vec<String> = wrapped.take(room).collect();
    let for_log = room.saturating_sub(lines.len() + 1).min(log.len());
    if for_log > 0 {
        lines.push(String::new());
        lines.extend(log.iter().skip(log.len() - for_log).cloned());
    }
    lines.resize(room, String::new());
    lines.push(FOOTER.to_owned());
    lines.truncate(height);
    lines.iter().map(|line| plain(line).take(width).collect()).collect()
}

fn row(operator: &OperatorStatus, (rate_in, rate_out): (u64, u64)) -> [String; 9] {
    let name = operator.name.clone();
    let figures = [rate_in, rate_out, operator.events_in, operator.events_out, operator.late, operator.dead_letters, operator.dropped];
    let [rate_in, rate_out, events_in, events_out, late, dead_letters, dropped] = figures.map(short);
    let keys = short(operator.keys.max(0) as u64);
    [name, rate_in, rate_out, events_in, events_out, late, dead_letters, dropped, keys]
}

/// What stands below an operator's figures: its time, its build, what became of new builds.
fn remarks(operator: &OperatorStatus, status: &Status) -> Vec<String> {
    let build = &operator.build;
    let hash = build.sha256.get(..HASH_DIGITS).unwrap_or(&build.sha256);
    let mut remarks = vec![format!("watermark {}   {} {} {hash}", watermark(operator.watermark_ms), build.plugin, build.version)];
    if let Some(swap) = &build.swapped {
        let pause = length(Duration::from_micros(swap.pause_us));
        remarks.push(format!("reloaded {}, paused for {pause}", ago(status.now_ms, swap.at_ms)));
    }
    if let Some(refused) = &build.refused {
        let why: Vec<&str> = refused.why.split_whitespace().collect();
        remarks.push(format!("a build was refused {}: {}", ago(status.now_ms, refused.at_ms), why.join(" ")));
    }
    remarks
}

/// A remark in lines of at most `width`.
fn wrap(line: &str, width: usize) -> Vec<String> {
    let (first, rest): (String, Vec<char>) = (line.chars().take(width).collect(), line.chars().skip(width).collect());
    let more = rest.chunks(width.saturating_sub(2 * INDENT.len()).max(1));
    std::iter::once(first).chain(more.map(|chars| INDENT.repeat(2) + &chars.iter().collect::<String>())).collect()
}

/// Without what would move the cursor: names and reasons come from outside.
fn plain(line: &str) -> impl Iterator<Item = char> {
    line.chars().map(|c| if c.is_control() { ' ' } else { c })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{Build, Refused, Swap};

    fn status() -> Status {
        let windowing = OperatorStatus {
            name: "windowing".to_owned(),
            events_in: 20_000,
            events_out: 17_372,
            ok: 19_876,
            late: 124,
            keys: 211,
            watermark_ms: Some(978_310_020_000),
            build: Build {
                plugin: "windowing".to_owned(),
                version: "0.1.0".to_owned(),
                sha256: "3f9c2ab41d0755aa".to_owned(),
                swapped: Some(Swap { at_ms: 988_000, pause_us: 340 }),
                refused: None,
            },
            ..OperatorStatus::default()
        };
        let fraud = OperatorStatus {
            name: "fraud".to_owned(),
            events_in: 1_234_567,
            events_out: 30,
            ok: 1_234_565,
            dead_letters: 2,
            build: Build {
                plugin: "fraud-rules".to_owned(),
                version: "0.2.0".to_owned(),
                sha256: "77c1".to_owned(),
                swapped: None,
                refused: Some(Refused { at_ms: 940_000, why: "its key is shop,\n  that of the running build is sender".to_owned() }),
            },
            ..OperatorStatus::default()
        };
        Status {
            pipeline: "payments".to_owned(),
            now_ms: 1_000_000,
            uptime_ms: 83_000,
            running: true,
            lag: 12_345,
            commits: 415,
            operators: vec![windowing, fraud],
            ..Status::default()
        }
    }

    #[test]
    fn the_table_shows_each_operator_with_its_build() {
        let mut before = status();
        before.uptime_ms -= 2_000;
        before.operators[1].events_in -= 241_000;
        assert_eq!(
            table(&Snapshot::new(status(), Some(&before))),
            "\
payments   up 1 min 23 s   lag 12,345   415 commits

operator    in/s  out/s     in    out   late dead letters dropped   keys
windowing      0      0 20,000 17,372    124            0       0    211
  watermark 2001-01-01 00:47:00 UTC   windowing 0.1.0 3f9c2ab41d07
  reloaded 12 s ago, paused for 340 µs
fraud     120.5k      0   1.2M     30      0            2       0      0
  watermark none yet   fraud-rules 0.2.0 77c1
  a build was refused 1 min 0 s ago: its key is shop, that of the running build is sender
"
        );
    }

    #[test]
    fn a_pipeline_says_when_it_waits_or_stops() {
        let head = |change: fn(&mut Status)| {
            let mut status = status();
            change(&mut status);
            table(&Snapshot::new(status, None)).lines().next().unwrap_or_default().to_owned()
        };
        assert!(head(|status| status.running = false).ends_with("commits   waiting for partitions"));
        assert!(head(|status| status.stopping = true).ends_with("commits   stopping"));
    }

    #[test]
    fn a_small_terminal_loses_log_lines_first_and_never_the_footer() {
        let log = ["one", "two", "three"].map(str::to_owned);
        let check = |height, expected: &[&str]| assert_eq!(fit("head\nrow\n", &log, 80, height), expected, "{height} lines");
        check(8, &["head", "row", "", "one", "two", "three", "", FOOTER]);
        check(5, &["head", "row", "", "three", FOOTER]);
        check(4, &["head", "row", "", FOOTER]);
        check(2, &["head", FOOTER]);
        check(1, &[FOOTER]);
        check(0, &[]);
    }

    #[test]
    fn a_long_reason_is_shown_to_its_end() {
        assert_eq!(
            fit("figures 1 2 3\n  refused: no key\n", &[], 10, 5),
            ["figures 1 ", "  refused:", "     no ke", "    y", "Ctrl-C dra"]
        );
    }

    #[test]
    fn long_lines_are_cut_and_cannot_move_the_cursor() {
        assert_eq!(fit("a\u{1b}[2Jb\n", &[], 4, 2), ["a [2", "Ctrl"]);
    }
}
