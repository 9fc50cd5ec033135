//! Delivers the records of one stream on their own: past any transaction, with a circuit breaker, and giving back what cannot be delivered.
//!
//! All writers of the stream share the breaker. Where a record goes that is given back is known elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext, PurgeConfig};

use super::options::KafkaOptions;
use super::sending::{POLL_EVERY, run_dry, send, to_kafka};
use super::sizes::{self, RecordSizes};
use super::watch::Watch;
use super::{error, headers};
use crate::breaker::Passage;
use crate::broker::circuit::Circuit;
use crate::broker::delivered::Delivered;
use crate::broker::{BrokerError, OutRecord, Refusal, Sink};
use crate::config::{Delivery, Undelivered};
use crate::metrics::SinkMetrics;
use crate::store::Changes;

/// What the writers of a stream share.
pub(super) struct Outlet {
    topic: String,
    on_error: Undelivered,
    circuit: Circuit,
    delivered: Mutex<Delivered>,
}

/// A writer.
pub(super) struct OutletSink {
    outlet: Arc<Outlet>,
    producer: BaseProducer<Reports>,
    cluster: String,
    sizes: Arc<RecordSizes>,
    batch_max: usize,
    /// Names of the records taken since the last flush, by their number.
    taken: Vec<String>,
    given_back: Vec<(usize, Refusal)>,
    /// Names of records flushed since the last commit, and of those in that commit: it may still be on its way to its end.
    names: Vec<String>,
    covered: Vec<String>,
    /// What has been given up in the meantime reports under another one.
    round: usize,
}

/// Hears what became of each record.
#[derive(Default)]
struct Reports {
    watch: Watch,
    round: AtomicUsize,
    heard: Mutex<Vec<Report>>,
}

/// What became of a record; of one that was too large, what a batch of it alone would take.
struct Report {
    number: usize,
    failed: Option<(Code, usize)>,
}

/// The how-manieth record its sink has taken since its last flush, from 0.
type Number = usize;

/// How long a worker waits for a cluster that the pipeline waits for, before it goes back to its last commit, where others get their turn.
/// Shorter than the transaction that is open meanwhile.
const PATIENCE: Duration = Duration::from_secs(8);

/// On top of the time after which the library gives a record up. With the longest such time it is shorter than the transaction, too.
const GRACE: Duration = Duration::from_secs(2);

/// Bits of a report's number that count records; the others tell the round.
const NUMBER_BITS: u32 = usize::BITS / 2;

// === impl Outlet ===

impl Outlet {
    pub(super) fn new(stream: &str, topic: &str, delivery: &Delivery) -> Outlet {
        let circuit = Circuit::new(stream, delivery.breaker);
        Outlet { topic: topic.to_owned(), on_error: delivery.on_error, circuit, delivered: Mutex::default() }
    }

    pub(super) fn count_in(&self, metrics: SinkMetrics) {
        self.circuit.count_in(metrics);
    }

    /// An error while the pipeline waits for the cluster and the circuit is open. When it is time, `ask` tries whether it answers.
    pub(super) fn ready(&self, ask: impl FnOnce(&str) -> Result<(), BrokerError>) -> Result<(), BrokerError> {
        if self.on_error.retry_for().is_some() {
            return Ok(());
        }
        match self.circuit.passage() {
            Passage::Free => Ok(()),
            Passage::Barred => Err(self.is_open()),
            Passage::Trial => {
                self.circuit.metrics().retries.inc();
                let asked = ask(&self.topic);
                match &asked {
                    Ok(()) => self.circuit.answers(),
                    Err(why) => drop(self.circuit.fails(&why.to_string())),
                }
                asked
            }
        }
    }

    fn is_open(&self) -> BrokerError {
        let why = self.circuit.last_failure();
        BrokerError::Retry(format!("the circuit of `{}` is open, and nothing is done until it answers: {why}", self.circuit.stream()))
    }

    /// How long a flush may take: where records are given back, until the library has given them all up.
    fn patience(&self) -> Duration {
        self.on_error.retry_for().map_or(PATIENCE, |retry_for| retry_for + GRACE)
    }
}

// === impl OutletSink ===

