//! What every broker with topics and partitions does, as functions that any of them can be put through; a failure panics.
//!
//! It is code for tests, public so that brokers which need a server are held to the same words.

#![expect(clippy::unwrap_used, reason = "a failed expectation is what this is for")]

use super::{Assignment, Broker, BrokerError, Named, OutRecord, Polled, Replay, Sink, Source, Start, Subscribe, Subscription};
use crate::events::Events;
use crate::store::{Changes, Store};
use crate::time::{Millis, WATERMARK_MIN};
use std::time::{Duration, Instant};

/// A broker under test.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The broker.
    pub broker: &'a dyn Broker,
    /// Where it keeps what it keeps in a store, or any other store.
    pub store: &'a dyn Store,
    /// How topics and groups of this case begin: two cases on one broker must not meet.
    pub name: &'a str,
    /// How long a record may take to arrive. Zero for a broker in this process: what was written is there.
    pub patience: Duration,
}

/// A case.
pub type Case = fn(&World<'_>);

/// Every case with its name that holds for all brokers.
pub const CASES: &[(&str, Case)] = &[
    ("a topic is there once it was made and keeps its partitions", a_topic_is_there_once_it_was_made),
    ("a topic that is not there is named", a_topic_that_is_not_there_is_named),
    ("records come back whole and in order", records_come_back_whole_and_in_order),
    ("partitions do not mix", partitions_do_not_mix),
    ("an empty partition gives nothing and does not end", an_empty_partition_gives_nothing_and_does_not_end),
    ("a poll gives no more than it was asked for and goes on where it stopped", a_poll_gives_no_more_than_asked),
    ("a reader goes where it is sent", a_reader_goes_where_it_is_sent),
    ("a group goes on where it committed and another group starts afresh", a_group_goes_on_where_it_committed),
    ("a group that starts with the latest sees only what comes then", a_latest_group_sees_what_comes),
    ("a flush that was not written is not seen, where the sink lives in the store", a_flush_that_was_not_written_is_not_seen),
    ("offsets go up through many commits of two sinks", offsets_go_up_through_many_commits),
    ("a partition is read back from any offset to where it ends", a_partition_is_read_back_to_where_it_ends),
];

/// Those of brokers that remember what was written to them under a name.
pub const LEDGERS: &[(&str, Case)] = &[
    ("a record is written together with its name", a_record_is_written_together_with_its_name),
    ("whoever takes a ledger over sees all of it", whoever_takes_a_ledger_over_sees_all_of_it),
];

/// Makes a topic called after the case.
pub fn topic(world: &World<'_>, partitions: u32) -> String {
    let topic = format!("{}-topic", world.name);
    world.broker.create(&topic, partitions).unwrap();
    topic
}

/// Subscribes a group and waits for all of its partitions, in order of partition.
pub fn subscribe(world: &World<'_>, group: &str, topic: &str, start: Start, partitions: usize) -> Reader {
    let subscribe = Subscribe::new(format!("{}-{group}", world.name), [topic.to_owned()], start);
    let mut subscription = world.broker.subscribe(&subscribe).unwrap();
    let mut gained = Vec::new();
    patiently(world, || {
        for change in subscription.changes().unwrap() {
            match change {
                Assignment::Gained { partition, committed, source, .. } => gained.push((partition, committed, source)),
                Assignment::Lost { partition, .. } => gained.retain(|(known, ..)| *known != partition),
            }
        }
        gained.len() == partitions
    });
    assert_eq!(gained.len(), partitions, "partitions were assigned");
    gained.sort_by_key(|(partition, ..)| *partition);
    let committed = gained.iter().map(|(_, committed, _)| *committed).collect();
    Reader { subscription, committed, sources: gained.into_iter().map(|(.., source)| source).collect() }
}

/// What a group has of a topic.
pub struct Reader {
    /// The subscription.
    pub subscription: Box<dyn Subscription>,
    /// What was committed, by partition.
    pub committed: Vec<Option<i64>>,
    /// The sources, by partition.
    pub sources: Vec<Box<dyn Source>>,
}

/// A record with one value, keyless.
pub fn record<'a>(topic: &'a str, partition: i32, value: &'a [u8]) -> OutRecord<'a> {
    OutRecord { topic, partition, key: None, value: Some(value), headers: &[], time: 0 }
}

/// Writes records as one commit.
pub fn commit(world: &World<'_>, sink: &mut dyn Sink, records: &[OutRecord<'_>]) {
    let mut changes = Changes::default();
    for record in records {
        sink.write(record, &mut changes).unwrap();
    }
    sink.flush(&mut changes).unwrap();
    world.store.write(&changes).unwrap();
    sink.settled(true);
}

