//! Two processes share a pipeline over a real Kafka while they are killed, frozen and cut off from their broker at random; what readers of
//! committed records then see is held against what was put in. Some of it lies at its key's place already, some is keyed anew through topics
//! between the processes.
//!
//! `SANGAM_TORTURE=KILLS,FREEZES,CRASHES` says how often (kill -9 of a process; SIGSTOP beyond the session's timeout, then SIGCONT; kill -9 of
//! the broker), `SANGAM_TORTURE_SEED=N` chooses the moments; `just torture` runs it by hand with 500,50,20.

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use sangam::broker::{Broker, KafkaBroker, KafkaOptions};
use sangam_tests::guests::wasm;
use sangam_tests::kafka::{OwnBroker, PATIENCE, Seen, committed_at, producer_at};
use sangam_tests::program;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PARTITIONS: i32 = 4;
const WINDOW_MS: i64 = 1_000;
/// How far events may be out of order, below what the pipeline allows.
const JITTER_MS: u64 = 900;
/// How long it may take to go on after a fault, on a machine that has other things to do: a broker that was killed needs half a minute there.
const RECOVERY: Duration = Duration::from_secs(240);
/// Every so many rounds something is written to `spread`: going through topics is more work.
const SPREAD_EVERY: i64 = 4;
/// The group gives a process up after this long; the broker allows no less.
const SESSION: Duration = Duration::from_secs(6);

/// Topics that belong together: what comes in, what is counted of it, its windows.
const CHAINS: [[&str; 3]; 2] = [["words", "tallies", "windows"], ["spread", "spread-tallies", "spread-windows"]];
/// Those that are written to.
const INPUTS: [&str; 2] = [CHAINS[0][0], CHAINS[1][0]];

/// What happens to whom.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill(usize),
    Freeze(usize),
    Crash,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::Kill(_) => "kill -9",
            Fault::Freeze(_) => "SIGSTOP",
            Fault::Crash => "kill -9 of the broker",
        }
    }
}

/// A small generator of numbers, enough for moments and victims (xorshift64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// One of the processes, on a disk of its own.
struct Process {
    folder: tempfile::TempDir,
    child: Child,
}

impl Process {
    /// A process that the group knows again by its name after a restart, or that joins as a stranger each time.
    fn start(address: &str, name: Option<&str>) -> Process {
        let folder = tempfile::tempdir().unwrap();
        let known = name.map(|name| format!("\"group.instance.id\" = \"{name}\"\n")).unwrap_or_default();
        let toml = format!(
            r#"
            name = "torture"
            data = "data"
            plugins = "plugins"
            [clusters.main]
            kind = "kafka"
            brokers = "{address}"
            [clusters.main.options]
            "session.timeout.ms" = "{}"
            {known}
            [streams.words]
            cluster = "main"
            format = "json"
            key = "text"
            timestamp = "at"
            out_of_orderness = "1s"
            [streams.spread]
            cluster = "main"
            format = "json"
            timestamp = "at"
            out_of_orderness = "1s"
            [streams.tallies]
            cluster = "main"
            format = "json"
            [streams.windows]
            cluster = "main"
            format = "json"
            [streams.spread-tallies]
            cluster = "main"
            format = "json"
            [streams.spread-windows]
            cluster = "main"
            format = "json"
            [operators.count]
            input = "words"
            output = "tallies"
            [operators.windowing]
            input = "words"
            output = "windows"
            key = "text"
            config = {{ window = {{ type = "tumbling", size = "1s" }}, aggregate = [{{ fn = "count" }}] }}
            [operators.count-spread]
            plugin = "count"
            input = "spread"
            output = "spread-tallies"
            route = "repartition"
            [operators.windows-spread]
            plugin = "windowing"
            input = "spread"
            output = "spread-windows"
            key = "text"
            route = "repartition"
            parallelism = 3
            config = {{ window = {{ type = "tumbling", size = "1s" }}, aggregate = [{{ fn = "count" }}] }}
            "#,
            SESSION.as_millis()
        );
        std::fs::write(folder.path().join("torture.toml"), toml).unwrap();
        std::fs::create_dir(folder.path().join("plugins")).unwrap();
        for plugin in ["count", "windowing"] {
            std::fs::write(folder.path().join(format!("plugins/{plugin}.wasm")), wasm(plugin)).unwrap();
        }
        let child = spawn(folder.path());
        Process { folder, child }
    }