impl OutletSink {
    pub(super) fn new(options: &KafkaOptions, sizes: &Arc<RecordSizes>, outlet: &Arc<Outlet>) -> Result<OutletSink, BrokerError> {
        let mut config = options.producer();
        if let Some(retry_for) = outlet.on_error.retry_for() {
            config.set("message.timeout.ms", retry_for.as_millis().max(1).to_string());
        }
        let sort = |cause| error::sort(&cause, "make a writer", &options.bootstrap);
        let batch_max = sizes.limit_batches(&mut config).map_err(sort)?;
        let producer = config.create_with_context(Reports::default()).map_err(sort)?;
        let (outlet, sizes, cluster) = (Arc::clone(outlet), Arc::clone(sizes), options.bootstrap.clone());
        let (taken, given_back, names, covered) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(OutletSink { outlet, producer, cluster, sizes, batch_max, taken, given_back, names, covered, round: 0 })
    }

    /// Sends a record, or fails where the library has no room for it in time.
    fn send(&self, record: &OutRecord<'_>, number: Number) -> Result<(), KafkaError> {
        let headers = headers::to_kafka(record.headers).unwrap_or_default();
        let out = to_kafka(record, headers, (self.round << NUMBER_BITS) | number);
        send(&self.producer, out, self.outlet.patience())
    }

    /// Waits until the library has brought every record to its end, and takes note of what became of each.
    fn settle(&mut self) -> Result<(), BrokerError> {
        run_dry(&self.producer, self.outlet.patience());
        self.hear()?;
        let open = self.producer.in_flight_count();
        if open <= 0 {
            return Ok(());
        }
        if self.outlet.on_error.retry_for().is_some() {
            return self.give_up();
        }
        let why = error::unreachable(&self.cluster, self.producer.client().context().watch.reason().as_deref()).to_string();
        // Each of them has failed; more than open the circuit say nothing new.
        for _ in 0..open {
            if self.outlet.circuit.fails(&why) {
                break;
            }
        }
        Err(BrokerError::Retry(format!("`{}`: {why}; {open} events wait for it", self.outlet.circuit.stream())))
    }

    /// Has the library report what is still under way as failed, so that it is given back.
    fn give_up(&mut self) -> Result<(), BrokerError> {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        run_dry(&self.producer, GRACE);
        self.hear()
    }

    /// Takes note of what the library has reported.
    fn hear(&mut self) -> Result<(), BrokerError> {
        let reports = std::mem::take(&mut *self.producer.client().context().heard.lock());
        let mut fault = None;
        for Report { number, failed } in reports {
            match failed {
                None => {
                    self.outlet.circuit.works(true);
                    self.taken.get(number).into_iter().for_each(|name| self.outlet.delivered.lock().add(name));
                }
                Some((code, size)) => {
                    if let Err(why) = self.failed(number, code, size) {
                        fault = Some(why);
                    }
                }
            }
        }
        fault.map_or(Ok(()), Err)
    }

    /// A record has not arrived: it is given back, waited for, or an error that another writer or a person must mend.
    fn failed(&mut self, number: Number, code: Code, size: usize) -> Result<(), BrokerError> {
        let topic = &self.outlet.topic;
        if error::is_no_topic(code) {
            return Err(BrokerError::NoTopic(topic.clone()));
        }
        if code == Code::MessageSizeTooLarge {
            // The broker has refused a batch and does not say for which record. When they are written again, it is known.
            let max = self.sizes.learn(topic, size, self.batch_max);
            self.outlet.circuit.works(false);
            return Err(BrokerError::Retry(format!(
                "Kafka at {}: {topic} does not take a batch with a record of {size} bytes; from now on those of more than {max} bytes are refused",
                self.cluster
            )));
        }
        match error::sort_code(code, &format!("write to {topic}"), &self.cluster) {
            BrokerError::Retry(why) => self.is_away(number, why),
            BrokerError::Refused(why) => {
                self.outlet.circuit.works(false);
                self.given_back.push((number, Refusal { why, away: false }));
                Ok(())
            }
            error => {
                self.outlet.circuit.fails(&error.to_string());
                Err(error)
            }
        }
    }

