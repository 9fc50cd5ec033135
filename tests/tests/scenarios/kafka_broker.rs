//! The Kafka broker against a real Kafka.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseRecord, Producer};

use sangam::broker::suite::{self, World};
use sangam::broker::{
    Assignment, Bounds, Broker, BrokerError, KafkaBroker, KafkaOptions, OutRecord, Polled, Sink, Source, Start, Subscribe, Subscription,
};
use sangam::events::Events;
use sangam::store::{Changes, MemoryStore};
use sangam::time::WATERMARK_MIN;
use sangam_protocol::msgpack::{Reader, write};
use sangam_tests::kafka::{OwnBroker, PATIENCE, Seen, bootstrap, broker, consume, eventually, produce, producer, topic, unique};

/// A member of a group with the partitions that it reads now.
struct Member {
    subscription: Box<dyn Subscription>,
    sources: BTreeMap<i32, Box<dyn Source>>,
    committed: BTreeMap<i32, Option<i64>>,
}

impl Member {
    fn join(broker: &KafkaBroker, group: &str, topic: &str) -> Member {
        Member::join_at(broker, group, topic, Start::Earliest)
    }

    fn join_at(broker: &KafkaBroker, group: &str, topic: &str, start: Start) -> Member {
        let subscription = broker.subscribe(&Subscribe::new(group.to_owned(), [topic.to_owned()], start)).unwrap();
        Member { subscription, sources: BTreeMap::new(), committed: BTreeMap::new() }
    }

    fn update(&mut self) {
        let changes = self.subscription.changes().unwrap();
        self.take(changes);
    }

    fn take(&mut self, changes: Vec<Assignment>) {
        for change in changes {
            match change {
                Assignment::Gained { partition, committed, source, .. } => {
                    self.sources.insert(partition, source);
                    self.committed.insert(partition, committed);
                }
                Assignment::Lost { partition, .. } => {
                    self.sources.remove(&partition);
                }
            }
        }
    }

    fn wait_for_partitions(&mut self, count: usize) {
        eventually(&format!("{count} partitions"), || {
            self.update();
            (self.sources.len() == count).then_some(())
        });
    }

    /// Reads `count` records of any partition.
    fn read(&mut self, count: usize) -> Vec<Seen> {
        let mut events = Events::default();
        eventually(&format!("{count} records"), || {
            self.update();
            for source in self.sources.values_mut() {
                source.poll(count - events.len(), &mut events).unwrap();
            }
            (events.len() == count).then_some(())
        });
        seen(&events)
    }
}

fn seen(events: &Events) -> Vec<Seen> {
    let seen = events.rows.iter().map(|row| Seen {
        partition: row.partition,
        offset: row.offset,
        key: events.key(row).map(<[u8]>::to_vec),
        value: events.value(row).map(<[u8]>::to_vec),
        headers: unpack(events.headers(row)),
        time: Some(row.time),
    });
    let mut seen: Vec<_> = seen.collect();
    seen.sort_by_key(|record| (record.partition, record.offset));
    seen
}

fn pack(headers: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write::map(&mut bytes, headers.len());
    for (name, value) in headers {
        write::str(&mut bytes, name);
        write::bin(&mut bytes, value);
    }
    bytes
}

fn unpack(bytes: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let mut reader = Reader::new(bytes);
    let count = reader.map().unwrap();
    let pair = |_| {
        let name = reader.str().unwrap().to_owned();
        (name, if reader.nil().unwrap() { None } else { Some(reader.bin().unwrap().to_vec()) })
    };
    (0..count).map(pair).collect()
}

fn record<'a>(topic: &'a str, partition: i32, value: &'a [u8]) -> OutRecord<'a> {
    OutRecord { topic, partition, key: None, value: Some(value), headers: &[], time: 1_700_000_000_000 }
}

fn write_all(sink: &mut dyn Sink, records: &[OutRecord<'_>]) -> Result<(), BrokerError> {
    let mut changes = Changes::default();
    records.iter().try_for_each(|record| sink.write(record, &mut changes))?;
    let result = sink.flush(&mut changes);
    assert!(changes.is_empty(), "Kafka lies outside the store");
    result
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|i| i.to_string()).collect()
}

