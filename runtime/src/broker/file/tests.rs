//! Files and pipes as their users meet them.

use super::source::FileSource;
use super::{FileBroker, FileFormat, FileOptions};
use crate::broker::{Assignment, Broker, BrokerError, OutRecord, Polled, Source, Start, Subscribe};
use crate::events::Events;
use crate::store::Changes;
use crate::time::WATERMARK_MIN;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use tempfile::{TempDir, tempdir};

fn file(content: &[u8]) -> (TempDir, String) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("in.jsonl").display().to_string();
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn source(path: &str, options: FileOptions, start: Start) -> Box<dyn Source> {
    let subscribe = Subscribe::new("g".to_owned(), [path.to_owned()], start);
    match FileBroker::new(options).subscribe(&subscribe).unwrap().changes().unwrap().pop() {
        Some(Assignment::Gained { partition: 0, committed: None, source, .. }) => source,
        _ => panic!("the file was not assigned"),
    }
}

fn texts(events: &Events) -> Vec<(String, i64)> {
    let text = |row| String::from_utf8_lossy(events.value(row).unwrap()).into_owned();
    events.rows.iter().map(|row| (text(row), row.offset)).collect()
}

/// Polls until nothing comes any more, and says how it ended.
fn drain(source: &mut dyn Source) -> (Vec<(String, i64)>, Result<Polled, String>) {
    let mut events = Events::default();
    loop {
        match source.poll(2, &mut events) {
            Ok(Polled::Some(_)) => {}
            Ok(polled) => return (texts(&events), Ok(polled)),
            Err(error) => return (texts(&events), Err(error.to_string())),
        }
    }
}

fn owned(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
    expected.iter().map(|&(text, offset)| (text.to_owned(), offset)).collect()
}

fn append(path: &str, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_file_is_read_to_its_end_and_its_records_are_numbered() {
    let (_folder, path) = file(b"{\"a\":1}\n\n{\"a\":2}\r\n{\"a\":3}");
    let mut source = source(&path, FileOptions::default(), Start::Earliest);
    let expected = owned(&[("{\"a\":1}", 0), ("{\"a\":2}", 1), ("{\"a\":3}", 2)]);
    assert_eq!(drain(&mut *source), (expected, Ok(Polled::End)));
    assert_eq!(drain(&mut *source), (vec![], Ok(Polled::End)));
}

#[test]
fn a_record_has_a_value_and_no_key_headers_or_time() {
    let (_folder, path) = file(b"1\n");
    let mut events = Events::default();
    source(&path, FileOptions::default(), Start::Earliest).poll(1, &mut events).unwrap();
    let row = events.rows[0];
    assert_eq!((events.key(&row), events.headers(&row), row.time, row.partition), (None, &[][..], WATERMARK_MIN, 0));
}

#[test]
fn records_larger_than_a_chunk_and_many_small_ones_come_whole() {
    let large = "x".repeat(700_000);
    let content: String = (0..50_000).map(|i| if i % 20_000 == 7 { format!("{large}\n") } else { format!("{i}\n") }).collect();
    let (_folder, path) = file(content.as_bytes());
    let (found, end) = drain(&mut *source(&path, FileOptions::default(), Start::Earliest));
    assert_eq!((found.len(), end), (50_000, Ok(Polled::End)));
    assert!(found.iter().enumerate().all(|(i, (text, offset))| *offset == i as i64 && (*text == i.to_string() || *text == large)));
}

#[test]
fn a_followed_file_goes_on_when_somebody_appends() {
    let (_folder, path) = file(b"1\n2");
    let mut source = source(&path, FileOptions { follow: true, ..FileOptions::default() }, Start::Earliest);
    assert_eq!(drain(&mut *source), (owned(&[("1", 0)]), Ok(Polled::Empty)));
    append(&path, b"2\n3\n");
    assert_eq!(drain(&mut *source), (owned(&[("22", 1), ("3", 2)]), Ok(Polled::Empty)));
}

#[test]
fn the_latest_of_a_file_is_what_comes_after_its_end() {
    let (_folder, path) = file(b"1\n2\n");
    let mut source = source(&path, FileOptions { follow: true, ..FileOptions::default() }, Start::Latest);
    assert_eq!(drain(&mut *source), (vec![], Ok(Polled::Empty)));
    append(&path, b"3\n");
    assert_eq!(drain(&mut *source), (owned(&[("3", 2)]), Ok(Polled::Empty)));
}

#[test]
fn a_file_is_read_again_from_any_record() {
    let (_folder, path) = file(b"0\n1\n2\n3\n");
    let mut source = source(&path, FileOptions::default(), Start::Earliest);
    for from in [2, 0, 4, 3, 1] {
        source.seek(from).unwrap();
        let expected: Vec<_> = (from..4).map(|i| (i.to_string(), i)).collect();
        assert_eq!(drain(&mut *source), (expected, Ok(Polled::End)), "from {from}");
    }
    source.seek(5).unwrap();
    let (_, end) = drain(&mut *source);
    assert!(end.unwrap_err().contains("holds 4 records, record 5 belongs to other data"));
}

#[test]
fn an_empty_pipe_is_not_waited_for_and_a_closed_one_ends() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let file = File::from(OwnedFd::from(reader));
    let mut source = FileSource::new("-", file, FileFormat::JsonLines, FileOptions::default(), Start::Latest).unwrap();
    assert_eq!(drain(&mut source), (vec![], Ok(Polled::Empty)));
    writer.write_all(b"1\n2\n3").unwrap();
    assert_eq!(drain(&mut source), (owned(&[("1", 0), ("2", 1)]), Ok(Polled::Empty)));
    assert!(source.seek(0).unwrap_err().to_string().contains("standard input: it stands at record 2 and cannot go back"));
    drop(writer);
    assert_eq!(drain(&mut source), (owned(&[("3", 2)]), Ok(Polled::End)));
}

