//! Transactions: two producers that take turns, so that records are written while the last transaction still ends.
//!
//! A call of the library that ends in doubt is never repeated in another way: the writer is lost, and with a new one under the same ids the
//! broker decides what has become of it (librdkafka lacks KIP-890, so that a retry by hand could end another transaction than the one meant).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error;
use super::options::KafkaOptions;
use super::sizes::RecordSizes;
use super::writer::{UNTRACKED, Writer};
use crate::broker::{Appended, BrokerError, Closed, Member, OutRecord, PartitionOffset, Sink, Transactions};
use crate::store::Changes;
use crate::time::WATERMARK_MIN;

/// A transactional writer.
pub(super) struct KafkaTransactions {
    turns: Arc<Turns>,
}

/// The producers, one of which is written to.
struct Turns {
    seats: [Arc<Seat>; 2],
    current: AtomicUsize,
}

/// One producer, which has at most one transaction open.
struct Seat {
    writer: Writer,
    open: AtomicBool,
    opening: Mutex<()>,
    timeout: Duration,
}

struct TransactionSink(Arc<Turns>);

/// A seat's transaction on its way to its end.
struct Closing {
    seat: Arc<Seat>,
    /// Partitions of logs, by the number that their records are sent under, less one.
    logs: Vec<(String, i32)>,
}

/// The coordinator of the ids may itself have to be found, and to end what was left open.
const INIT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long giving up may take: what is left open then ends by itself, or with the next writer.
const ABORT_TIMEOUT: Duration = Duration::from_secs(2);

// === impl KafkaTransactions ===

impl KafkaTransactions {
    pub(super) fn new(options: &KafkaOptions, sizes: &Arc<RecordSizes>, id: &str) -> Result<KafkaTransactions, BrokerError> {
        let seat = |turn: usize| Seat::new(options, sizes, &format!("{id}-{turn}")).map(Arc::new);
        Ok(KafkaTransactions { turns: Arc::new(Turns { seats: [seat(0)?, seat(1)?], current: AtomicUsize::new(0) }) })
    }
}

impl Transactions for KafkaTransactions {
    fn sink(&self) -> Box<dyn Sink> {
        Box::new(TransactionSink(Arc::clone(&self.turns)))
    }

    fn close(&self) -> Result<Box<dyn Closed>, BrokerError> {
        let seat = Arc::clone(self.turns.seat());
        // Two producers' records to one partition arrive in order only so.
        seat.writer.flush()?;
        self.turns.current.fetch_xor(1, Ordering::AcqRel);
        Ok(Box::new(Closing { seat, logs: Vec::new() }))
    }
}

impl Turns {
    fn seat(&self) -> &Arc<Seat> {
        &self.seats[self.current.load(Ordering::Acquire) & 1]
    }
}

// === impl Seat ===

impl Seat {
    fn new(options: &KafkaOptions, sizes: &Arc<RecordSizes>, id: &str) -> Result<Seat, BrokerError> {
        let timeout = options.transaction_timeout();
        let writer = Writer::new(options.transactional(id), &options.bootstrap, timeout, sizes)?;
        let seat = Seat { writer, open: AtomicBool::new(false), opening: Mutex::default(), timeout };
        seat.until(INIT_TIMEOUT, "start to write in transactions", |left| seat.writer.producer.init_transactions(left))?;
        Ok(seat)
    }

    /// Opens a transaction where none is open.
    fn begin(&self) -> Result<(), BrokerError> {
        if self.open.load(Ordering::Acquire) {
            return Ok(());
        }
        let _one = self.opening.lock();
        if !self.open.load(Ordering::Acquire) {
            self.writer.producer.begin_transaction().map_err(|cause| self.sort(&cause, "begin a transaction"))?;
            self.open.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Repeats a call that says it may be repeated, for so long.
    fn until(&self, limit: Duration, doing: &str, mut call: impl FnMut(Duration) -> Result<(), KafkaError>) -> Result<(), BrokerError> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match call(left) {
                Err(KafkaError::Transaction(cause)) if cause.is_retriable() && !left.is_zero() => {}
                result => return result.map_err(|cause| self.sort(&cause, doing)),
            }
        }
    }

