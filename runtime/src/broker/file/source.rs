//! Reads a file or a pipe in large chunks and hands out its records, numbered from 0.
//!
//! It never waits: a pipe in which nothing is there is asked again with the next poll.

use super::format::Front;
use super::{FileFormat, FileOptions, failed, name};
use crate::broker::{BrokerError, POLL_BYTES_MAX, Polled, Source, Start};
use crate::events::{Events, Record};
use crate::time::WATERMARK_MIN;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek};

pub(super) struct FileSource {
    name: String,
    file: File,
    format: FileFormat,
    options: FileOptions,
    /// It can be read again from the start: a file, not a pipe.
    is_file: bool,
    /// What was read and not handed out is `start..end`, of which the first `seen` bytes hold no record's end.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    seen: usize,
    /// Where in the file `start` is.
    position: u64,
    /// Number of the next record, and of the first that is wanted.
    next: i64,
    wanted: i64,
    ended: bool,
}

/// How much is read at once.
const CHUNK: usize = 256 << 10;

/// Why a read added nothing, or that it did.
enum Filled {
    More,
    NothingYet,
    End,
}

impl FileSource {
    pub(super) fn new(topic: &str, file: File, format: FileFormat, options: FileOptions, start: Start) -> Result<Self, BrokerError> {
        let name = name(topic, "standard input");
        let is_file = file.metadata().map_err(|error| failed(&name, &error))?.is_file();
        // A pipe holds nothing but what comes.
        let wanted = if start == Start::Latest && is_file { i64::MAX } else { 0 };
        Ok(FileSource {
            name,
            file,
            format,
            options,
            is_file,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            seen: 0,
            position: 0,
            next: 0,
            wanted,
            ended: false,
        })
    }

    /// Reads one more chunk behind what is there.
    fn fill(&mut self) -> Result<Filled, BrokerError> {
        if self.ended {
            return Ok(Filled::End);
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
        let read = if self.is_file || is_ready(&self.file) {
            self.file.read(&mut self.buffer[self.end..])
        } else {
            return Ok(Filled::NothingYet);
        };
        match read {
            Ok(0) if self.options.follow => Ok(Filled::NothingYet),
            Ok(0) => {
                self.ended = true;
                Ok(Filled::End)
            }
            Ok(read) => {
                self.end += read;
                Ok(Filled::More)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(Filled::NothingYet),
            Err(error) => Err(failed(&self.name, &error)),
        }
    }

    fn take(&mut self, taken: usize) {
        self.start += taken;
        self.position += taken as u64;
        self.seen = 0;
    }

    /// The input ends inside a record, or the record is longer than any should be.
    fn check_part(&self, needed: Option<usize>) -> Result<(), BrokerError> {
        let (name, position, have) = (&self.name, self.position, self.end - self.start);
        let max = self.options.record_bytes_max;
        if needed.unwrap_or(have) > max {
            let needed = needed.map_or("more than this".to_owned(), |needed| format!("{needed} bytes"));
            let what = format!("the record that starts at byte {position} has {needed}, and {max} bytes are allowed");
            return Err(BrokerError::Fatal(format!("{name}: {what}; check the format ({:?}), or raise `record_bytes_max`", self.format)));
        }
        if self.ended && have > 0 {
            let of = needed.map_or(String::new(), |needed| format!(" of {needed}"));
            let what = format!("the record that starts at byte {position} is cut short: {have}{of} bytes are there");
            return Err(BrokerError::Fatal(format!("{name}: {what}; write the file again, or cut it at byte {position}")));
        }
        Ok(())
    }

    /// Nothing more is there now: `Latest` starts here.
    fn at_end(&mut self, polled: Polled) -> Result<Polled, BrokerError> {
        if self.wanted == i64::MAX {
            self.wanted = self.next;
        }
        if polled == Polled::End && self.wanted > self.next {
            let (name, wanted, next) = (&self.name, self.wanted, self.next);
            return Err(BrokerError::Fatal(format!("{name}: it holds {next} records, record {wanted} belongs to other data")));
        }
        Ok(polled)
    }
}

impl Source for FileSource {
    fn seek(&mut self, offset: i64) -> Result<(), BrokerError> {
        if offset < self.next {
            if !self.is_file || offset < 0 {
                let (name, next) = (&self.name, self.next);
                return Err(BrokerError::Fatal(format!("{name}: it stands at record {next} and cannot go back to record {offset}")));
            }
            self.file.rewind().map_err(|error| failed(&self.name, &error))?;
            (self.start, self.end, self.seen, self.position, self.next, self.ended) = (0, 0, 0, 0, 0, false);
        }
        self.wanted = offset;
        Ok(())
    }

    fn poll(&mut self, max: usize, into: &mut Events) -> Result<Polled, BrokerError> {
        let before = into.len();
        while into.len() - before < max && into.arena.len() < POLL_BYTES_MAX {
            let count = into.len() - before;
            match self.format.front(&self.buffer[self.start..self.end], self.seen, self.ended) {
                Front::Record { value, taken } if taken <= self.options.record_bytes_max => {
                    if self.next >= self.wanted {
                        let value = &self.buffer[self.start + value.start..self.start + value.end];
                        into.push(&Record { value: Some(value), time: WATERMARK_MIN, offset: self.next, ..Record::default() });
                    }
                    self.next += 1;
                    self.take(taken);
                }
                // What came before an error is handed out first; the error is met again.
                Front::Record { .. } if count > 0 => return Ok(Polled::Some(count)),
                Front::Record { taken, .. } => self.check_part(Some(taken))?,
                Front::Blank { taken } => self.take(taken),
                Front::Part { seen, needed } => {
                    self.seen = seen;
                    if let Err(error) = self.check_part(needed) {
                        return if count > 0 { Ok(Polled::Some(count)) } else { Err(error) };
                    }
                    let polled = match self.fill()? {
                        Filled::More => continue,
                        Filled::End if self.end > self.start => continue,
                        Filled::End => Polled::End,
                        Filled::NothingYet => Polled::Empty,
                    };
                    return if count > 0 { Ok(Polled::Some(count)) } else { self.at_end(polled) };
                }
            }
        }
        let count = into.len() - before;
        Ok(if count > 0 { Polled::Some(count) } else { Polled::Empty })
    }

    fn lag(&self) -> Option<u64> {
        None
    }
}

/// True when a read would not wait.
fn is_ready(file: &File) -> bool {
    use std::os::fd::AsRawFd;
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one valid descriptor that outlives the call, and a timeout of 0 returns at once.
    unsafe { libc::poll(&raw mut poll, 1, 0) > 0 }
}
