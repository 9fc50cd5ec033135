//! Sends the events of dead letters back to the stream that they came from, each once.
//!
//! Record and note are one write: one atomic write of the embedded store, or one transaction at Kafka. Whatever happens in between, the
//! next replay goes on with those that are not noted down.

use super::desk::{Desk, ledger, topic};
use super::rehearse::{Rehearsal, Verdict};
use super::{Letter, Replay, stream_of};
use crate::admin::moment;
use crate::broker::{BrokerError, Named, OnceSink, OutRecord, Written};
use crate::config::{Carrier, Format};
use crate::route::{json_to_msgpack, msgpack_to_json, partition_of};
use crate::sandbox::printable;
use crate::stage::letter::{header, with_headers};
use crate::time::{Clock, SystemClock};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// Records and bytes of one write.
const RECORDS_MAX: usize = 500;
const BYTES_MAX: usize = 8 << 20;

/// Replays what is meant.
pub(super) fn run(replay: &Replay, out: &mut dyn Write) -> Result<()> {
    let named: BTreeSet<&String> = replay.letters.iter().collect();
    let mut which = replay.which.clone();
    let streams: BTreeSet<String> = named.iter().map(|id| stream_of(id)).collect::<Result<_>>()?;
    if let (1, None, Some(stream)) = (streams.len(), &which.stream, streams.first()) {
        which.stream = Some(stream.clone());
    }
    let desk = Desk::open(&which)?;
    let to = replay.to.as_deref().map(|name| desk.target(name, "--to")).transpose()?;
    let rehearsal = replay.with.as_deref().map(|wasm| Rehearsal::new(&desk, wasm, which.operator.as_deref())).transpose()?;
    let mut sender = Sender {
        desk: &desk,
        replay,
        to,
        targets: BTreeMap::new(),
        rehearsal,
        ledgers: BTreeMap::new(),
        waiting: Vec::new(),
        bytes: 0,
        seen: BTreeSet::new(),
        sent_to: BTreeSet::new(),
        counts: Counts::default(),
    };
    let mut missing = named.clone();
    desk.each(&which, &mut |letter| {
        let id = letter.id();
        if named.is_empty() || missing.remove(&id) {
            sender.take(letter, !named.is_empty(), out)?;
        }
        Ok(())
    })?;
    sender.send(out)?;
    let (counts, warnings) = (sender.counts, sender.warnings());
    for id in &missing {
        writeln!(out, "{id}  is not there")?;
    }
    writeln!(out, "{}", counts.sentence(replay.dry_run))?;
    warnings.iter().for_each(|warning| eprintln!("sangam: {warning}"));
    if missing.is_empty() { Ok(()) } else { bail!("{} of the letters named are not there", missing.len()) }
}

/// Where events go back to.
#[derive(Clone, Copy, Debug)]
struct Target {
    stream: usize,
    partitions: u32,
}

/// How many letters ended how.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    sent: usize,
    before: usize,
    failing: usize,
    not_possible: usize,
}

/// Gathers events and sends them in portions.
struct Sender<'a> {
    desk: &'a Desk,
    replay: &'a Replay,
    to: Option<Target>,
    /// Where the events of each stream go, once looked up.
    targets: BTreeMap<String, Target>,
    rehearsal: Option<Rehearsal<'a>>,
    /// By broker.
    ledgers: BTreeMap<usize, Ledger>,
    /// With the name that each is noted down under.
    waiting: Vec<(Target, String, Letter)>,
    bytes: usize,
    /// Names of the events that this run sends.
    seen: BTreeSet<String>,
    /// The streams that it has sent to.
    sent_to: BTreeSet<usize>,
    counts: Counts,
}

/// A ledger.
struct Ledger {
    /// What writes to it; nothing where nothing is to be written.
    sink: Option<Box<dyn OnceSink>>,
    written: Written,
}

// === impl Desk ===

impl Desk {
    /// The stream called `name` as a place to send events to.
    fn target(&self, name: &str, from: &str) -> Result<Target> {
        let streams = &self.pipeline.streams;
        let stream = streams.iter().position(|stream| stream.name == name);
        let Some((s, stream)) = stream.and_then(|s| Some((s, streams.get(s)?))) else {
            bail!("{from} `{name}` is no stream of this pipeline");
        };
        let remedy = "name another with `--to STREAM`";
        match &stream.carrier {
            Carrier::Topic { topic, .. } => {
                let partitions = self.broker(s)?.partitions(topic)?;
                Ok(Target { stream: s, partitions: partitions.with_context(|| format!("the topic `{topic}` is not there"))? })
            }
            Carrier::File { .. } => bail!("`{name}` is a file, which takes no events back; {remedy}"),
            Carrier::Webhook(_) => bail!("`{name}` is an endpoint, which no operator reads; {remedy}"),
            Carrier::Internal => bail!("`{name}` is no topic: its events go from operator to operator in memory; {remedy}"),
        }
    }
}