    /// Every error here ends this writer; what may help is another one.
    fn sort(&self, cause: &KafkaError, doing: &str) -> BrokerError {
        let code = match cause {
            KafkaError::Transaction(cause) => Some(cause.code()),
            cause => cause.rdkafka_error_code(),
        };
        match code {
            Some(Code::OperationTimedOut | Code::TimedOutQueue | Code::RequestTimedOut) => BrokerError::Retry(format!(
                "Kafka at {}: cannot {doing} within {:?}: {}; what has become of it is looked up from the start",
                self.writer.cluster,
                self.timeout,
                self.writer.reason().unwrap_or_else(|| "no answer".to_owned())
            )),
            Some(code) => match error::sort_code(code, doing, &self.writer.cluster) {
                BrokerError::Fatal(why) if !needs_a_person(code) => {
                    BrokerError::Fenced(format!("{why}; a new writer starts from the last commit"))
                }
                error => error,
            },
            None => error::sort(cause, doing, &self.writer.cluster),
        }
    }
}

/// Whether no other writer would fare better.
fn needs_a_person(code: Code) -> bool {
    matches!(
        code,
        Code::TransactionalIdAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::InvalidTransactionTimeout
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
    )
}

// === impl TransactionSink ===

impl Sink for TransactionSink {
    fn write(&mut self, record: &OutRecord<'_>, _: &mut Changes) -> Result<(), BrokerError> {
        let seat = self.0.seat();
        seat.begin()?;
        seat.writer.write(record, UNTRACKED)
    }

    /// A transaction is flushed when it is closed.
    fn flush(&mut self, _: &mut Changes) -> Result<(), BrokerError> {
        Ok(())
    }

    fn settled(&mut self, _: bool) {}
}

// === impl Closing ===

impl Closed for Closing {
    fn append(&mut self, topic: &str, partition: i32, key: &[u8], value: Option<&[u8]>) -> Result<(), BrokerError> {
        let known = self.logs.iter().rposition(|(name, number)| *number == partition && name == topic);
        let number = known.unwrap_or_else(|| {
            self.logs.push((topic.to_owned(), partition));
            self.logs.len() - 1
        });
        self.seat.begin()?;
        let record = OutRecord { topic, partition, key: Some(key), value, headers: &[], time: WATERMARK_MIN };
        self.seat.writer.write(&record, number + 1)
    }

    fn commit(mut self: Box<Self>, offsets: &[PartitionOffset], member: Option<&Member>) -> Result<Vec<Appended>, BrokerError> {
        let seat = Arc::clone(&self.seat);
        let (producer, cluster) = (&seat.writer.producer, &seat.writer.cluster);
        let member = member.and_then(Member::get::<ConsumerGroupMetadata>);
        if let Some(member) = member.filter(|_| !offsets.is_empty()) {
            seat.begin()?;
            let mut list = TopicPartitionList::with_capacity(offsets.len());
            for (topic, partition, offset) in offsets {
                let added = list.add_partition_offset(topic, *partition, Offset::Offset(*offset));
                added.map_err(|cause| error::sort(&cause, "commit offsets", cluster))?;
            }
            seat.until(seat.timeout, "commit offsets", |left| producer.send_offsets_to_transaction(&list, member, left))?;
        }
        // After the offsets: both ways to the broker are used at once.
        seat.writer.flush()?;
        if seat.open.load(Ordering::Acquire) {
            // No deadline of ours cuts it short: its outcome would be in doubt. The library's own is the transaction's.
            seat.until(seat.timeout, "commit a transaction", |left| producer.commit_transaction(left))?;
            seat.open.store(false, Ordering::Release);
        }
        let logs = std::mem::take(&mut self.logs).into_iter().enumerate();
        let appended = logs.filter_map(|(i, (topic, partition))| {
            let (first, end) = seat.writer.take_range(i + 1)?;
            Some(Appended { topic, partition, first, end })
        });
        Ok(appended.collect())
    }
}

impl Drop for Seat {
    /// Readers wait for a transaction that is open; better not for its timeout. The library ends it only once every record has its answer, and
    /// nobody but us asks for those.
    fn drop(&mut self) {
        if !self.open.load(Ordering::Acquire) {
            return;
        }
        self.writer.give_up(ABORT_TIMEOUT);
        if let Err(cause) = self.writer.producer.abort_transaction(ABORT_TIMEOUT) {
            tracing::debug!("a transaction could not be aborted, it ends with the next writer or by its timeout: {cause}");
        }
    }
}