/// Polls until there are `count` records more, or patience is at its end.
pub fn read(world: &World<'_>, source: &mut dyn Source, count: usize) -> Events {
    let mut events = Events::default();
    patiently(world, || {
        source.poll(count.saturating_sub(events.len()).max(1), &mut events).unwrap();
        events.len() >= count
    });
    assert_eq!(values(&events).len(), count, "records arrived: {:?}", values(&events));
    events
}

/// The values as text; a tombstone is `-`.
pub fn values(events: &Events) -> Vec<String> {
    events.rows.iter().map(|row| events.value(row).map_or("-".to_owned(), |value| String::from_utf8_lossy(value).into_owned())).collect()
}

fn a_topic_is_there_once_it_was_made(world: &World<'_>) {
    let topic = format!("{}-made", world.name);
    assert_eq!(world.broker.partitions(&topic).unwrap(), None);
    world.broker.create(&topic, 3).unwrap();
    patiently(world, || world.broker.partitions(&topic).unwrap().is_some());
    assert_eq!(world.broker.partitions(&topic).unwrap(), Some(3));
    world.broker.create(&topic, 5).unwrap();
    assert_eq!(world.broker.partitions(&topic).unwrap(), Some(3));
}

fn a_topic_that_is_not_there_is_named(world: &World<'_>) {
    let topic = format!("{}-missing", world.name);
    let subscribe = Subscribe::new(topic.clone(), [topic.clone()], Start::Earliest);
    match world.broker.subscribe(&subscribe) {
        Err(BrokerError::NoTopic(named)) => assert_eq!(named, topic),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("subscribed to a topic that is not there"),
    }
}

fn records_come_back_whole_and_in_order(world: &World<'_>) {
    let topic = topic(world, 1);
    let headers = [0x81, 0xa1, b'h', 0xc4, 0x01, 0xff];
    let large = vec![b'x'; 300_000];
    type Parts<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, &'a [u8], Millis);
    let parts: [Parts<'_>; 5] = [
        (Some(b"key"), Some(b"value"), &headers, 1_700_000_000_000),
        // Not 0, which Kafka's client takes for "now".
        (None, Some(b"no key"), &[], 1),
        (Some(b"tombstone"), None, &headers, 5),
        (Some(b""), Some(b""), &[], 6),
        (Some(&[0, 255]), Some(&large), &[], 7),
    ];
    let records = parts.map(|(key, value, headers, time)| OutRecord { topic: &topic, partition: 0, key, value, headers, time });
    commit(world, &mut *world.broker.sink().unwrap(), &records);
    let mut reader = subscribe(world, "whole", &topic, Start::Earliest, 1);
    let events = read(world, &mut *reader.sources[0], 5);
    for (row, (key, value, headers, time)) in events.rows.iter().zip(parts) {
        assert_eq!((events.key(row), events.value(row), events.headers(row), row.time, row.partition), (key, value, headers, time, 0));
        assert_eq!(row.watermark, WATERMARK_MIN);
    }
    assert!(events.rows.windows(2).all(|rows| rows[0].offset < rows[1].offset));
}

fn partitions_do_not_mix(world: &World<'_>) {
    let topic = topic(world, 3);
    let mut sink = world.broker.sink().unwrap();
    let records = [(2, "a"), (0, "b"), (2, "c"), (1, "d"), (0, "e")].map(|(partition, value)| record(&topic, partition, value.as_bytes()));
    commit(world, &mut *sink, &records);
    let mut reader = subscribe(world, "mix", &topic, Start::Earliest, 3);
    let found = [2, 1, 2].into_iter().zip(&mut reader.sources).map(|(count, source)| values(&read(world, &mut **source, count)));
    assert_eq!(found.collect::<Vec<_>>(), [vec!["b", "e"], vec!["d"], vec!["a", "c"]]);
}

fn an_empty_partition_gives_nothing_and_does_not_end(world: &World<'_>) {
    let topic = topic(world, 1);
    let mut reader = subscribe(world, "empty", &topic, Start::Earliest, 1);
    let mut events = Events::default();
    assert_eq!(reader.sources[0].poll(10, &mut events).unwrap(), Polled::Empty);
    commit(world, &mut *world.broker.sink().unwrap(), &[record(&topic, 0, b"late")]);
    assert_eq!(values(&read(world, &mut *reader.sources[0], 1)), ["late"]);
    assert_eq!(reader.sources[0].poll(10, &mut events).unwrap(), Polled::Empty);
}

