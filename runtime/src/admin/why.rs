//! "Why has my window not fired?": what an operator waits for, who holds its watermark back, since when, and what is due next.
//!
//! It reads what the workers have pinned up; it asks nobody and changes nothing.

use super::View;
use crate::pipeline::Standings;
use crate::stage::Standing;
use crate::task::{IntakeState, OperatorNode, Topology};
use crate::time::{Millis, WATERMARK_MAX, WATERMARK_MIN, date};
use serde::{Deserialize, Serialize};

/// How it is with an operator's time. Times are in milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The operator.
    pub operator: String,
    /// What the host's clock showed.
    pub now_ms: Millis,
    /// Where event time stands for it: the least of its tasks. `None`: nothing is known yet; the highest number there is: it has ended.
    pub watermark_ms: Option<Millis>,
    /// Those that the watermark is the least of, the furthest behind first.
    pub channels: Vec<Channel>,
    /// The channel that holds the watermark back.
    pub holding_back: Option<String>,
    /// The next event-time timer; windows close by those.
    pub next_timer_ms: Option<Millis>,
    /// Pending event-time timers.
    pub pending_timers: usize,
    /// The next processing-time timer.
    pub next_processing_timer_ms: Option<Millis>,
    /// Pending processing-time timers.
    pub pending_processing_timers: usize,
    /// Keys with state or timers: with windows, those that have one open.
    pub keys: usize,
    /// Events that wait for their batch.
    pub waiting: usize,
    /// All of it in a sentence or two.
    pub answer: String,
}

/// A partition, or a slice of the operator before, whose watermark counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// Stream and partition: `departures/2`.
    pub name: String,
    /// The operator that writes the stream, where it is not read from a topic.
    pub from: Option<String>,
    /// Where its watermark stands; `None`: it has had no event yet.
    pub watermark_ms: Option<Millis>,
    /// Since when it has stood there, as far as this run has seen.
    pub since_ms: Millis,
    /// `active`, `idle`, `behind` (has come back and is catching up), `held` (too far ahead of others), `finished`.
    pub state: String,
    /// Records that wait to be read there, where that is known.
    pub lag: Option<u64>,
}

impl View {
    /// How it is with an operator's time; `None` where there is no such operator.
    pub fn why(&self, operator: &str) -> Option<Why> {
        let index = self.topology.operators.iter().position(|node| *node.name == *operator)?;
        Some(why(&self.topology, index, &self.control.standings()))
    }
}

fn why(topology: &Topology, operator: usize, standings: &Standings) -> Why {
    let Some(node) = topology.operators.get(operator) else { return Why::default() };
    let slices: Vec<_> = standings.operators.range((operator, 0)..(operator + 1, 0)).map(|(_, standing)| standing).collect();
    let mut channels: Vec<Channel> = Vec::new();
    let mut least: Option<(Millis, String)> = None;
    for channel in slices.iter().flat_map(|standing| &standing.channels) {
        let found = describe(topology, operator, channel.input, channel.from, standings);
        let (name, watermark) = (found.name.clone(), channel.watermark);
        if channel.standing == Standing::Active && watermark != WATERMARK_MAX && least.as_ref().is_none_or(|(at, _)| watermark < *at) {
            least = Some((watermark, name));
        }
        let state = match (channel.standing, found.state.as_str()) {
            (Standing::Active, "held") => "held",
            (Standing::Active, _) => "active",
            (Standing::Idle, _) => "idle",
            (Standing::Behind, _) => "behind",
            (Standing::Finished | Standing::Gone, _) => "finished",
        };
        let found = Channel { watermark_ms: known(watermark), since_ms: channel.since, state: state.to_owned(), ..found };
        // Every slice of the keys hears of the same partitions: the one that is furthest behind counts.
        match channels.iter_mut().find(|known| known.name == found.name) {
            Some(known) if found.watermark_ms < known.watermark_ms => *known = found,
            Some(_) => {}
            None => channels.push(found),
        }
    }
    channels.sort_by(|a, b| (a.watermark_ms, &a.name).cmp(&(b.watermark_ms, &b.name)));
    let sum = |count: fn(&crate::task::OperatorStanding) -> usize| slices.iter().map(|standing| count(standing)).sum();
    let mut why = Why {
        operator: node.name.to_string(),
        now_ms: standings.now,
        watermark_ms: slices.iter().map(|standing| standing.watermark).min().and_then(known),
        holding_back: least.map(|(_, name)| name),
        channels,
        next_timer_ms: slices.iter().filter_map(|standing| standing.next_timer).min(),
        pending_timers: sum(|standing| standing.timers),
        next_processing_timer_ms: slices.iter().filter_map(|standing| standing.next_clock_timer).min(),
        pending_processing_timers: sum(|standing| standing.clock_timers),
        keys: sum(|standing| standing.keys),
        waiting: sum(|standing| standing.waiting),
        answer: String::new(),
    };
    why.answer = if slices.is_empty() { "no task of this operator is at work yet".to_owned() } else { answer(topology, &why) };
    why
}

