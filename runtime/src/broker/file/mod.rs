//! Files and pipes as topics: a topic's name is a path, `-` is standard input or output, and there is one partition.
//!
//! A record is a value and nothing else: keys, headers and times are not kept, nor are a group's offsets. What was written before a
//! crash is written again after it.

mod format;
mod sink;
mod source;

pub use format::FileFormat;

use super::{Assignment, Broker, BrokerError, Sink, Subscribe, Subscription};
use sink::FileSink;
use source::FileSource;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::AsFd;

/// Files and pipes.
#[derive(Clone, Debug, Default)]
pub struct FileBroker {
    options: FileOptions,
    of_topics: BTreeMap<String, FileOptions>,
}

/// How a file is read and written.
#[derive(Clone, Copy, Debug)]
pub struct FileOptions {
    /// How records stand in it; by its name where it is not given.
    pub format: Option<FileFormat>,
    /// Waits at the end for what others append, as `tail -f` does, instead of ending there.
    pub follow: bool,
    /// A longer record ends the reading: the format is probably another one.
    pub record_bytes_max: usize,
}

/// The name of standard input and output.
const STANDARD: &str = "-";

struct FileSubscription {
    news: Vec<Assignment>,
}

// === impl FileOptions ===

impl Default for FileOptions {
    fn default() -> Self {
        FileOptions { format: None, follow: false, record_bytes_max: 64 << 20 }
    }
}

// === impl FileBroker ===

impl FileBroker {
    /// Files that are treated alike.
    pub fn new(options: FileOptions) -> Self {
        FileBroker { options, of_topics: BTreeMap::new() }
    }

    /// Sets how one of them is treated.
    pub fn set(&mut self, topic: &str, options: FileOptions) {
        self.of_topics.insert(topic.to_owned(), options);
    }

    fn options(&self, topic: &str) -> FileOptions {
        *self.of_topics.get(topic).unwrap_or(&self.options)
    }

    fn format(&self, topic: &str) -> FileFormat {
        self.options(topic).format.unwrap_or_else(|| FileFormat::of_name(topic))
    }
}

impl Broker for FileBroker {
    fn partitions(&self, topic: &str) -> Result<Option<u32>, BrokerError> {
        if topic == STANDARD {
            return Ok(Some(1));
        }
        match std::fs::metadata(topic) {
            Ok(_) => Ok(Some(1)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(topic, &error)),
        }
    }

    fn create(&self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        if partitions != 1 {
            return Err(BrokerError::Fatal(format!("{topic}: a file has one partition, it cannot have {partitions}")));
        }
        if topic == STANDARD {
            return Ok(());
        }
        OpenOptions::new().append(true).create(true).open(topic).map(drop).map_err(|error| failed(topic, &error))
    }

    fn subscribe(&self, subscription: &Subscribe) -> Result<Box<dyn Subscription>, BrokerError> {
        let mut news = Vec::new();
        for (topic, start) in &subscription.topics {
            let file = open_input(topic)?;
            let source = FileSource::new(topic, file, self.format(topic), self.options(topic), *start)?;
            news.push(Assignment::Gained { topic: topic.clone(), partition: 0, committed: None, source: Box::new(source) });
        }
        Ok(Box::new(FileSubscription { news }))
    }

    fn sink(&self) -> Result<Box<dyn Sink>, BrokerError> {
        Ok(Box::new(FileSink::new(self.clone())))
    }
}

impl Subscription for FileSubscription {
    fn changes(&mut self) -> Result<Vec<Assignment>, BrokerError> {
        Ok(std::mem::take(&mut self.news))
    }

    /// A file keeps no offsets; the pipeline's own are the truth.
    fn commit(&mut self, _offsets: &[(String, i32, i64)]) -> Result<(), BrokerError> {
        Ok(())
    }
}

fn open_input(topic: &str) -> Result<File, BrokerError> {
    let file = if topic == STANDARD { std::io::stdin().as_fd().try_clone_to_owned().map(File::from) } else { File::open(topic) };
    file.map_err(|error| match error.kind() {
        ErrorKind::NotFound => BrokerError::NoTopic(topic.to_owned()),
        _ => failed(topic, &error),
    })
}

fn open_output(topic: &str) -> Result<File, BrokerError> {
    let file = if topic == STANDARD {
        std::io::stdout().as_fd().try_clone_to_owned().map(File::from)
    } else {
        // Whoever opens a pipe for reading too would never learn that its reader is gone.
        let is_file = std::fs::metadata(topic).is_ok_and(|found| found.is_file());
        OpenOptions::new().read(is_file).append(true).open(topic)
    };
    file.map_err(|error| match error.kind() {
        ErrorKind::NotFound => BrokerError::NoTopic(topic.to_owned()),
        _ => failed(topic, &error),
    })
}

fn name(topic: &str, standard: &'static str) -> String {
    if topic == STANDARD { standard.to_owned() } else { topic.to_owned() }
}

fn failed(name: &str, error: &std::io::Error) -> BrokerError {
    match error.kind() {
        ErrorKind::BrokenPipe => BrokerError::Fatal(format!("{name}: whoever read it has closed it, so nothing more can be written")),
        _ => BrokerError::Fatal(format!("{name}: {error}")),
    }
}

#[cfg(test)]
mod tests;