fn a_poll_gives_no_more_than_asked(world: &World<'_>) {
    let topic = topic(world, 1);
    let texts: Vec<String> = (0..10).map(|i| i.to_string()).collect();
    let records: Vec<_> = texts.iter().map(|text| record(&topic, 0, text.as_bytes())).collect();
    commit(world, &mut *world.broker.sink().unwrap(), &records);
    let mut reader = subscribe(world, "max", &topic, Start::Earliest, 1);
    let mut events = Events::default();
    patiently(world, || {
        let before = events.len();
        let polled = reader.sources[0].poll(3, &mut events).unwrap();
        assert!(events.len() - before <= 3);
        assert_eq!(polled, if events.len() > before { Polled::Some(events.len() - before) } else { Polled::Empty });
        events.len() >= 3
    });
    let rest = read(world, &mut *reader.sources[0], 10 - events.len());
    assert_eq!([values(&events), values(&rest)].concat(), texts);
}

fn a_reader_goes_where_it_is_sent(world: &World<'_>) {
    let topic = topic(world, 1);
    let mut sink = world.broker.sink().unwrap();
    for texts in [["a", "b", "c"], ["d", "e", "f"]] {
        commit(world, &mut *sink, &texts.map(|text| record(&topic, 0, text.as_bytes())));
    }
    let all = ["a", "b", "c", "d", "e", "f"];
    let mut reader = subscribe(world, "seek", &topic, Start::Earliest, 1);
    let offsets: Vec<i64> = read(world, &mut *reader.sources[0], 6).rows.iter().map(|row| row.offset).collect();
    for (i, &offset) in offsets.iter().enumerate().rev() {
        let mut reader = subscribe(world, &format!("seek-{i}"), &topic, Start::Earliest, 1);
        reader.sources[0].seek(offset).unwrap();
        let events = read(world, &mut *reader.sources[0], 6 - i);
        assert_eq!((values(&events), events.rows[0].offset), (all[i..].iter().map(|text| (*text).to_owned()).collect(), offset));
    }
}

fn a_group_goes_on_where_it_committed(world: &World<'_>) {
    let topic = topic(world, 2);
    let records = [(0, "a"), (0, "b"), (1, "c")].map(|(partition, value)| record(&topic, partition, value.as_bytes()));
    commit(world, &mut *world.broker.sink().unwrap(), &records);
    let mut reader = subscribe(world, "group", &topic, Start::Earliest, 2);
    assert_eq!(reader.committed, [None, None]);
    let next = read(world, &mut *reader.sources[0], 1).rows[0].offset + 1;
    reader.subscription.commit(&[(topic.clone(), 0, next)]).unwrap();
    drop(reader);

    let mut again = subscribe(world, "group", &topic, Start::Earliest, 2);
    assert_eq!(again.committed, [Some(next), None]);
    assert_eq!(values(&read(world, &mut *again.sources[0], 1)), ["b"]);
    assert_eq!(values(&read(world, &mut *again.sources[1], 1)), ["c"]);
    drop(again);

    let mut other = subscribe(world, "other", &topic, Start::Earliest, 2);
    assert_eq!(other.committed, [None, None]);
    assert_eq!(values(&read(world, &mut *other.sources[0], 2)), ["a", "b"]);
}

fn a_latest_group_sees_what_comes(world: &World<'_>) {
    let topic = topic(world, 1);
    let mut sink = world.broker.sink().unwrap();
    commit(world, &mut *sink, &[record(&topic, 0, b"old")]);
    let mut reader = subscribe(world, "latest", &topic, Start::Latest, 1);
    // A remote reader settles on its start with the first poll.
    let mut events = Events::default();
    patiently(world, || {
        assert_eq!(reader.sources[0].poll(1, &mut events).unwrap(), Polled::Empty);
        reader.sources[0].lag() == Some(0)
    });
    commit(world, &mut *sink, &[record(&topic, 0, b"new")]);
    assert_eq!(values(&read(world, &mut *reader.sources[0], 1)), ["new"]);
}

/// Of sinks in the store only: one outside it may send with the write, and this case says nothing of it.
fn a_flush_that_was_not_written_is_not_seen(world: &World<'_>) {
    let topic = topic(world, 1);
    let (mut lost, mut changes) = (world.broker.sink().unwrap(), Changes::default());
    let mut reader = subscribe(world, "unwritten", &topic, Start::Earliest, 1);
    lost.write(&record(&topic, 0, b"lost"), &mut changes).unwrap();
    lost.flush(&mut changes).unwrap();
    if changes.is_empty() {
        return;
    }
    assert_eq!(reader.sources[0].poll(1, &mut Events::default()).unwrap(), Polled::Empty);
    lost.settled(false);
    commit(world, &mut *lost, &[record(&topic, 0, b"kept")]);
    assert_eq!(values(&read(world, &mut *reader.sources[0], 1)), ["kept"]);
    assert_eq!(reader.sources[0].poll(1, &mut Events::default()).unwrap(), Polled::Empty);
}

