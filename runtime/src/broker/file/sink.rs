//! Appends records to files and pipes; whole records only, so that a file never ends inside one unless the disk is full.
//!
//! It cannot take back what was flushed: after a failed commit, records stand there twice.

use super::{FileBroker, FileFormat, failed, name, open_output};
use crate::broker::{BrokerError, OutRecord, Sink};
use crate::store::Changes;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

pub(super) struct FileSink {
    broker: FileBroker,
    outputs: BTreeMap<String, Output>,
}

struct Output {
    name: String,
    file: File,
    is_file: bool,
    format: FileFormat,
    /// Whole records that are not written yet.
    buffer: Vec<u8>,
}

/// From here on the buffer is written without waiting for the flush.
const BUFFER: usize = 256 << 10;

impl FileSink {
    pub(super) fn new(broker: FileBroker) -> Self {
        FileSink { broker, outputs: BTreeMap::new() }
    }
}

impl Sink for FileSink {
    fn write(&mut self, record: &OutRecord<'_>, _changes: &mut Changes) -> Result<(), BrokerError> {
        if !self.outputs.contains_key(record.topic) {
            let output = Output::open(record.topic, self.broker.format(record.topic))?;
            self.outputs.insert(record.topic.to_owned(), output);
        }
        let Some(output) = self.outputs.get_mut(record.topic) else { return Err(BrokerError::NoTopic(record.topic.to_owned())) };
        if record.partition != 0 {
            let (name, partition) = (&output.name, record.partition);
            return Err(BrokerError::Fatal(format!("{name}: a file has one partition, there is no partition {partition}")));
        }
        let refused = |why| BrokerError::Refused(format!("{}: {why}", output.name));
        output.format.append(record.value, &mut output.buffer).map_err(refused)?;
        if output.buffer.len() >= BUFFER { output.write_out() } else { Ok(()) }
    }

    fn flush(&mut self, _changes: &mut Changes) -> Result<(), BrokerError> {
        for output in self.outputs.values_mut() {
            output.write_out()?;
            if output.is_file {
                output.file.sync_data().map_err(|error| failed(&output.name, &error))?;
            }
        }
        Ok(())
    }

    fn settled(&mut self, written: bool) {
        if !written {
            self.outputs.values_mut().for_each(|output| output.buffer.clear());
        }
    }
}

impl Output {
    fn open(topic: &str, format: FileFormat) -> Result<Self, BrokerError> {
        Output::over(name(topic, "standard output"), open_output(topic)?, format)
    }

    fn over(name: String, mut file: File, format: FileFormat) -> Result<Self, BrokerError> {
        let is_file = file.metadata().map_err(|error| failed(&name, &error))?.is_file();
        let mut buffer = Vec::new();
        if is_file && format.has_lines() && !ends_with_line(&mut file).map_err(|error| failed(&name, &error))? {
            // Somebody left the last line open; a record must not become its end.
            buffer.push(b'\n');
        }
        Ok(Output { name, file, is_file, format, buffer })
    }

    fn write_out(&mut self) -> Result<(), BrokerError> {
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| failed(&self.name, &error))
    }
}

fn ends_with_line(file: &mut File) -> std::io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;

    #[test]
    fn a_pipe_that_nobody_reads_any_more_says_so() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut output = Output::over("standard output".to_owned(), File::from(OwnedFd::from(writer)), FileFormat::Lines).unwrap();
        output.format.append(Some(b"1"), &mut output.buffer).unwrap();
        output.write_out().unwrap();
        drop(reader);
        output.format.append(Some(b"2"), &mut output.buffer).unwrap();
        let error = output.write_out().unwrap_err().to_string();
        assert_eq!(error, "standard output: whoever read it has closed it, so nothing more can be written");
    }
}