fn produce_numbers(topic: &str, partition: i32, count: usize) {
    let numbers = numbers(count);
    produce(topic, partition, &numbers.iter().map(|number| ("k", number.as_str())).collect::<Vec<_>>());
}

#[test]
fn it_does_what_every_broker_does() {
    for (name, case) in suite::CASES.iter().chain(suite::LEDGERS) {
        println!("{name}");
        case(&World { broker: &broker(), store: &MemoryStore::default(), name: &unique("suite"), patience: PATIENCE });
    }
}

#[test]
fn records_go_out_and_come_back_whole() {
    let (broker, topic) = (broker(), topic("whole", 3));
    let headers = pack(&[("trace", b"abc"), ("empty", b"")]);
    let records = [
        OutRecord { topic: &topic, partition: 0, key: Some(b"k0"), value: Some(b"v0"), headers: &headers, time: 1_700_000_000_001 },
        OutRecord { topic: &topic, partition: 0, key: Some(b"k1"), value: None, headers: &[], time: 1_700_000_000_002 },
        OutRecord { topic: &topic, partition: 1, key: None, value: Some(b"v2"), headers: &[], time: 1 },
        OutRecord { topic: &topic, partition: 2, key: Some(b""), value: Some(b""), headers: &[], time: 1_600_000_000_000 },
    ];
    write_all(&mut *broker.sink().unwrap(), &records).unwrap();

    let ours = Member::join(&broker, &unique("group"), &topic).read(records.len());
    let expected: Vec<_> = records
        .iter()
        .map(|record| Seen {
            partition: record.partition,
            offset: i64::from(record.key == Some(b"k1")),
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: unpack(record.headers),
            time: Some(record.time),
        })
        .collect();
    assert_eq!(ours, expected);
    assert_eq!(consume(&topic, records.len()), expected, "another program sees the same");
}

#[test]
fn a_record_without_time_gets_the_time_of_writing() {
    let (broker, topic) = (broker(), topic("timeless", 1));
    write_all(&mut *broker.sink().unwrap(), &[OutRecord { time: WATERMARK_MIN, ..record(&topic, 0, b"v") }]).unwrap();
    assert!(consume(&topic, 1)[0].time.unwrap() > 1_700_000_000_000);
}

#[test]
fn committed_offsets_survive_a_new_subscription() {
    let (broker, topic, group) = (broker(), topic("committed", 1), unique("group"));
    produce(&topic, 0, &[("a", "0"), ("a", "1"), ("a", "2")]);
    let mut first = Member::join(&broker, &group, &topic);
    assert_eq!(first.read(3).len(), 3);
    assert_eq!(first.committed[&0], None);
    first.subscription.commit(&[(topic.clone(), 0, 2)]).unwrap();
    drop(first);

    let mut second = Member::join(&broker, &group, &topic);
    let again = second.read(1);
    assert_eq!(second.committed[&0], Some(2));
    assert_eq!((again[0].offset, again[0].value.as_deref()), (2, Some(&b"2"[..])));
}