fn offsets_go_up_through_many_commits(world: &World<'_>) {
    let topic = topic(world, 1);
    let mut sinks = [world.broker.sink().unwrap(), world.broker.sink().unwrap()];
    let texts: Vec<String> = (0..30).map(|i| i.to_string()).collect();
    for (i, text) in texts.iter().enumerate() {
        commit(world, &mut *sinks[i % 2], &[record(&topic, 0, text.as_bytes())]);
    }
    let mut reader = subscribe(world, "many", &topic, Start::Earliest, 1);
    let events = read(world, &mut *reader.sources[0], 30);
    assert_eq!(values(&events), texts);
    assert!(events.rows.windows(2).all(|rows| rows[0].offset < rows[1].offset));
}

fn a_partition_is_read_back_to_where_it_ends(world: &World<'_>) {
    let topic = topic(world, 2);
    let mut sink = world.broker.sink().unwrap();
    commit(world, &mut *sink, &[record(&topic, 1, b"a"), record(&topic, 0, b"x"), record(&topic, 1, b"b")]);
    assert_eq!(world.broker.bounds(&topic, 1).unwrap(), Some((0, 2)));
    let back = |from| {
        let mut all = Vec::new();
        let read = world.broker.replay(&topic, 1, from, &mut |run| {
            all.extend(values(run));
            Ok(())
        });
        (read.unwrap(), all.join(" "))
    };
    assert_eq!(back(None), (Replay::To(2), "a b".to_owned()));
    assert_eq!(back(Some(1)), (Replay::To(2), "b".to_owned()));
    assert_eq!(back(Some(2)), (Replay::To(2), String::new()));
    assert_eq!(back(Some(3)), (Replay::Short, String::new()));
}

fn a_record_is_written_together_with_its_name(world: &World<'_>) {
    let (topic, ledger) = (topic(world, 2), format!("{}-ledger", world.name));
    assert!(world.broker.written(&ledger).unwrap().is_empty());
    let mut once = world.broker.once(&ledger).unwrap();
    let named = |name, partition, value: &'static [u8]| Named { name, record: Some(record(&topic, partition, value)) };
    once.write(&[named("one", 1, b"first"), named("two", 0, b"second"), Named { name: "no record", record: None }], 1_000).unwrap();
    once.write(&[named("three", 1, b"third")], 2_000).unwrap();
    let written: Vec<_> = world.broker.written(&ledger).unwrap().into_iter().collect();
    assert_eq!(written, [("no record", 1_000), ("one", 1_000), ("three", 2_000), ("two", 1_000)].map(|(name, at)| (name.to_owned(), at)));
    let mut reader = subscribe(world, "once", &topic, Start::Earliest, 2);
    assert_eq!(values(&read(world, &mut *reader.sources[0], 1)), ["second"]);
    assert_eq!(values(&read(world, &mut *reader.sources[1], 2)), ["first", "third"]);
    let never_made = format!("{}-never-made", world.name);
    let nowhere = Named { name: "four", record: Some(record(&never_made, 0, b"lost")) };
    assert!(once.write(&[named("five", 0, b"lost with it"), nowhere], 3_000).is_err());
    assert_eq!(world.broker.written(&ledger).unwrap().len(), 4, "neither name is noted down");
}

fn whoever_takes_a_ledger_over_sees_all_of_it(world: &World<'_>) {
    let (topic, ledger) = (topic(world, 1), format!("{}-ledger", world.name));
    let names: Vec<String> = (0..20).map(|i| format!("name {i:02}")).collect();
    for name in &names {
        let mut once = world.broker.once(&ledger).unwrap();
        once.write(&[Named { name, record: Some(record(&topic, 0, name.as_bytes())) }], 1).unwrap();
    }
    let mut once = world.broker.once(&ledger).unwrap();
    assert!(once.written().unwrap().into_keys().eq(names.iter().cloned()));
    let mut reader = subscribe(world, "taken-over", &topic, Start::Earliest, 1);
    assert_eq!(values(&read(world, &mut *reader.sources[0], 20)), names);
}

/// Repeats until it is done or patience is at its end; at least once.
fn patiently(world: &World<'_>, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() && started.elapsed() < world.patience {
        std::thread::sleep(Duration::from_millis(5));
    }
}
