//! `sangam why`: what an operator of a running pipeline waits for, asked at its admin doors.

use super::ask::Doors;
use crate::admin::{Channel, Why, length, moment};
use crate::time::WATERMARK_MAX;
use anyhow::{Context, Result};
use clap::Args;
use std::io::Write;
use std::time::Duration;

/// Say why a window has not fired: who holds the watermark back, since when, and what is due next.
#[derive(Clone, Debug, Args)]
pub struct WhyCommand {
    /// The operator.
    pub operator: String,
    /// Where it is asked.
    #[command(flatten)]
    pub doors: Doors,
    /// The answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// How long the pipeline may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the command.
pub fn run(command: &WhyCommand, out: &mut impl Write) -> Result<()> {
    let path = format!("/api/v1/pipeline/why/{}", command.operator);
    let answer = command.doors.ask(&path, PATIENCE)?;
    if command.json {
        writeln!(out, "{}", answer.trim_end())?;
    } else {
        let why: Why = serde_json::from_str(&answer).context("the pipeline's answer is not what this version reads")?;
        write!(out, "{}", page(&why))?;
    }
    Ok(())
}

/// The answer for people.
fn page(why: &Why) -> String {
    let mut page = format!("{}.\n\n", why.answer);
    let rows = why.channels.iter().map(|channel| row(channel, why));
    let rows: Vec<[String; 5]> =
        std::iter::once(["partition", "watermark", "stands for", "state", "lag"].map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row.get(column).map_or(0, String::len)).max().unwrap_or(0);
    for row in &rows {
        let cells: Vec<String> = row.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = width(column))).collect();
        page.push_str(cells.join("  ").trim_end());
        page.push('\n');
    }
    let due = |at: Option<i64>| at.map_or_else(String::new, |at| format!(", the next at {}", moment(at)));
    page.push_str(&format!("\nevent-time timers: {}{}\n", why.pending_timers, due(why.next_timer_ms)));
    page.push_str(&format!("processing-time timers: {}{}\n", why.pending_processing_timers, due(why.next_processing_timer_ms)));
    page.push_str(&format!("keys: {}\n", why.keys));
    page
}

fn row(channel: &Channel, why: &Why) -> [String; 5] {
    let watermark = match channel.watermark_ms {
        None => "none yet".to_owned(),
        Some(WATERMARK_MAX) => "end of time".to_owned(),
        Some(at) => moment(at),
    };
    let holds = if why.holding_back.as_ref() == Some(&channel.name) { ", holds it back" } else { "" };
    let lag = channel.lag.map_or_else(|| "?".to_owned(), |lag| lag.to_string());
    let name = channel.from.as_ref().map_or_else(|| channel.name.clone(), |from| format!("{} (from {from})", channel.name));
    [name, watermark, length(why.now_ms.saturating_sub(channel.since_ms)), format!("{}{holds}", channel.state), lag]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_begins_with_the_answer_and_marks_who_holds_back() {
        let channel = |name: &str, at, state: &str| Channel {
            name: name.to_owned(),
            watermark_ms: at,
            since_ms: 58_000,
            state: state.to_owned(),
            lag: Some(0),
            ..Channel::default()
        };
        let why = Why {
            operator: "revenue".into(),
            now_ms: 100_000,
            watermark_ms: Some(5_000),
            channels: vec![channel("sales/1", Some(5_000), "active"), channel("sales/0", Some(9_000), "active")],
            holding_back: Some("sales/1".into()),
            next_timer_ms: Some(59_999),
            pending_timers: 3,
            keys: 3,
            answer: "sales/1 holds it".into(),
            ..Why::default()
        };
        let expected = "\
sales/1 holds it.

partition  watermark                 stands for  state                 lag
sales/1    1970-01-01T00:00:05.000Z  42 s        active, holds it back  0
sales/0    1970-01-01T00:00:09.000Z  42 s        active                0

event-time timers: 3, the next at 1970-01-01T00:00:59.999Z
processing-time timers: 0
keys: 3
";
        let squeezed = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(squeezed(&page(&why)), squeezed(expected));
    }
}
