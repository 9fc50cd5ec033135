//! A captured call as bytes: a line that says what it is, the SHA-256 of the rest, and the rest: a MessagePack array and the module.

use super::{Captured, Read};
use crate::digest::sha256;
use crate::sandbox::Limits;
use crate::stage::{Failure, FailureKind};
use sangam_protocol::effects::{Answering, EffectLimits};
use sangam_protocol::msgpack::{Error, Reader, write};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// How every version begins.
const MAGIC: &[u8] = b"sangam capture ";

/// The version, and the end of the line.
const VERSION: &[u8] = b"1\n";

/// Bytes of the digest.
const DIGEST: usize = 32;

/// Elements of the array.
const ELEMENTS: usize = 12;

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// It does not begin as one.
    #[error("this is no captured call; `sangam debug` takes the files that a pipeline with `capture = \"FOLDER\"` writes")]
    NotOne,
    /// It was written by a version that knows another form.
    #[error("it was captured by a version of Sangam that writes them in another form; use the version that wrote it")]
    Version,
    /// Its bytes are not those that were written.
    #[error("the file is damaged: {0}; its bytes are not those that were captured, so that nothing it would show could be trusted")]
    Damaged(String),
}

/// The file's bytes, and what it is called by: the same for the same call, in hexadecimal.
pub(super) fn encode(captured: &Captured) -> (Vec<u8>, String) {
    let mut body = Vec::with_capacity(captured.frame.len() + captured.module.len() + 1024);
    write::array(&mut body, ELEMENTS);
    for text in [&captured.engine, &captured.pipeline, &captured.operator, &captured.plugin, &captured.sha256] {
        write::str(&mut body, text);
    }
    write::bin(&mut body, &captured.config);
    limits(&captured.limits, &mut body);
    write::bin(&mut body, &captured.frame);
    write::i64(&mut body, captured.time);
    let Answering { events, slots, timers, ports } = captured.answering;
    numbers(&[events, slots, timers, ports].map(|number| number as u64), &mut body);
    reads(&captured.reads, &mut body);
    outcome(captured, &mut body);
    // The module is named by its hash above.
    let name = sha256(&body);
    write::bin(&mut body, &captured.module);
    (file(&body), name)
}

fn file(body: &[u8]) -> Vec<u8> {
    [MAGIC, VERSION, &Sha256::digest(body), body].concat()
}

/// A file's content.
pub(super) fn decode(bytes: &[u8]) -> Result<Captured, CaptureError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(CaptureError::NotOne)?;
    let rest = rest.strip_prefix(VERSION).ok_or(CaptureError::Version)?;
    let damaged = |why: &str| CaptureError::Damaged(why.to_owned());
    let (digest, body) = rest.split_first_chunk::<DIGEST>().ok_or_else(|| damaged("it breaks off"))?;
    if Sha256::digest(body)[..] != digest[..] {
        return Err(damaged("its checksum is another"));
    }
    // From here on it is as we wrote it, unless somebody has made the checksum fit.
    body_of(body).map_err(|why| damaged(&why.to_string()))
}

fn body_of(body: &[u8]) -> Result<Captured, Error> {
    let mut reader = Reader::new(body);
    let reader = &mut reader;
    if reader.array()? != ELEMENTS {
        return Err(Error::Range("the number of elements"));
    }
    let mut text = || Ok::<_, Error>(reader.str()?.to_owned());
    let (engine, pipeline, operator, plugin, sha256) = (text()?, text()?, text()?, text()?, text()?);
    let config = reader.bin()?.to_vec();
    let limits = read_limits(reader)?;
    let frame = reader.bin()?.to_vec();
    let time = reader.i64()?;
    let [events, slots, timers, ports] = read_numbers(reader)?.map(|number| number as usize);
    let answering = Answering { events, slots, timers, ports };
    let reads = list(reader, read)?;
    let (failure, effects) = read_outcome(reader)?;
    let module = reader.bin()?.to_vec();
    Ok(Captured { engine, pipeline, operator, plugin, sha256, module, config, limits, frame, time, answering, reads, failure, effects })
}

fn limits(limits: &Limits, out: &mut Vec<u8>) {
    let Limits { memory_bytes, batch_time, init_time, log_lines, log_line_bytes, effects } = limits;
    let EffectLimits { output_bytes, outputs_per_event, state_bytes, timers_per_event, name_bytes, counters } = effects;
    let all = [
        *memory_bytes as u64,
        batch_time.as_millis() as u64,
        init_time.as_millis() as u64,
        u64::from(*log_lines),
        *log_line_bytes as u64,
        *output_bytes as u64,
        *outputs_per_event as u64,
        *state_bytes as u64,
        *timers_per_event as u64,
        *name_bytes as u64,
        *counters as u64,
    ];
    numbers(&all, out);
}

fn read_limits(reader: &mut Reader<'_>) -> Result<Limits, Error> {
    let [memory, batch, init, lines, line, output, outputs, state, timers, name, counters] = read_numbers(reader)?;
    Ok(Limits {
        memory_bytes: memory as usize,
        batch_time: Duration::from_millis(batch),
        init_time: Duration::from_millis(init),
        log_lines: lines as u32,
        log_line_bytes: line as usize,
        effects: EffectLimits {
            output_bytes: output as usize,
            outputs_per_event: outputs as usize,
            state_bytes: state as usize,
            timers_per_event: timers as usize,
            name_bytes: name as usize,
            counters: counters as usize,
        },
    })
}