// === impl Sender ===

impl Sender<'_> {
    /// Takes a letter; `named` says that it was asked for by name.
    fn take(&mut self, mut letter: Letter, named: bool, out: &mut dyn Write) -> Result<()> {
        let id = letter.id();
        let target = match self.place(&letter) {
            Ok(target) => target,
            // Not the letter's fault: it may go back another time.
            Err(why) if why.is::<BrokerError>() => return Err(why),
            Err(why) => {
                self.counts.not_possible += 1;
                return Ok(writeln!(out, "{id}  cannot be replayed: {why}")?);
            }
        };
        let name = letter.replay_name();
        let at = self.ledger(target)?.written.get(&name).copied();
        let same = self.seen.contains(&name);
        if let (true, Some(at)) = (!same && !self.replay.again, at) {
            self.counts.before += 1;
            // Of all that was replayed ever, only what was asked for is told.
            if named {
                writeln!(out, "{id}  was replayed at {}", moment(at))?;
            }
            return Ok(());
        }
        if same {
            self.counts.before += 1;
            return Ok(writeln!(out, "{id}  is replayed with another letter of the same event")?);
        }
        if let Some(rehearsal) = &mut self.rehearsal {
            let verdict = rehearsal.play(&letter)?;
            let why = match verdict {
                Verdict::Passes => None,
                Verdict::Late => Some("the build takes it for late: its windows have closed".to_owned()),
                Verdict::Fails { kind, error } => Some(format!("still fails: {kind}: {}", printable(error.as_bytes(), 1 << 10))),
                Verdict::NotItsPlugin => Some("is another plugin's; the build says nothing about it".to_owned()),
            };
            if let Some(why) = why {
                self.counts.failing += 1;
                return Ok(writeln!(out, "{id}  {why}")?);
            }
        }
        if let Err(why) = self.write_for(target, &mut letter) {
            self.counts.not_possible += 1;
            return Ok(writeln!(out, "{id}  cannot be replayed: {why}")?);
        }
        self.bytes += letter.key.as_ref().map_or(0, Vec::len) + letter.value.as_ref().map_or(0, Vec::len) + letter.headers.len();
        self.seen.insert(name.clone());
        self.sent_to.insert(target.stream);
        self.waiting.push((target, name, letter));
        if self.waiting.len() >= RECORDS_MAX || self.bytes >= BYTES_MAX { self.send(out) } else { Ok(()) }
    }

    /// Where a letter's event goes.
    fn place(&mut self, letter: &Letter) -> Result<Target> {
        let [timer, output, input] = [header::TIMER, header::OUTPUT, header::INPUT].map(|name| letter.header(name));
        if !timer.is_empty() {
            bail!("it is the timer `{}`, and no event", printable(timer.as_bytes(), 100));
        }
        if !output.is_empty() {
            bail!("it is an output that `{}` cannot take, and no event", printable(output.as_bytes(), 100));
        }
        if !letter.header(header::OMITTED).is_empty() {
            bail!("its value was too large for the stream of dead letters and is not there; its headers say where the event was read");
        }
        if self.to.is_none() && input.is_empty() {
            bail!("it does not say which stream it came from (`{}`)", header::INPUT);
        }
        if let Some(target) = self.to.or_else(|| self.targets.get(input).copied()) {
            return Ok(target);
        }
        let target = self.desk.target(input, "its stream")?;
        self.targets.insert(input.to_owned(), target);
        Ok(target)
    }

    /// Writes a letter's value in the format of the stream that it goes to, where it came from a stream of another format. What came in memory has
    /// that of the stream of dead letters already.
    fn write_for(&self, target: Target, letter: &mut Letter) -> Result<(), String> {
        let pipeline = &self.desk.pipeline;
        let from = pipeline.stream(letter.header(header::INPUT)).filter(|from| from.carrier != Carrier::Internal);
        let (Some(from), Some(to), Some(value)) = (from, pipeline.streams.get(target.stream), &letter.value) else { return Ok(()) };
        let mut written = Vec::new();
        match (from.format, to.format) {
            (Format::Json, Format::MessagePack) => json_to_msgpack(value, &mut written)?,
            (Format::MessagePack, Format::Json) => msgpack_to_json(value, &mut written)?,
            // The same, or bytes that nobody looks into.
            _ => return Ok(()),
        }
        letter.value = Some(written);
        Ok(())
    }

    fn ledger(&mut self, target: Target) -> Result<&Ledger> {
        let broker = self.desk.brokers.of_stream(target.stream);
        if !self.ledgers.contains_key(&broker) {
            let name = ledger(&self.desk.pipeline);
            let at = self.desk.broker(target.stream)?;
            let mut sink = if self.replay.dry_run { None } else { Some(at.once(&name)?) };
            // Read after the ledger was taken over: whoever had it writes no more.
            let written = sink.as_mut().map_or_else(|| at.written(&name), |sink| sink.written())?;
            self.ledgers.insert(broker, Ledger { sink, written });
        }
        self.ledgers.get(&broker).context("the ledger was just opened")
    }

    /// Sends what waits: one write per broker.
    fn send(&mut self, out: &mut dyn Write) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        let now = SystemClock.now();
        let headers: Vec<Vec<u8>> = waiting.iter().map(|(_, _, letter)| replay_headers(letter)).collect();
        for (broker, ledger) in &mut self.ledgers {
            let mine = waiting.iter().zip(&headers).filter(|((target, ..), _)| self.desk.brokers.of_stream(target.stream) == *broker);
            let records: Vec<(Named<'_>, &Letter, String)> = mine
                .filter_map(|((target, name, letter), headers)| {
                    let stream = self.desk.pipeline.streams.get(target.stream)?;
                    let (key, value) = (letter.key.as_deref(), letter.value.as_deref());
                    let partition = partition(letter, &stream.name, *target);
                    let record = OutRecord { topic: topic(stream)?, partition, key, value, headers, time: letter.time };
                    Some((Named { name, record: Some(record) }, letter, format!("{}/{partition}", stream.name)))
                })
                .collect();
            if records.is_empty() {
                continue;
            }
            if let Some(sink) = &mut ledger.sink {
                let named: Vec<Named<'_>> = records.iter().map(|(named, ..)| named.clone()).collect();
                sink.write(&named, now).with_context(|| {
                    format!("{} letters are not replayed; replay again: what was replayed is known, and goes on from there", records.len())
                })?;
                ledger.written.extend(records.iter().map(|(named, ..)| (named.name.to_owned(), now)));
            }
            for (_, letter, place) in &records {
                let verb = if self.replay.dry_run { "would go" } else { "replayed" };
                writeln!(out, "{}  {verb} to {place}", letter.id())?;
            }
            self.counts.sent += records.len();
        }
        Ok(())
    }

    /// What a user should know about what has been done.
    fn warnings(&self) -> Vec<String> {
        let pipeline = &self.desk.pipeline;
        let mut warnings: Vec<String> = self.rehearsal.iter().flat_map(Rehearsal::warnings).collect();
        for stream in self.sent_to.iter().filter_map(|s| pipeline.streams.get(*s)) {
            let readers: Vec<&str> = pipeline.readers(&stream.name).map(|operator| operator.name.as_str()).collect();
            if readers.len() > 1 {
                warnings.push(format!("`{}` is read by {}: each of them gets these events again", stream.name, readers.join(" and ")));
            }
        }
        warnings
    }
}

/// The partition that an event goes to: the one that it came from, or its key's.
fn partition(letter: &Letter, to: &str, target: Target) -> i32 {
    let origin = letter.origin().filter(|origin| origin.stream == to && (0..target.partitions as i32).contains(&origin.partition));
    match (origin, &letter.key) {
        (Some(origin), _) => origin.partition,
        (None, Some(key)) => partition_of(key, target.partitions) as i32,
        (None, None) => 0,
    }
}

/// The event's own headers, and which letter it was.
fn replay_headers(letter: &Letter) -> Vec<u8> {
    let (id, attempt) = (letter.id(), letter.attempts().saturating_add(1).to_string());
    let fields = [(header::REPLAY_OF, &*id), (header::REPLAY_ATTEMPT, &*attempt)];
    with_headers(&letter.headers, &|name| name.starts_with("sangam."), &fields)
}

// === impl Counts ===

impl Counts {
    fn sentence(self, dry_run: bool) -> String {
        let mut parts = vec![format!("{} {}", self.sent, if dry_run { "would be replayed" } else { "replayed" })];
        let more = [(self.before, "replayed before"), (self.failing, "not taken by the build"), (self.not_possible, "cannot be replayed")];
        parts.extend(more.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        parts.join(", ")
    }
}
