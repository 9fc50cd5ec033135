//! What is special about topics in the store; the rest is in the suite of all brokers.

use super::LocalBroker;
use crate::broker::suite::{CASES, LEDGERS, World, commit, read, record, subscribe, values};
use crate::broker::{Broker, BrokerError, OutRecord, Polled, Sink, Start, Subscribe};
use crate::events::Events;
use crate::store::{Changes, DiskStore, MemoryStore, Store};
use std::sync::Arc;
use std::time::Duration;
use tempfile::tempdir;

/// Makes the topic `t` with one partition.
fn local() -> (LocalBroker, Arc<dyn Store>) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let broker = LocalBroker::new(Arc::clone(&store));
    broker.create("t", 1).unwrap();
    (broker, store)
}

fn world<'a>(broker: &'a LocalBroker, store: &'a Arc<dyn Store>) -> World<'a> {
    World { broker, store: &**store, name: "local", patience: Duration::ZERO }
}

/// Flushes one record into changes that are not written yet.
fn flush(sink: &mut dyn Sink, value: &[u8]) -> Changes {
    let mut changes = Changes::default();
    sink.write(&record("t", 0, value), &mut changes).unwrap();
    sink.flush(&mut changes).unwrap();
    changes
}

#[test]
fn it_does_what_every_broker_does() {
    let folder = tempdir().unwrap();
    let on_disk: Arc<dyn Store> = Arc::new(DiskStore::open(folder.path()).unwrap());
    let in_memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
    for store in [on_disk, in_memory] {
        let broker = LocalBroker::new(Arc::clone(&store));
        for (name, case) in CASES.iter().chain(LEDGERS) {
            println!("{name}");
            case(&World { broker: &broker, store: &*store, name, patience: Duration::ZERO });
        }
    }
}

