//! The events of a system, all made before the clock starts: a block of what its generators write, over and over, each time later and of others.
//!
//! No two events have the same time, so that an output tells by its time which one it answers.

use super::{SHARED_BY, System, Who};
use anyhow::{Context, bail};
use sangam::time::Millis;
use sangam_tests::bench::frames::Frames;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Events that a generator makes; more are made of these.
const BLOCK: usize = 100_000;

/// All events of a run.
pub struct Prepared {
    /// By stream. The one that is measured begins with an event of each user.
    pub streams: BTreeMap<String, Frames>,
    /// The times of the stream that is measured, which go up.
    pub times: Vec<Millis>,
    /// Events in it that only fill the state.
    pub before: usize,
}

impl Prepared {
    /// Makes `events` events to be measured and, for a system that has users, one for each user before them.
    ///
    /// # Errors
    /// When a generator fails.
    pub fn make(system: &System, root: &Path, events: usize, users: usize) -> anyhow::Result<Prepared> {
        let mut streams = generated(system, root, events.min(BLOCK))?;
        let block = streams.remove(system.stream).with_context(|| format!("no generator writes `{}`", system.stream))?;
        let mut encoded = BTreeMap::new();
        for (name, rows) in streams {
            encoded.insert(name, encode(rows.into_iter().map(Value::Object))?);
        }
        let who = system.who.filter(|_| users > 0);
        if let Some((table, row)) = who.and_then(|who| who.table) {
            encoded.insert(table.to_owned(), encode((0..users).map(row))?);
        }
        let before = if who.is_some() { users } else { 0 };
        let (frames, times) = spun(&block, before + events, before, who)?;
        encoded.insert(system.stream.to_owned(), frames);
        Ok(Prepared { streams: encoded, times, before })
    }

    /// Bytes of an event of a stream, on average.
    pub fn event_bytes(&self, stream: &str) -> f64 {
        self.streams.get(stream).map_or(f64::NAN, |frames| frames.bytes() as f64 / frames.len() as f64)
    }

    /// Users whose state there is.
    pub fn users(&self) -> usize {
        self.before
    }
}

/// What the generators of a system write, by stream.
fn generated(system: &System, root: &Path, events: usize) -> anyhow::Result<BTreeMap<String, Vec<Map<String, Value>>>> {
    let mut streams: BTreeMap<String, Vec<Map<String, Value>>> = BTreeMap::new();
    for example in system.generators {
        let folder = tempfile::tempdir()?;
        let generator = root.join("examples").join(example).join("generate.py");
        let ran = Command::new("python3").arg(&generator).arg(folder.path()).args(["--events", &events.to_string()]).output()?;
        if !ran.status.success() {
            bail!("{}: {}", generator.display(), String::from_utf8_lossy(&ran.stderr));
        }
        for file in std::fs::read_dir(folder.path())? {
            let path = file?.path();
            let name = path.file_stem().context("a file without a name")?.to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path)?;
            let rows = text.lines().map(serde_json::from_str).collect::<Result<Vec<Map<String, Value>>, _>>()?;
            match streams.get_mut(&name) {
                None => drop(streams.insert(name, rows)),
                Some(known) => known.iter_mut().zip(rows).for_each(|(event, more)| event.extend(more)),
            }
        }
    }
    Ok(streams)
}

/// Repeats a block of events until there are `count`, with times that go up; the first `before` are one of each user.
fn spun(block: &[Map<String, Value>], count: usize, before: usize, who: Option<Who>) -> anyhow::Result<(Frames, Vec<Millis>)> {
    let time = |event: &Map<String, Value>| event.get("timestamp").and_then(Value::as_i64).context("an event without `timestamp`");
    let first = time(block.first().context("no events")?)?;
    let span = time(block.last().context("no events")?)? - first + 1_000;
    let rounds = count.div_ceil(block.len()) as i64;
    let (mut frames, mut times, mut dice) = (Frames::default(), Vec::with_capacity(count), 1_u64);
    for number in 0..count {
        let mut event = block.get(number % block.len()).context("no event")?.clone();
        let offset = time(&event)? - first + (number / block.len()) as i64 * span;
        // With users the whole takes as long as a block, so that all of them live in the same hours; without, one block comes after the other.
        let at = first + if who.is_some() { offset / rounds } else { offset };
        let at = times.last().map_or(at, |last: &Millis| at.max(last + 1));
        event.insert("timestamp".into(), at.into());
        if let Some(who) = who {
            let user = if number < before { number } else { (roll(&mut dice) % before as u64) as usize };
            rename(&mut event, who, user, block);
            if let (true, Some((field, value))) = (number < before, who.first) {
                event.insert(field.into(), value.into());
            }
        }
        let bytes = rmp_serde::to_vec(&Value::Object(event))?;
        frames.push(|out| out.extend_from_slice(&bytes));
        times.push(at);
    }
    Ok((frames, times))
}

/// Makes an event one of a user's.
fn rename(event: &mut Map<String, Value>, who: Who, user: usize, block: &[Map<String, Value>]) {
    let home = block.get(user % block.len());
    for field in who.keeps {
        if let Some(value) = home.and_then(|home| home.get(*field)) {
            event.insert((*field).to_owned(), value.clone());
        }
    }
    for name in who.names {
        let shared = event.get(name.field).and_then(Value::as_str).filter(|text| name.may_be_shared && !text.starts_with(name.before));
        let value = match shared {
            Some(text) => format!("{text}-{}", user / SHARED_BY),
            None => format!("{}{user}{}", name.before, name.after),
        };
        event.insert(name.field.to_owned(), value.into());
    }
}

fn encode(rows: impl Iterator<Item = Value>) -> anyhow::Result<Frames> {
    let mut frames = Frames::default();
    for row in rows {
        let bytes = rmp_serde::to_vec(&row)?;
        frames.push(|out| out.extend_from_slice(&bytes));
    }
    Ok(frames)
}

/// A number of xorshift: the same in every run.
fn roll(dice: &mut u64) -> u64 {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    *dice
}