#[test]
fn two_members_share_partitions_and_the_one_that_stays_gets_them_back() {
    let (broker, topic, group) = (broker(), topic("shared", 4), unique("group"));
    let mut stays = Member::join(&broker, &group, &topic);
    stays.wait_for_partitions(4);
    let mut leaves = Member::join(&broker, &group, &topic);
    eventually("two partitions each", || {
        stays.update();
        leaves.update();
        (stays.sources.len() == 2 && leaves.sources.len() == 2).then_some(())
    });
    assert!(stays.sources.keys().all(|partition| !leaves.sources.contains_key(partition)));

    let theirs = *leaves.sources.keys().next().unwrap();
    let error = stays.subscription.commit(&[(topic.clone(), theirs, 1)]).unwrap_err();
    assert!(matches!(error, BrokerError::Fenced(_)), "{error}");

    drop(leaves);
    stays.wait_for_partitions(4);
    for partition in 0..4 {
        produce(&topic, partition, &[("k", "after")]);
    }
    assert_eq!(stays.read(4).iter().map(|record| record.partition).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn a_partition_that_stays_through_a_rebalance_goes_on_with_the_next_record() {
    let (broker, group, topic) = (broker(), unique("group"), topic("stays", 2));
    (0..2).for_each(|partition| produce_numbers(&topic, partition, 10));
    let mut first = Member::join(&broker, &group, &topic);
    first.wait_for_partitions(2);
    // To the very end, and so that the client knows it.
    assert_eq!(first.read(20).len(), 20);
    eventually("the end is known", || first.sources.values().all(|source| source.lag() == Some(0)).then_some(()));
    let mut second = Member::join(&broker, &group, &topic);
    eventually("the second has a partition", || {
        first.update();
        second.update();
        (first.sources.len() == 1 && second.sources.len() == 1).then_some(())
    });
    (0..2).for_each(|partition| produce_numbers(&topic, partition, 5));
    let offsets: Vec<i64> = first.read(5).iter().map(|seen| seen.offset).collect();
    assert_eq!(offsets, [10, 11, 12, 13, 14], "none again, none left out");
}

#[test]
fn a_partition_that_nobody_reads_holds_a_bounded_buffer_while_another_goes_on() {
    const RECORDS: usize = 5000;
    const BOUND: usize = 200;
    let topic = topic("pressure", 2);
    produce_numbers(&topic, 0, RECORDS);
    produce_numbers(&topic, 1, RECORDS);
    let broker =
        KafkaBroker::connect(KafkaOptions { buffer: Bounds { records: BOUND, bytes: 1 << 20 }, ..KafkaOptions::new(bootstrap()) }).unwrap();
    let mut member = Member::join(&broker, &unique("group"), &topic);
    member.wait_for_partitions(2);
    let mut held_back = member.sources.remove(&0).unwrap();

    assert_eq!(member.read(RECORDS).len(), RECORDS);
    eventually("the lag of the partition that is held back", || (held_back.lag() == Some(RECORDS as u64)).then_some(()));

    let mut events = Events::default();
    let first = eventually("what was held", || match held_back.poll(usize::MAX, &mut events).unwrap() {
        Polled::Some(count) => Some(count),
        _ => None,
    });
    assert!(first <= BOUND, "{first} records were held");
    eventually("the rest", || {
        held_back.poll(usize::MAX, &mut events).unwrap();
        (events.len() == RECORDS).then_some(())
    });
    let values: Vec<_> = seen(&events).into_iter().map(|record| String::from_utf8(record.value.unwrap()).unwrap()).collect();
    assert_eq!(values, numbers(RECORDS), "none lost, none doubled, in order");
    eventually("no lag at the end", || (held_back.lag() == Some(0)).then_some(()));
}

#[test]
fn large_records_are_held_back_by_bytes() {
    const RECORD: usize = 100_000;
    const BOUND: usize = 20 * RECORD;
    let topic = topic("heavy", 1);
    let large = "x".repeat(RECORD);
    produce(&topic, 0, &[("k", large.as_str()); 60]);
    let broker =
        KafkaBroker::connect(KafkaOptions { buffer: Bounds { records: 10_000, bytes: BOUND }, ..KafkaOptions::new(bootstrap()) }).unwrap();
    let mut member = Member::join(&broker, &unique("group"), &topic);
    member.wait_for_partitions(1);
    let source = member.sources.get_mut(&0).unwrap();
    // Asking for the lag of a partition that is held back is what fills it meanwhile.
    eventually("the lag", || (source.lag() == Some(60)).then_some(()));
    let mut events = Events::default();
    eventually("all of it", || {
        let before = events.arena.len();
        source.poll(usize::MAX, &mut events).unwrap();
        assert!(events.arena.len() - before <= BOUND + RECORD, "{} bytes were held", events.arena.len() - before);
        (events.len() == 60).then_some(())
    });
}

#[test]
fn a_source_starts_where_it_is_told_and_goes_back_when_told() {
    let (broker, topic) = (broker(), topic("seek", 1));
    produce_numbers(&topic, 0, 1000);
    let mut member = Member::join(&broker, &unique("group"), &topic);
    member.wait_for_partitions(1);
    member.sources.get_mut(&0).unwrap().seek(700).unwrap();
    let offsets: Vec<_> = member.read(300).iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (700..1000).collect::<Vec<_>>());
    member.sources.get_mut(&0).unwrap().seek(10).unwrap();
    let offsets: Vec<_> = member.read(990).iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (10..1000).collect::<Vec<_>>());
}