#[test]
fn a_frame_that_is_cut_short_is_named_by_its_byte_after_all_before_it() {
    let options = FileOptions { format: Some(FileFormat::Framed), ..FileOptions::default() };
    for (tail, what) in [(&[9, 0, 0, 0, 1][..], "5 of 13 bytes"), (&[9, 0][..], "2 bytes")] {
        let (_folder, path) = file(&[&[1, 0, 0, 0, b'7'], tail].concat());
        let (found, end) = drain(&mut *source(&path, options, Start::Earliest));
        let error = end.unwrap_err();
        assert_eq!(found, owned(&[("7", 0)]));
        assert!(error.contains("byte 5 is cut short") && error.contains(what) && error.contains(&path), "{error}");
    }
}

#[test]
fn a_record_beyond_the_limit_is_named_by_its_byte_with_what_to_do() {
    let limit = FileOptions { record_bytes_max: 100, ..FileOptions::default() };
    let framed = FileOptions { format: Some(FileFormat::Framed), ..limit };
    let long = "x".repeat(1000);
    let huge = [&[1, 0, 0, 0, b'1'], &u32::MAX.to_le_bytes()[..], b"x"].concat();
    let cases = [(limit, format!("1\n{long}\n").into_bytes(), 2), (limit, format!("1\n{long}").into_bytes(), 2), (framed, huge, 5)];
    for (options, content, byte) in cases {
        let (_folder, path) = file(&content);
        let (found, end) = drain(&mut *source(&path, options, Start::Earliest));
        let error = end.unwrap_err();
        assert_eq!(found, owned(&[("1", 0)]));
        assert!(error.contains(&format!("starts at byte {byte}")) && error.contains("`record_bytes_max`"), "{error}");
    }
}

#[test]
fn what_is_written_is_there_after_the_flush_and_a_second_run_goes_on_behind() {
    let (_folder, path) = file(b"");
    for round in [b"1", b"2"] {
        let (mut sink, mut changes) = (FileBroker::default().sink().unwrap(), Changes::default());
        let record = OutRecord { topic: &path, partition: 0, key: Some(b"k"), value: Some(round), headers: &[], time: 5 };
        sink.write(&record, &mut changes).unwrap();
        sink.write(&OutRecord { value: None, ..record }, &mut changes).unwrap();
        sink.flush(&mut changes).unwrap();
        sink.settled(true);
        assert!(changes.is_empty());
    }
    assert_eq!(fs::read(&path).unwrap(), b"1\nnull\n2\nnull\n");
}

#[test]
fn what_was_not_flushed_is_dropped_with_its_commit() {
    let (_folder, path) = file(b"open line");
    let (mut sink, mut changes) = (FileBroker::default().sink().unwrap(), Changes::default());
    let record = OutRecord { topic: &path, partition: 0, key: None, value: Some(b"1"), headers: &[], time: 5 };
    sink.write(&record, &mut changes).unwrap();
    sink.settled(false);
    assert_eq!(fs::read(&path).unwrap(), b"open line");
}

#[test]
fn a_line_that_somebody_left_open_does_not_swallow_a_record() {
    let (_folder, path) = file(b"open line");
    let (mut sink, mut changes) = (FileBroker::default().sink().unwrap(), Changes::default());
    sink.write(&OutRecord { topic: &path, partition: 0, key: None, value: Some(b"1"), headers: &[], time: 5 }, &mut changes).unwrap();
    sink.flush(&mut changes).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"open line\n1\n");
}

#[test]
fn a_file_that_is_not_there_is_named_and_can_be_made() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("new.jsonl").display().to_string();
    let broker = FileBroker::default();
    assert_eq!(broker.partitions(&path).unwrap(), None);
    let subscribe = Subscribe::new("g".to_owned(), [path.clone()], Start::Earliest);
    assert!(matches!(broker.subscribe(&subscribe).err(), Some(BrokerError::NoTopic(topic)) if topic == path));
    assert!(broker.create(&path, 2).is_err());
    broker.create(&path, 1).unwrap();
    assert_eq!(broker.partitions(&path).unwrap(), Some(1));
    append(&path, b"1\n");
    broker.create(&path, 1).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"1\n");
}