fn known(watermark: Millis) -> Option<Millis> {
    (watermark != WATERMARK_MIN).then_some(watermark)
}

/// Name, origin and lag of a channel.
fn describe(topology: &Topology, operator: usize, input: usize, from: u32, standings: &Standings) -> Channel {
    let reads = |consumer: &crate::task::Consumer| consumer.operator == operator && consumer.input == input;
    let stream = topology.streams.iter().position(|stream| stream.consumers.iter().any(reads));
    let Some((index, stream)) = stream.and_then(|index| Some((index, topology.streams.get(index)?))) else { return Channel::default() };
    let source = standings.sources.get(&(index, from));
    let writes = |node: &&OperatorNode| {
        node.outputs.iter().flatten().chain(&node.late).chain(&node.dead_letters).chain(&node.fallback).any(|to| *to == index)
    };
    let writer = topology.operators.iter().find(writes).filter(|_| stream.topic.is_none());
    Channel {
        name: format!("{}/{from}", stream.name),
        from: writer.map(|node| node.name.to_string()),
        lag: source.and_then(|source| source.lag),
        state: if source.is_some_and(|source| source.state == IntakeState::Held) { "held".to_owned() } else { String::new() },
        ..Channel::default()
    }
}

fn answer(topology: &Topology, why: &Why) -> String {
    let timer = match (why.next_timer_ms, why.watermark_ms) {
        (None, _) => "no timer is pending, so no window is open".to_owned(),
        (Some(at), Some(watermark)) if at <= watermark => format!("the next timer was due at {} and fires at once", moment(at)),
        (Some(at), _) => format!("the next timer is due at {}", moment(at)),
    };
    let waiting = if why.waiting > 0 { format!("; {} events wait for their batch", why.waiting) } else { String::new() };
    if why.watermark_ms == Some(WATERMARK_MAX) {
        return format!("its input has ended and its watermark is at the end of time: everything has fired{waiting}");
    }
    let Some(holder) = why.holding_back.as_ref().and_then(|name| why.channels.iter().find(|channel| channel.name == *name)) else {
        let stands =
            why.watermark_ms.map_or_else(|| "there is no watermark yet".to_owned(), |at| format!("the watermark stands at {}", moment(at)));
        let idle = if why.channels.iter().any(|channel| channel.state == "behind") {
            "nobody counts towards the watermark: what has come back is still catching up, the rest is idle"
        } else {
            "everything that it reads is idle"
        };
        return format!("{idle}; {stands} until an event comes; {timer}{waiting}");
    };
    let since = length(why.now_ms.saturating_sub(holder.since_ms));
    let held = match holder.watermark_ms {
        Some(at) => format!("{} holds the watermark at {} since {since}", holder.name, moment(at)),
        None => format!("{} has had no event for {since}, so that there is no watermark", holder.name),
    };
    let reason = match (&holder.from, holder.lag) {
        (Some(from), _) => format!("what `{from}` sends there has come no further; `sangam why {from}` says why"),
        (None, Some(lag)) if lag > 0 => format!("{lag} records wait to be read there"),
        _ if holder.watermark_ms.is_none() => "nothing fires before one comes".to_owned(),
        _ => "no event with a later time has come".to_owned(),
    };
    let of = |stream: &&crate::task::StreamNode| holder.name.rsplit_once('/').is_some_and(|(name, _)| name == stream.name);
    let for_ever = holder.from.is_none() && topology.streams.iter().find(of).is_some_and(|stream| stream.idle.is_none());
    let for_ever = if for_ever && why.channels.len() > 1 { " (its stream says no `idle`, so that it is waited for for ever)" } else { "" };
    format!("{held}: {reason}{for_ever}; {timer}{waiting}")
}

/// A time as people read it, in UTC: `2001-03-01T07:59:59.999Z`.
pub fn moment(at: Millis) -> String {
    let (days, of_day) = (at.div_euclid(86_400_000), at.rem_euclid(86_400_000));
    let (year, month, day) = date(days);
    let (hour, minute, second, milli) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// A length of time as people read it: `42 s`, `3 min 12 s`.
pub fn length(millis: Millis) -> String {
    let seconds = millis.max(0) / 1_000;
    match seconds {
        0 => format!("{} ms", millis.max(0)),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_lengths_are_written_for_people() {
        for (at, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (983_433_599_999, "2001-03-01T07:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (253_370_764_799_999, "9998-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(moment(at), expected);
        }
        for (millis, expected) in
            [(-5, "0 ms"), (999, "999 ms"), (42_500, "42 s"), (192_000, "3 min 12 s"), (7_260_000, "2 h 1 min"), (90_000_000, "1 d 1 h")]
        {
            assert_eq!(length(millis), expected);
        }
        assert!(!moment(i64::MAX).is_empty() && !moment(i64::MIN).is_empty());
    }
}