#[test]
fn a_group_that_starts_at_the_latest_does_not_see_what_was_there_before() {
    let (broker, topic) = (broker(), topic("latest", 1));
    produce_numbers(&topic, 0, 10);
    let mut member = Member::join_at(&broker, &unique("group"), &topic, Start::Latest);
    member.wait_for_partitions(1);
    let mut events = Events::default();
    let source = member.sources.get_mut(&0).unwrap();
    produce(&topic, 0, &[("k", "new")]);
    eventually("the new record", || {
        source.poll(usize::MAX, &mut events).unwrap();
        (!events.is_empty()).then_some(())
    });
    assert_eq!(events.rows.iter().map(|row| row.offset).collect::<Vec<_>>(), [10]);
}

#[test]
fn records_of_an_aborted_transaction_are_not_seen_and_do_not_count_as_lag() {
    let (broker, topic) = (broker(), topic("transactions", 1));
    let writer = producer(&[("transactional.id", &unique("writer"))]);
    writer.init_transactions(PATIENCE).unwrap();
    for (value, commit) in [("first", true), ("aborted", false), ("second", true)] {
        writer.begin_transaction().unwrap();
        writer.send(BaseRecord::to(&topic).partition(0).key("k").payload(value)).map_err(|(error, _)| error).unwrap();
        writer.flush(PATIENCE).unwrap();
        if commit { writer.commit_transaction(PATIENCE).unwrap() } else { writer.abort_transaction(PATIENCE).unwrap() }
    }
    let mut member = Member::join(&broker, &unique("group"), &topic);
    let values: Vec<_> = member.read(2).into_iter().map(|record| record.value.unwrap()).collect();
    assert_eq!(values, [b"first".to_vec(), b"second".to_vec()]);
    eventually("no lag", || (member.sources[&0].lag() == Some(0)).then_some(()));
}

#[test]
fn a_header_name_that_is_not_text_does_not_end_the_reader() {
    let (broker, topic) = (broker(), topic("bytes", 1));
    let writer = producer(&[]);
    let headers = OwnedHeaders::new();
    // The crate takes text only; C and every other language do not.
    let list = std::ptr::from_ref(headers.as_borrowed()).cast_mut().cast();
    // SAFETY: `as_borrowed` is librdkafka's list under another type; the library copies name and value.
    unsafe { rdkafka::bindings::rd_kafka_header_add(list, b"\xff\xfe".as_ptr().cast(), 2, b"v".as_ptr().cast(), 1) };
    writer.send(BaseRecord::to(&topic).partition(0).key("k").payload("v").headers(headers)).map_err(|(error, _)| error).unwrap();
    writer.flush(PATIENCE).unwrap();
    let read = Member::join(&broker, &unique("group"), &topic).read(1);
    assert_eq!(read[0].headers, [("\u{fffd}\u{fffd}".to_owned(), Some(b"v".to_vec()))]);
}

#[test]
fn a_record_too_large_is_refused_with_sizes_and_the_next_one_is_taken() {
    let (broker, topic) = (broker(), topic("large", 1));
    let mut sink = broker.sink().unwrap();
    let error = write_all(&mut *sink, &[record(&topic, 0, &vec![0; 2_000_000])]).unwrap_err();
    assert!(matches!(error, BrokerError::Refused(_)), "{error}");
    assert!(error.to_string().contains("2000000 bytes") && error.to_string().contains("1000000 bytes"), "{error}");
    write_all(&mut *sink, &[record(&topic, 0, b"small")]).unwrap();
    assert_eq!(consume(&topic, 1)[0].value.as_deref(), Some(&b"small"[..]));
}

#[test]
fn a_time_that_the_broker_does_not_take_is_refused_with_the_name_of_the_limit() {
    let (broker, topic) = (broker(), topic("future", 1));
    let in_2096 = OutRecord { time: 4_000_000_000_000, ..record(&topic, 0, b"v") };
    let error = write_all(&mut *broker.sink().unwrap(), &[in_2096]).unwrap_err();
    assert!(matches!(error, BrokerError::Refused(_)), "{error}");
    assert!(error.to_string().contains("message.timestamp.after.max.ms"), "{error}");
}