fn reads(reads: &[Read], out: &mut Vec<u8>) {
    write::array(out, reads.len());
    for read in reads {
        match read {
            Read::Get { slot, cell, value } => {
                write::array(out, 3);
                write::u64(out, u64::from(*slot));
                write::bin(out, cell);
                optional(value.as_deref(), out);
            }
            Read::Scan { slot, prefix, after, found, whole } => {
                write::array(out, 5);
                write::u64(out, u64::from(*slot));
                write::bin(out, prefix);
                write::bin(out, after);
                write::array(out, found.len());
                for (cell, value) in found {
                    write::array(out, 2);
                    write::bin(out, cell);
                    write::bin(out, value);
                }
                write::bool(out, *whole);
            }
        }
    }
}

fn read(reader: &mut Reader<'_>) -> Result<Read, Error> {
    let elements = reader.array()?;
    let slot = u32::try_from(reader.u64()?).map_err(|_| Error::Range("a slot"))?;
    match elements {
        3 => Ok(Read::Get { slot, cell: reader.bin()?.to_vec(), value: read_optional(reader)? }),
        5 => {
            let (prefix, after) = (reader.bin()?.to_vec(), reader.bin()?.to_vec());
            let found = list(reader, |reader| {
                let _ = reader.array()?;
                Ok((reader.bin()?.to_vec(), reader.bin()?.to_vec()))
            })?;
            Ok(Read::Scan { slot, prefix, after, found, whole: reader.bool()? })
        }
        _ => Err(Error::Range("the elements of a read")),
    }
}

fn outcome(captured: &Captured, out: &mut Vec<u8>) {
    let Failure { kind, message, backtrace, .. } = &captured.failure;
    write::array(out, 4);
    write::str(out, kind.as_str());
    write::str(out, message);
    write::array(out, backtrace.len());
    backtrace.iter().for_each(|frame| write::str(out, frame));
    optional(captured.effects.as_deref(), out);
}

fn read_outcome(reader: &mut Reader<'_>) -> Result<(Failure, Option<Vec<u8>>), Error> {
    let _ = reader.array()?;
    let kind = FailureKind::named(reader.str()?).ok_or(Error::Range("a kind of failure"))?;
    let message = reader.str()?.to_owned();
    let backtrace = list(reader, |reader| Ok(reader.str()?.to_owned()))?;
    Ok((Failure { backtrace, ..Failure::new(kind, message) }, read_optional(reader)?))
}

fn numbers(numbers: &[u64], out: &mut Vec<u8>) {
    write::array(out, numbers.len());
    numbers.iter().for_each(|number| write::u64(out, *number));
}

fn read_numbers<const N: usize>(reader: &mut Reader<'_>) -> Result<[u64; N], Error> {
    let numbers = list(reader, |reader| reader.u64())?;
    numbers.try_into().map_err(|_| Error::Range("how many numbers there are"))
}

fn optional(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        Some(bytes) => write::bin(out, bytes),
        None => write::nil(out),
    }
}

fn read_optional(reader: &mut Reader<'_>) -> Result<Option<Vec<u8>>, Error> {
    if reader.nil()? { Ok(None) } else { reader.bin().map(|bytes| Some(bytes.to_vec())) }
}

/// An array's elements. Its length is only believed as far as elements are there.
fn list<'a, T>(reader: &mut Reader<'a>, mut each: impl FnMut(&mut Reader<'a>) -> Result<T, Error>) -> Result<Vec<T>, Error> {
    let count = reader.array()?;
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(each(reader)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured() -> Captured {
        let found = vec![(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), vec![])];
        Captured {
            engine: "0.1.0".into(),
            pipeline: "p".into(),
            operator: "o".into(),
            plugin: "g".into(),
            sha256: "5ha".into(),
            module: b"\0asm".to_vec(),
            config: vec![0x80],
            limits: Limits { memory_bytes: 5, log_lines: 7, ..Limits::default() },
            frame: vec![1, 2, 3],
            time: -5,
            answering: Answering { events: 1, slots: 2, timers: 3, ports: 4 },
            reads: vec![
                Read::Get { slot: 1, cell: b"c".to_vec(), value: None },
                Read::Get { slot: 1, cell: vec![], value: Some(vec![]) },
                Read::Scan { slot: 0, prefix: b"p".to_vec(), after: vec![], found, whole: false },
            ],
            failure: Failure { backtrace: vec!["f".into(), "g".into()], ..Failure::new(FailureKind::Trap, "boom".into()) },
            effects: Some(vec![9]),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (bytes, name) = encode(&captured());
        let read = decode(&bytes).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", captured()));
        assert_eq!(encode(&read), (bytes, name.clone()));
        assert_ne!(encode(&Captured { time: -4, ..captured() }).1, name);
    }

    #[test]
    fn a_file_with_any_byte_changed_or_missing_is_refused() {
        let (bytes, _) = encode(&captured());
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x20;
            assert!(decode(&changed).is_err(), "byte {at} is another");
            assert!(decode(&bytes[..at]).is_err(), "it ends at byte {at}");
        }
        assert_eq!(decode(b"{\"no\": \"capture\"}").unwrap_err(), CaptureError::NotOne);
        assert_eq!(decode(b"sangam capture 2\n...").unwrap_err(), CaptureError::Version);
    }

    proptest::proptest! {
        #[test]
        fn a_file_whose_checksum_somebody_has_made_fit_does_not_panic(at in 0usize..200, to: u8, cut in 0usize..200) {
            let (bytes, _) = encode(&captured());
            let mut body = bytes[MAGIC.len() + VERSION.len() + DIGEST..].to_vec();
            let (at, cut) = (at % body.len(), cut % body.len());
            body[at] = to;
            body.truncate(body.len() - cut);
            let _ = decode(&file(&body));
        }
    }
}