#[test]
fn offsets_go_on_after_a_reopen() {
    let (broker, store) = local();
    let two = [record("t", 0, b"a"), record("t", 0, b"b")];
    commit(&world(&broker, &store), &mut *broker.sink().unwrap(), &two);
    let broker = LocalBroker::new(Arc::clone(&store));
    let world = world(&broker, &store);
    commit(&world, &mut *broker.sink().unwrap(), &[record("t", 0, b"c")]);
    let events = read(&world, &mut *subscribe(&world, "g", "t", Start::Earliest, 1).sources[0], 3);
    assert_eq!(events.rows.iter().map(|row| row.offset).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(broker.topics().unwrap(), ["t"]);
}

#[test]
fn a_reader_waits_for_an_earlier_commit_that_is_still_under_way() {
    let (broker, store) = local();
    let world = world(&broker, &store);
    let (mut first, mut second) = (broker.sink().unwrap(), broker.sink().unwrap());
    let (early, late) = (flush(&mut *first, b"early"), flush(&mut *second, b"late"));
    let mut reader = subscribe(&world, "g", "t", Start::Earliest, 1);
    store.write(&late).unwrap();
    second.settled(true);
    assert_eq!(reader.sources[0].poll(10, &mut Events::default()).unwrap(), Polled::Empty);
    store.write(&early).unwrap();
    first.settled(true);
    assert_eq!(values(&read(&world, &mut *reader.sources[0], 2)), ["early", "late"]);
}

#[test]
fn a_reader_steps_over_offsets_of_a_lost_commit() {
    let (broker, store) = local();
    let world = world(&broker, &store);
    let (mut first, mut second) = (broker.sink().unwrap(), broker.sink().unwrap());
    let (_lost, late) = (flush(&mut *first, b"lost"), flush(&mut *second, b"late"));
    store.write(&late).unwrap();
    second.settled(true);
    first.settled(false);
    let mut reader = subscribe(&world, "g", "t", Start::Earliest, 1);
    let events = read(&world, &mut *reader.sources[0], 1);
    assert_eq!((values(&events), events.rows[0].offset), (vec!["late".to_owned()], 1));
    reader.sources[0].seek(0).unwrap();
    assert_eq!(values(&read(&world, &mut *reader.sources[0], 1)), ["late"]);
}

#[test]
fn a_sink_that_vanishes_after_its_write_has_written() {
    let (broker, store) = local();
    let world = world(&broker, &store);
    for (value, written) in [(b"a", true), (b"b", false), (b"c", true)] {
        let mut sink = broker.sink().unwrap();
        let changes = flush(&mut *sink, value);
        if written {
            store.write(&changes).unwrap();
        }
        drop(sink);
    }
    let events = read(&world, &mut *subscribe(&world, "g", "t", Start::Earliest, 1).sources[0], 2);
    assert_eq!((values(&events), events.rows[1].offset), (vec!["a".to_owned(), "c".to_owned()], 2));
}

#[test]
fn a_sink_that_vanishes_while_its_commit_is_under_way_loses_nothing() {
    let (broker, store) = local();
    let world = world(&broker, &store);
    let (mut first, mut second) = (broker.sink().unwrap(), broker.sink().unwrap());
    let late = flush(&mut *first, b"late");
    drop(first);
    let other = flush(&mut *second, b"other");
    store.write(&late).unwrap();
    store.write(&other).unwrap();
    second.settled(true);
    let events = read(&world, &mut *subscribe(&world, "g", "t", Start::Earliest, 1).sources[0], 2);
    assert_eq!(values(&events), ["late", "other"]);
}

#[test]
fn nobody_waits_for_offsets_of_a_lost_commit() {
    let (broker, store) = local();
    let world = world(&broker, &store);
    let (mut first, mut second) = (broker.sink().unwrap(), broker.sink().unwrap());
    store.write(&flush(&mut *first, b"kept")).unwrap();
    first.settled(true);
    let (lost, also_lost) = (flush(&mut *first, b"lost"), flush(&mut *second, b"lost, too"));
    let mut reader = subscribe(&world, "g", "t", Start::Earliest, 1);
    assert_eq!(reader.sources[0].lag(), Some(1));
    read(&world, &mut *reader.sources[0], 1);
    drop((first, second, lost, also_lost));
    assert_eq!((reader.sources[0].lag(), reader.sources[0].poll(10, &mut Events::default()).unwrap()), (Some(0), Polled::Empty));
    let mut third = broker.sink().unwrap();
    store.write(&flush(&mut *third, b"next")).unwrap();
    third.settled(true);
    assert!(reader.sources[0].lag().is_some_and(|lag| lag > 0));
    assert_eq!(values(&read(&world, &mut *reader.sources[0], 1)), ["next"]);
    assert_eq!(reader.sources[0].lag(), Some(0));
}

#[test]
fn a_large_commit_becomes_several_blocks_and_reads_as_one() {
    let (broker, store) = local();
    let world = world(&broker, &store);
    let value = vec![b'v'; 10_000];
    let records: Vec<OutRecord<'_>> = (0..500).map(|time| OutRecord { time, ..record("t", 0, &value) }).collect();
    commit(&world, &mut *broker.sink().unwrap(), &records);
    let mut reader = subscribe(&world, "g", "t", Start::Earliest, 1);
    reader.sources[0].seek(333).unwrap();
    assert_eq!(reader.sources[0].lag(), Some(167));
    let events = read(&world, &mut *reader.sources[0], 167);
    let times: Vec<_> = events.rows.iter().map(|row| (row.time, row.offset)).collect();
    assert_eq!(times, (333..500).map(|i| (i, i)).collect::<Vec<_>>());
}

#[test]
fn trimming_takes_old_blocks_and_never_the_place_to_go_on_from() {
    let (broker, store) = local();
    let mut sink = broker.sink().unwrap();
    for pair in [["a", "b"], ["c", "d"], ["e", "f"]] {
        commit(&world(&broker, &store), &mut *sink, &pair.map(|value| record("t", 0, value.as_bytes())));
    }
    for (before, first) in [(0, 0), (1, 0), (2, 2), (3, 2), (6, 4), (100, 4)] {
        let mut changes = Changes::default();
        broker.trim("t", 0, before, &mut changes).unwrap();
        store.write(&changes).unwrap();
        let mut events = Events::default();
        subscribe(&world(&broker, &store), "g", "t", Start::Earliest, 1).sources[0].poll(10, &mut events).unwrap();
        assert_eq!(events.rows[0].offset, first, "before {before}");
    }
    let reopened = LocalBroker::new(Arc::clone(&store));
    commit(&world(&reopened, &store), &mut *reopened.sink().unwrap(), &[record("t", 0, b"g")]);
    assert_eq!(store.floor("topic/t/0", &[0xff; 9]).unwrap().map(|(key, _)| key[7]), Some(6));
}

#[test]
fn a_write_to_what_is_not_there_says_what_is_there() {
    let (broker, _store) = local();
    let mut sink = broker.sink().unwrap();
    let mut changes = Changes::default();
    assert!(matches!(sink.write(&record("other", 0, b"v"), &mut changes), Err(BrokerError::NoTopic(topic)) if topic == "other"));
    for partition in [-1, 1] {
        let error = sink.write(&record("t", partition, b"v"), &mut changes).unwrap_err().to_string();
        assert!(error.contains("`t` has 1 partitions"), "{error}");
    }
    assert!(broker.create("none", 0).is_err());
}

#[test]
fn offsets_of_other_data_are_refused_instead_of_waited_for() {
    let (broker, store) = local();
    let mut changes = Changes::default();
    broker.put_offsets("g", &[("t".to_owned(), 0, 7)], &mut changes);
    store.write(&changes).unwrap();
    let subscribe = Subscribe::new("g".to_owned(), ["t".to_owned()], Start::Earliest);
    let error = broker.subscribe(&subscribe).err().unwrap().to_string();
    assert!(error.contains("ends at offset 0") && error.contains("offset 7"), "{error}");
}