    fn again(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.folder.path());
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn lives(&mut self) {
        let end = self.child.try_wait().unwrap();
        assert!(end.is_none(), "a process has ended by itself: {end:?}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            println!("=== what a process said\n{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
    }
}

fn spawn(folder: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = Command::new(program::path());
    command.current_dir(folder).args(["run", "--no-screen", "torture.toml"]);
    command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// Writes words without end, in times that go up but for some jitter: to `words` each word always to the same partition, to `spread` every
/// word to all of them.
struct Speaker {
    producer: BaseProducer,
    dice: Dice,
    said: i64,
    /// Where times start. Outputs carry them, and Kafka deletes what is older than its retention and refuses what is an hour ahead: so they
    /// start a day ago, and do not get as far as now.
    start: i64,
}

impl Speaker {
    fn speak(&mut self, rounds: i64) {
        for _ in 0..rounds {
            self.said += 1;
            for partition in 0..PARTITIONS {
                let at = self.start + self.said * 20 + self.dice.roll(JITTER_MS) as i64;
                let word = format!("w{}-{partition}", self.dice.roll(5));
                self.send("words", partition, &format!(r#"{{"text": "{word}", "at": {at}}}"#));
                let word = self.dice.roll(7);
                if self.said % SPREAD_EVERY == 0 {
                    self.send("spread", partition, &format!(r#"{{"text": "s{word}", "at": {at}}}"#));
                }
            }
        }
        self.producer.poll(Duration::ZERO);
    }

    /// Far in the future, so that every window before it closes.
    fn last_words(&mut self) {
        for partition in 0..PARTITIONS {
            let text = format!(r#"{{"text": "end-{partition}", "at": {}}}"#, self.start + self.said * 20 + 1_000_000);
            INPUTS.iter().for_each(|topic| self.send(topic, partition, &text));
        }
        self.producer.flush(PATIENCE).unwrap();
    }

    fn send(&self, topic: &str, partition: i32, text: &str) {
        let mut record = BaseRecord::<str, str>::to(topic).partition(partition).payload(text);
        while let Err((_, back)) = self.producer.send(record) {
            record = back;
            self.producer.poll(Duration::from_millis(10));
        }
    }
}

fn json(seen: &Seen) -> Value {
    serde_json::from_slice(seen.value.as_ref().unwrap()).unwrap()
}

/// What was said: events, how often each word, and how often in each window that closes.
type Said = (usize, BTreeMap<String, u64>, BTreeMap<(String, i64), u64>);

/// Recomputes everything from what is committed in an input.
fn said(address: &str, input: &str) -> Said {
    let (mut counts, mut windows) = (BTreeMap::<String, u64>::new(), BTreeMap::<(String, i64), u64>::new());
    let input = committed_at(address, input);
    for word in &input {
        let (word, at) = (json(word)["text"].as_str().unwrap().to_owned(), json(word)["at"].as_i64().unwrap());
        *counts.entry(word.clone()).or_default() += 1;
        if !word.starts_with("end") {
            *windows.entry((word, at - at.rem_euclid(WINDOW_MS))).or_default() += 1;
        }
    }
    (input.len(), counts, windows)
}

/// Holds what was counted against what was said; how many events and windows there were.
fn verify(address: &str, [input, tallies_of, windows_of]: [&str; 3]) -> (usize, usize) {
    let (events, counts, windows) = said(address, input);
    let mut tallies = BTreeMap::<String, u64>::new();
    for tally in committed_at(address, tallies_of) {
        let tally = json(&tally);
        let (word, seen) = (tally["text"].as_str().unwrap(), tally["seen"].as_u64().unwrap());
        let last = tallies.insert(word.to_owned(), seen).unwrap_or_default();
        assert_eq!(seen, last + 1, "{tallies_of}, {word}: lost, doubled or out of order");
    }
    assert_eq!(tallies, counts, "{tallies_of}: words counted, and words said");
    let mut closed = BTreeMap::new();
    for window in committed_at(address, windows_of) {
        let window = json(&window);
        let at = (window["key"].as_str().unwrap().to_owned(), window["window_start"].as_i64().unwrap());
        let count = window["count"].as_u64().unwrap();
        assert_eq!(closed.insert(at.clone(), count), None, "{windows_of}: the window {at:?} came twice");
    }
    assert_eq!(closed, windows, "{windows_of}: windows closed, and windows of what was said");
    (events, windows.len())
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order_whoever_dies() {
    let times = std::env::var("SANGAM_TORTURE").unwrap_or_else(|_| "25,5,3".to_owned());
    let times: Vec<usize> = times.split(',').map(|times| times.parse().unwrap()).collect();
    let seed = std::env::var("SANGAM_TORTURE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1);
    println!("SANGAM_TORTURE_SEED={seed}");
    let mut dice = Dice(seed);
    let mut broker = OwnBroker::start();
    let address = broker.address.clone();
    let topics = KafkaBroker::connect(KafkaOptions::new(&address)).unwrap();
    for topic in CHAINS.as_flattened() {
        topics.create(topic, PARTITIONS as u32).unwrap();
    }
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64 - 86_400_000;
    let mut speaker = Speaker { producer: producer_at(&address, &[("enable.idempotence", "true")]), dice: Dice(seed ^ 7), said: 0, start };
    let mut processes = [Process::start(&address, Some("known")), Process::start(&address, None)];

    let mut faults: Vec<Fault> = Vec::new();
    faults.extend((0..times[0]).map(|n| Fault::Kill(usize::from(n % 3 == 0))));
    faults.extend((0..times[1]).map(|n| Fault::Freeze(n % 2)));
    faults.extend((0..times[2]).map(|_| Fault::Crash));
    let (mut seen, mut took) = (0, BTreeMap::<&str, (u32, Duration)>::new());
    while !faults.is_empty() {
        let fault = faults.swap_remove(dice.roll(faults.len() as u64) as usize);
        let started = Instant::now();
        // Under load, and never so fast that nothing gets done in between.
        eventually("work goes on", || {
            speaker.speak(25);
            let now = topics_end(&address);
            (now > seen).then(|| seen = now)
        });
        busily(&mut speaker, Duration::from_millis(dice.roll(800)));
        processes.iter_mut().for_each(Process::lives);
        match fault {
            Fault::Kill(which) => processes[which].again(),
            Fault::Freeze(which) => {
                processes[which].signal("-STOP");
                busily(&mut speaker, SESSION + Duration::from_millis(1_000 + dice.roll(2_000)));
                processes[which].signal("-CONT");
            }
            Fault::Crash => {
                broker.kill();
                broker.again();
            }
        }
        seen = topics_end(&address);
        let (times, time) = took.entry(fault.name()).or_default();
        (*times, *time) = (*times + 1, *time + started.elapsed());
    }
    for (fault, (times, time)) in took {
        println!(
            "{times} times {fault}: {:.1} s each, with what it took to go on from the fault before",
            time.as_secs_f64() / f64::from(times)
        );
    }
    speaker.last_words();
    eventually("the last words are counted", || {
        processes.iter_mut().for_each(Process::lives);
        let last =
            |topic| committed_at(&address, topic).iter().filter(|tally| json(tally)["text"].as_str().unwrap().starts_with("end")).count();
        CHAINS.iter().all(|[_, tallies, _]| last(tallies) >= PARTITIONS as usize).then_some(())
    });
    // What is keyed anew is there one commit after what was sent, at the earliest; and so is how far its senders are.
    for [input, _, windows] in CHAINS {
        let wanted = said(&address, input).2.len();
        eventually("the last windows close", || (committed_at(&address, windows).len() >= wanted).then_some(()));
    }
    // What one process has written last, another may still be about to doubt: both come to an end first.
    processes.iter().for_each(|process| process.signal("-TERM"));
    for process in &mut processes {
        let end = eventually("a process ends when it is told", || process.child.try_wait().unwrap());
        assert!(end.success(), "{end:?}");
    }
    for chain in CHAINS {
        let (events, windows) = verify(&address, chain);
        println!("{}: {events} events, {windows} windows: 0 lost, 0 doubled, 0 out of order", chain[0]);
    }
}

/// Calls `attempt` until it has a result.
fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + RECOVERY;
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(Instant::now() < deadline, "not within {RECOVERY:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Speaks for a while.
fn busily(speaker: &mut Speaker, time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        speaker.speak(5);
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// How far the outputs go, markers included.
fn topics_end(address: &str) -> i64 {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let consumer: BaseConsumer = rdkafka::ClientConfig::new().set("bootstrap.servers", address).create().unwrap();
    // The stable end: beyond it nothing counts yet.
    (0..PARTITIONS).map(|partition| consumer.fetch_watermarks("tallies", partition, PATIENCE).unwrap_or_default().1).sum()
}