    /// A record cannot be delivered for now.
    fn is_away(&mut self, number: Number, why: String) -> Result<(), BrokerError> {
        let why = self.producer.client().context().watch.reason().map_or_else(|| why.clone(), |reason| format!("{why} ({reason})"));
        self.outlet.circuit.fails(&why);
        if self.outlet.on_error.retry_for().is_none() {
            return Err(BrokerError::Retry(why));
        }
        self.given_back.push((number, Refusal { why, away: true }));
        Ok(())
    }
}

impl Sink for OutletSink {
    fn write(&mut self, record: &OutRecord<'_>, changes: &mut Changes) -> Result<(), BrokerError> {
        let name = format!("{}/{}/{}", record.topic, record.time, self.taken.len());
        self.write_named(record, &name, changes)
    }

    fn write_named(&mut self, record: &OutRecord<'_>, name: &str, _: &mut Changes) -> Result<(), BrokerError> {
        let headers = headers::to_kafka(record.headers).map_err(BrokerError::Refused)?;
        if let Some(why) = self.sizes.refuses(record, headers.as_ref()) {
            self.outlet.circuit.metrics().refused.inc();
            return Err(BrokerError::Refused(format!("Kafka at {}: {why}", self.cluster)));
        }
        let number = self.taken.len();
        self.taken.push(name.to_owned());
        if self.outlet.delivered.lock().holds(name) {
            return Ok(());
        }
        let passage = self.outlet.circuit.passage();
        match passage {
            Passage::Free | Passage::Trial => {}
            Passage::Barred if self.outlet.on_error.retry_for().is_none() => return Err(self.outlet.is_open()),
            Passage::Barred => {
                self.given_back.push((number, self.outlet.circuit.refusal()));
                return Ok(());
            }
        }
        if passage == Passage::Trial {
            self.outlet.circuit.metrics().retries.inc();
        }
        match self.send(record, number).map_err(|cause| cause.rdkafka_error_code().unwrap_or(Code::Fail)) {
            // What one record is too large for says nothing of the cluster, and is known before it is sent.
            Err(Code::MessageSizeTooLarge) => {
                self.taken.pop();
                match passage {
                    Passage::Trial => self.outlet.circuit.works(false),
                    _ => drop(self.outlet.circuit.metrics().refused.inc()),
                }
                return Err(error::sort_code(Code::MessageSizeTooLarge, &format!("write to {}", record.topic), &self.cluster));
            }
            Err(code) => self.failed(number, code, 0)?,
            // Everybody else waits for what becomes of it.
            Ok(()) if passage == Passage::Trial => self.settle()?,
            Ok(()) => {}
        }
        if number % POLL_EVERY == POLL_EVERY - 1 {
            self.producer.poll(Duration::ZERO);
        }
        Ok(())
    }

    fn flush(&mut self, _: &mut Changes) -> Result<(), BrokerError> {
        self.settle()?;
        self.names.append(&mut self.taken);
        Ok(())
    }

    fn settled(&mut self, written: bool) {
        if written {
            self.outlet.delivered.lock().forget(&self.covered);
            self.covered = std::mem::take(&mut self.names);
            return;
        }
        self.producer.purge(PurgeConfig::default().queue().inflight());
        self.round = (self.round + 1) & ((1 << NUMBER_BITS) - 1);
        let reports = self.producer.client().context();
        reports.round.store(self.round, Ordering::Relaxed);
        reports.heard.lock().clear();
        self.taken.clear();
        self.given_back.clear();
        self.names.clear();
        self.covered.clear();
    }

    fn refuses_late(&self) -> bool {
        true
    }

    fn refused(&mut self) -> Vec<(usize, Refusal)> {
        self.given_back.sort_unstable_by_key(|(number, _)| *number);
        std::mem::take(&mut self.given_back)
    }
}

// === impl Reports ===

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.watch.hear_log(level, facility, text);
    }

    fn error(&self, error: KafkaError, text: &str) {
        self.watch.hear_error(&error, text);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        if number >> NUMBER_BITS != self.round.load(Ordering::Relaxed) {
            return;
        }
        let number = number & ((1 << NUMBER_BITS) - 1);
        let failed = result.as_ref().err().map(|(cause, message)| {
            let code = cause.rdkafka_error_code().unwrap_or(Code::Fail);
            (code, if code == Code::MessageSizeTooLarge { sizes::size_of(message) } else { 0 })
        });
        self.heard.lock().push(Report { number, failed });
    }
}