#[test]
fn damaged_headers_refuse_the_record_and_nothing_else() {
    let (broker, topic) = (broker(), topic("headers", 1));
    let mut sink = broker.sink().unwrap();
    let error = write_all(&mut *sink, &[OutRecord { headers: &[0x81, 0xa1], ..record(&topic, 0, b"v") }]).unwrap_err();
    assert!(matches!(error, BrokerError::Refused(_)), "{error}");
    write_all(&mut *sink, &[record(&topic, 0, b"v")]).unwrap();
}

#[test]
fn a_topic_that_is_not_there_is_an_error_with_its_name() {
    let topic = unique("nowhere");
    let broker = KafkaBroker::connect(KafkaOptions::new(bootstrap()).with("topic.metadata.propagation.max.ms", "500")).unwrap();
    assert_eq!(broker.partitions(&topic).unwrap(), None);
    let subscribe = Subscribe::new(unique("group"), [topic.clone()], Start::Earliest);
    let reading = broker.subscribe(&subscribe).err().unwrap();
    let writing = write_all(&mut *broker.sink().unwrap(), &[record(&topic, 0, b"v")]).unwrap_err();
    for error in [reading, writing] {
        assert!(matches!(&error, BrokerError::NoTopic(name) if *name == topic), "{error}");
    }
}

#[test]
fn making_a_topic_twice_leaves_it_as_it_is() {
    let (broker, topic) = (broker(), unique("twice"));
    broker.create(&topic, 3).unwrap();
    broker.create(&topic, 5).unwrap();
    assert_eq!(broker.partitions(&topic).unwrap(), Some(3));
}

#[test]
fn a_broker_that_is_not_there_is_named_within_seconds() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let broker = KafkaBroker::connect(KafkaOptions { connect_timeout: Duration::from_secs(1), ..KafkaOptions::new(&address) }).unwrap();
    let started = Instant::now();
    let error = broker.partitions("any").unwrap_err();
    assert!(matches!(error, BrokerError::Retry(_)), "{error}");
    assert!(error.to_string().contains(&format!("Kafka at {address} does not answer")), "{error}");
    assert!(error.to_string().contains("check that a broker runs there"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_broker_that_crashes_and_comes_back_costs_no_record() {
    let mut kafka = OwnBroker::start();
    let broker = KafkaBroker::connect(KafkaOptions::new(&kafka.address)).unwrap();
    broker.create("crash", 1).unwrap();
    let (mut sink, mut changes) = (broker.sink().unwrap(), Changes::default());
    write_all(&mut *sink, &[record("crash", 0, b"before")]).unwrap();
    let mut member = Member::join(&broker, "group", "crash");
    assert_eq!(member.read(1)[0].value.as_deref(), Some(&b"before"[..]));
    member.subscription.commit(&[("crash".to_owned(), 0, 1)]).unwrap();

    kafka.kill();
    sink.write(&record("crash", 0, b"meanwhile"), &mut changes).unwrap();
    let outage = eventually("a word about the outage", || member.subscription.changes().err());
    assert!(matches!(outage, BrokerError::Retry(_)), "{outage}");
    assert!(outage.to_string().contains(&kafka.address), "{outage}");

    kafka.again();
    sink.flush(&mut changes).unwrap();
    let mut events = Events::default();
    eventually("the record that was written while it was down", || {
        // More words about the outage may be on their way; and after a long one, the group gives the partition anew.
        let changes = member.subscription.changes().unwrap_or_default();
        member.take(changes);
        member.sources.get_mut(&0)?.poll(1, &mut events).unwrap();
        (events.len() == 1).then_some(())
    });
    assert_eq!(seen(&events)[0].value.as_deref(), Some(&b"meanwhile"[..]));
    eventually("a commit", || member.subscription.commit(&[("crash".to_owned(), 0, 2)]).ok());
}

#[test]
fn a_property_that_kafka_does_not_know_stops_the_start_by_name() {
    let error = KafkaBroker::connect(KafkaOptions::new(bootstrap()).with("compresion.type", "lz4").with("group.id", "x")).err().unwrap();
    assert!(error.to_string().contains("`compresion.type`") && error.to_string().contains("`group.id`"), "{error}");
}
