//! What was written: every key of the file with its type and its place. No defaults, nothing compared with anything else.

use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::error::Kind;
use super::fields::{Fields, check_name};
use super::meaning::{BreakerSpec, Format, Guarantee, OnRemove, Priority, Route, ShareLimit, Start, TimeUnit, Trips};
use super::savepoints::OnBadBuild;
use super::source::{At, Place, Source};
use super::values::with_article;

pub(super) struct Written {
    pub name: Option<At<String>>,
    pub data: Option<At<String>>,
    pub plugins: Option<At<String>>,
    pub commit_interval: Option<At<Duration>>,
    pub drain_timeout: Option<At<Duration>>,
    pub workers: Option<At<u64>>,
    pub batch: Option<At<u64>>,
    pub on_remove: Option<At<OnRemove>>,
    pub guarantee: Option<At<Guarantee>>,
    pub priority_floor: Option<At<u32>>,
    pub standby: Option<At<bool>>,
    pub dead_letters: Option<At<String>>,
    pub dead_letters_max: Option<At<ShareLimit>>,
    pub stamp: Option<At<bool>>,
    pub capture: Option<WrittenCapture>,
    pub admin: Option<WrittenAdmin>,
    pub savepoints: Option<WrittenSavepoints>,
    pub audit: Option<WrittenAudit>,
    pub metrics: Option<WrittenSamples>,
    pub clusters: Vec<WrittenCluster>,
    pub streams: Vec<WrittenStream>,
    pub operators: Vec<WrittenOperator>,
}

pub(super) enum WrittenAudit {
    Off,
    On { topic: Option<At<String>> },
}

/// What is said of samples of the pipeline's own metrics.
pub(super) enum WrittenSamples {
    Off,
    On {
        topic: Option<At<String>>,
        every: Option<At<Duration>>,
        cluster: Option<At<String>>,
        only: Vec<At<String>>,
        labels: Vec<(At<String>, String)>,
    },
}

pub(super) struct WrittenAdmin {
    pub listen: Option<At<String>>,
    pub token: Option<At<String>>,
    /// `token` stands there, right or wrong.
    pub has_token: bool,
    pub stuck_after: Option<At<Duration>>,
}

pub(super) struct WrittenSavepoints {
    pub url: Option<At<String>>,
    pub before_swap: Option<At<bool>>,
    pub keep: Option<At<u64>>,
    pub on_bad_build: Option<At<OnBadBuild>>,
}

pub(super) struct WrittenCluster {
    pub name: At<String>,
    pub kind: Option<At<WrittenKind>>,
    pub brokers: Option<At<String>>,
    /// `brokers` stands there, right or wrong.
    pub has_brokers: bool,
    pub options: Vec<(At<String>, String)>,
    /// Where the key `options` stands.
    pub options_key: Option<Place>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WrittenKind {
    Local,
    Memory,
    Kafka,
}

pub(super) struct WrittenStream {
    pub name: At<String>,
    pub internal: Option<At<bool>>,
    pub cluster: Option<At<String>>,
    pub topic: Option<At<String>>,
    pub partitions: Option<At<u64>>,
    pub create: Option<At<bool>>,
    pub file: Option<At<String>>,
    pub follow: Option<At<bool>>,
    pub bounded: Option<At<bool>>,
    pub format: Option<At<WrittenFormat>>,
    pub timestamp: Option<At<String>>,
    pub timestamp_unit: Option<At<TimeUnit>>,
    pub watermark: Option<At<WrittenWatermark>>,
    pub out_of_orderness: Option<At<Duration>>,
    pub idle: Option<At<Option<Duration>>>,
    pub max_drift: Option<At<Duration>>,
    pub align: Option<At<String>>,
    pub key: Option<Vec<At<String>>>,
    pub start: Option<At<Start>>,
    pub max_event: Option<At<u64>>,
    pub priority: Option<At<Priority>>,
    pub delivery: WrittenDelivery,
    pub webhook: WrittenWebhook,
    /// The keys that stand there, right or wrong, each with its place.
    pub keys: Vec<At<&'static str>>,
}

/// What is said of an endpoint; it is one where `url` stands among the stream's keys.
pub(super) struct WrittenWebhook {
    pub url: Option<At<String>>,
    pub headers: Vec<(At<String>, String)>,
    pub timeout: Option<At<Duration>>,
    pub in_flight: Option<At<u64>>,
}

/// What is said of the delivery of events, one by one and past the commit.
pub(super) struct WrittenDelivery {
    pub on_error: Option<At<WrittenUndelivered>>,
    pub retry_for: Option<At<Duration>>,
    pub breaker: Option<BreakerSpec>,
}

pub(super) enum WrittenUndelivered {
    Wait,
    DeadLetter,
    /// The stream.
    Fallback(At<String>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WrittenFormat {
    Plain(Format),
    Framed,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum WrittenWatermark {
    Bounded,
    Monotonic,
    ProcessingTime,
    Punctuated(String),
    /// The quantile in millionths, and the margin.
    ObservedDelay(u32, Duration),
}

pub(super) struct WrittenBatch {
    pub count: Option<At<u64>>,
    pub interval: Option<At<Duration>>,
}

/// Where failing calls are kept, and how many.
pub(super) struct WrittenCapture {
    pub folder: Option<At<String>>,
    pub files: Option<At<u64>>,
    pub bytes: Option<At<u64>>,
}

pub(super) struct WrittenOperator {
    pub name: At<String>,
    pub plugin: Option<At<String>>,
    pub inputs: Vec<WrittenBinding>,
    pub key: Option<Vec<At<String>>>,
    pub route: Option<At<Route>>,
    pub outputs: Vec<WrittenBinding>,
    pub discard: Option<Vec<At<String>>>,
    pub parallelism: Option<At<u64>>,
    pub config: Option<toml::Table>,
    pub late: Option<At<String>>,
    pub dead_letters: Option<At<String>>,
    pub dead_letters_max: Option<At<ShareLimit>>,
    pub on_error: Option<At<WrittenOnError>>,
    pub stamp: Option<At<bool>>,
    pub capture: Option<WrittenCapture>,
    pub limits: Option<WrittenLimits>,
    pub batch: Option<WrittenBatch>,
    /// Neither `input` nor `inputs` stands there, nor anything that was meant to.
    pub lacks_input: bool,
}

pub(super) enum WrittenOnError {
    DeadLetter,
    Drop,
    Stop,
    Fallback(WrittenFallback),
}

pub(super) struct WrittenFallback {
    pub operator: At<String>,
    pub input: Option<At<String>>,
    pub breaker: Option<BreakerSpec>,
}

/// A stream, and the port that it was bound to by name.
pub(super) struct WrittenBinding {
    pub port: Option<String>,
    pub stream: At<String>,
}

pub(super) struct WrittenLimits {
    pub memory: Option<At<u64>>,
    pub batch_time: Option<At<Duration>>,
    pub output: Option<At<u64>>,
    pub outputs_per_event: Option<At<u64>>,
    pub state: Option<At<u64>>,
    pub log_lines: Option<At<u64>>,
}

/// The most worker threads, and slices of one operator.
const WORKERS_MAX: u64 = 1024;
/// The most events per call; a frame counts them in memory that the guest must hold at once.
const BATCH_MAX: u64 = 1 << 20;
/// The most partitions of a topic that Sangam makes.
const PARTITIONS_MAX: u64 = 10_000;
/// Linear memory of a 32-bit guest ends here.
const MEMORY_MAX: u64 = 4 << 30;
/// One call's bytes in or out; a run of events ends at 1 GiB.
const CALL_BYTES_MAX: u64 = 1 << 30;
/// More than any disk has.
const CAPTURE_BYTES_MAX: u64 = 1 << 60;
/// The most requests of one endpoint at a time; each has a thread.
const IN_FLIGHT_MAX: u64 = 256;
/// The most of anything that is merely counted.
const COUNT_MAX: u64 = 1_000_000_000;
/// The window of a share, and how much must have happened in it, where the file does not say.
const WINDOW: Duration = Duration::from_secs(60);
const AT_LEAST: u64 = 100;
/// For how long a circuit stays open, where the file does not say.
const OPEN_FOR: Duration = Duration::from_secs(30);

/// Reads the text. `None` when it is not TOML, which has been reported then.
pub(super) fn read(source: &Source<'_>) -> Option<Written> {
    let (table, errors) = DeTable::parse_recoverable(source.text());
    let mut is_toml = true;
    for error in errors {
        let place = error.span().unwrap_or(0..0);
        if error.message() == "duplicate key" {
            let name = source.quote(&place);
            source.error(Kind::DuplicateKey, &place, format!("`{name}` stands here a second time; keep one of the two"));
        } else {
            is_toml = false;
            source.error(Kind::Syntax, &place, format!("this is not TOML: {}", error.message()));
        }
    }
    // What recovery made of broken text would only give errors that are none.
    is_toml.then(|| pipeline(source, table.get_ref()))
}

fn pipeline(source: &Source<'_>, table: &DeTable<'_>) -> Written {
    let fields = Fields::new(source, table, String::new(), 0..0);
    let written = Written {
        name: fields.name("name"),
        data: fields.text("data"),
        plugins: fields.text("plugins"),
        commit_interval: fields.duration("commit_interval", false),
        drain_timeout: fields.duration("drain_timeout", false),
        workers: fields.count("workers", WORKERS_MAX),
        batch: fields.count("batch", BATCH_MAX),
        on_remove: fields.choice("on_remove", &[("keep", OnRemove::Keep)]),
        guarantee: fields.choice("guarantee", &[("at_least_once", Guarantee::AtLeastOnce), ("exactly_once", Guarantee::ExactlyOnce)]),
        priority_floor: fields.percent("priority_floor"),
        standby: fields.bool("standby"),
        dead_letters: fields.name("dead_letters"),
        dead_letters_max: dead_letters_max(source, &fields),
        stamp: fields.bool("stamp"),
        capture: capture(source, &fields, "[capture]"),
        admin: fields.table("admin", "[admin]").map(|fields| admin(source, fields)),
        savepoints: fields.table("savepoints", "[savepoints]").map(savepoints),
        audit: audit(&fields),
        metrics: samples(&fields),
        clusters: fields.tables("clusters").into_iter().map(|(name, fields)| cluster(source, name, fields)).collect(),
        streams: fields.tables("streams").into_iter().map(|(name, fields)| stream(source, name, fields)).collect(),
        operators: fields.tables("operators").into_iter().map(|(name, fields)| operator(source, name, fields)).collect(),
    };
    if fields.lacks("operators") {
        source.error(Kind::MissingKey, &fields.place, "there is no operator; add one as `[operators.NAME]` with `input = \"STREAM\"`");
    }
    fields.finish();
    written
}

/// On or off, or a table for one with a topic of another name.
fn audit(fields: &Fields<'_>) -> Option<WrittenAudit> {
    if fields.table_place("audit").is_none() {
        let on = fields.bool("audit")?;
        return Some(if on.value { WrittenAudit::On { topic: None } } else { WrittenAudit::Off });
    }
    let table = fields.table("audit", "[audit]")?;
    let topic = table.text("topic");
    table.finish();
    Some(WrittenAudit::On { topic })
}

/// On or off, or a table for those that are on with more to say.
fn samples(fields: &Fields<'_>) -> Option<WrittenSamples> {
    if fields.table_place("metrics").is_none() {
        let on = fields.bool("metrics")?.value;
        let usual = WrittenSamples::On { topic: None, every: None, cluster: None, only: Vec::new(), labels: Vec::new() };
        return Some(if on { usual } else { WrittenSamples::Off });
    }
    let table = fields.table("metrics", "[metrics]")?;
    let (topic, every, cluster) = (table.text("topic"), table.duration("every", false), table.name("cluster"));
    let (only, labels) = (table.names("only").unwrap_or_default(), table.pass_through("labels"));
    table.finish();
    Some(WrittenSamples::On { topic, every, cluster, only, labels })
}

fn admin(source: &Source<'_>, fields: Fields<'_>) -> WrittenAdmin {
    let written = WrittenAdmin {
        listen: fields.text("listen"),
        token: fields.text("token"),
        has_token: !fields.lacks("token"),
        stuck_after: fields.duration("stuck_after", false),
    };
    if fields.lacks("listen") {
        source.error(Kind::MissingKey, &fields.place, "`[admin]` has no `listen`; write `listen = \"127.0.0.1:9600\"`");
    }
    fields.finish();
    written
}

fn savepoints(fields: Fields<'_>) -> WrittenSavepoints {
    let ways = [("roll_back_code", OnBadBuild::RollBackCode), ("roll_back_state", OnBadBuild::RollBackState)];
    let written = WrittenSavepoints {
        url: fields.text("url"),
        before_swap: fields.bool("before_swap"),
        keep: fields.count("keep", COUNT_MAX),
        on_bad_build: fields.choice("on_bad_build", &ways),
    };
    fields.finish();
    written
}

fn cluster(source: &Source<'_>, name: At<String>, fields: Fields<'_>) -> WrittenCluster {
    let kinds = [("kafka", WrittenKind::Kafka), ("local", WrittenKind::Local), ("memory", WrittenKind::Memory)];
    let written = WrittenCluster {
        kind: fields.choice("kind", &kinds),
        brokers: fields.text("brokers"),
        has_brokers: !fields.lacks("brokers"),
        options: fields.pass_through("options"),
        options_key: fields.key_place("options"),
        name,
    };
    if fields.lacks("kind") {
        let message = format!("the cluster `{}` has no `kind`; write `kind = \"kafka\"`, `\"local\"` or `\"memory\"`", written.name.value);
        source.error(Kind::MissingKey, &fields.place, message);
    }
    fields.finish();
    written
}

fn stream(source: &Source<'_>, name: At<String>, fields: Fields<'_>) -> WrittenStream {
    let formats = [
        ("msgpack", WrittenFormat::Plain(Format::MessagePack)),
        ("json", WrittenFormat::Plain(Format::Json)),
        ("raw", WrittenFormat::Plain(Format::Raw)),
        ("framed-msgpack", WrittenFormat::Framed),
    ];
    let written = WrittenStream {
        watermark: watermark(source, &name.value, &fields),
        delivery: delivery(source, &name.value, &fields),
        webhook: webhook(&fields),
        name,
        internal: fields.bool("internal"),
        cluster: fields.name("cluster"),
        topic: fields.text("topic"),
        partitions: fields.count("partitions", PARTITIONS_MAX),
        create: fields.bool("create"),
        file: fields.text("file"),
        follow: fields.bool("follow"),
        bounded: fields.bool("bounded"),
        format: fields.choice("format", &formats),
        timestamp: fields.path("timestamp"),
        timestamp_unit: fields.choice("timestamp_unit", &[("ms", TimeUnit::Milliseconds), ("s", TimeUnit::Seconds)]),
        out_of_orderness: fields.duration("out_of_orderness", true),
        idle: fields.duration_or_off("idle"),
        max_drift: fields.duration("max_drift", true),
        align: fields.name("align"),
        key: fields.paths("key"),
        start: fields.choice("start", &[("earliest", Start::Earliest), ("latest", Start::Latest)]),
        max_event: fields.bytes("max_event", CALL_BYTES_MAX),
        priority: fields.choice("priority", &[("high", Priority::High), ("normal", Priority::Normal), ("low", Priority::Low)]),
        keys: fields.present(),
    };
    fields.finish();
    written
}

fn webhook(fields: &Fields<'_>) -> WrittenWebhook {
    WrittenWebhook {
        url: fields.text("url"),
        headers: fields.pass_through("headers"),
        timeout: fields.duration("timeout", false),
        in_flight: fields.count("in_flight", IN_FLIGHT_MAX),
    }
}

fn delivery(source: &Source<'_>, stream: &str, fields: &Fields<'_>) -> WrittenDelivery {
    WrittenDelivery {
        on_error: undelivered(source, stream, fields),
        retry_for: fields.duration("retry_for", false),
        breaker: fields.table("breaker", format!("[streams.{stream}.breaker]")).and_then(|table| breaker(source, table)),
    }
}

/// One word, or a table for another stream.
fn undelivered(source: &Source<'_>, stream: &str, fields: &Fields<'_>) -> Option<At<WrittenUndelivered>> {
    let Some(place) = fields.table_place("on_error") else {
        let word = fields.choice("on_error", &[("wait", 0), ("dead_letter", 1)])?;
        let meant = if word.value == 0 { WrittenUndelivered::Wait } else { WrittenUndelivered::DeadLetter };
        return Some(At::new(word.place, meant));
    };
    let table = fields.table("on_error", format!("[streams.{stream}.on_error]"))?;
    let to = table.name("fallback");
    if table.lacks("fallback") {
        source.error(Kind::MissingKey, &place, "this names no stream; write `on_error = { fallback = \"STREAM\" }`");
    }
    table.finish();
    to.map(|to| At::new(place, WrittenUndelivered::Fallback(to)))
}

/// One word, or a table for a watermark that needs to be told more.
fn watermark(source: &Source<'_>, stream: &str, fields: &Fields<'_>) -> Option<At<WrittenWatermark>> {
    let Some(place) = fields.table_place("watermark") else {
        let words = [("bounded", 0), ("monotonic", 1), ("processing_time", 2)];
        let word = fields.choice("watermark", &words)?;
        let kind = match word.value {
            0 => WrittenWatermark::Bounded,
            1 => WrittenWatermark::Monotonic,
            _ => WrittenWatermark::ProcessingTime,
        };
        return Some(At::new(word.place, kind));
    };
    let table = fields.table("watermark", format!("[streams.{stream}.watermark]"))?;
    let (punctuated, share, margin) = (table.path("punctuated"), table.millionths("observed_delay"), table.duration("margin", true));
    let says = |key| table.key_place(key).is_some();
    let kind = match (says("punctuated"), says("observed_delay")) {
        (true, false) => {
            if let Some(margin) = table.key_place("margin") {
                source.error(Kind::Conflict, &margin, "`margin` is added to what `observed_delay` has learned; leave it out");
            }
            punctuated.map(|field| WrittenWatermark::Punctuated(field.value))
        }
        (false, true) => share.map(|share| WrittenWatermark::ObservedDelay(share.value, margin.map_or(Duration::ZERO, |at| at.value))),
        (true, true) => {
            source.error(Kind::Conflict, &place, "`punctuated` and `observed_delay` exclude each other; keep one of them");
            None
        }
        (false, false) => {
            let message = "this says no watermark; write `{ punctuated = \"FIELD\" }` or `{ observed_delay = 0.95, margin = \"60s\" }`";
            source.error(Kind::MissingKey, &place, message);
            None
        }
    };
    table.finish();
    kind.map(|kind| At::new(place, kind))
}

fn batch(source: &Source<'_>, place: Place, fields: Fields<'_>) -> WrittenBatch {
    let written = WrittenBatch { count: fields.count("count", BATCH_MAX), interval: fields.duration("interval", false) };
    if fields.lacks("count") && fields.lacks("interval") {
        let message = "a batch ends by `count`, by `interval`, or by either; write `batch = { count = 1000, interval = \"50ms\" }`";
        source.error(Kind::MissingKey, &place, message);
    }
    fields.finish();
    written
}

fn operator(source: &Source<'_>, name: At<String>, fields: Fields<'_>) -> WrittenOperator {
    let routes = [("auto", Route::Auto), ("forward", Route::Forward), ("exchange", Route::Exchange), ("repartition", Route::Repartition)];
    let mut written = WrittenOperator {
        plugin: fields.name("plugin"),
        inputs: bindings(source, &fields, "input", "inputs"),
        key: fields.paths("key"),
        route: fields.choice("route", &routes),
        outputs: bindings(source, &fields, "output", "outputs"),
        discard: fields.names("discard"),
        parallelism: fields.count("parallelism", WORKERS_MAX),
        config: fields.free("config"),
        late: fields.name("late"),
        dead_letters: fields.name("dead_letters"),
        dead_letters_max: dead_letters_max(source, &fields),
        on_error: on_error(source, &name.value, &fields),
        stamp: fields.bool("stamp"),
        capture: capture(source, &fields, &format!("[operators.{}.capture]", name.value)),
        limits: fields.table("limits", format!("[operators.{}.limits]", name.value)).map(limits),
        batch: fields.table("batch", format!("[operators.{}.batch]", name.value)).map(|table| batch(source, table.place.clone(), table)),
        lacks_input: false,
        name,
    };
    written.lacks_input = fields.lacks("input") && fields.lacks("inputs");
    fields.finish();
    written
}

/// A folder, or a table for one with other bounds.
fn capture(source: &Source<'_>, fields: &Fields<'_>, title: &str) -> Option<WrittenCapture> {
    let Some(place) = fields.table_place("capture") else {
        return Some(WrittenCapture { folder: Some(fields.text("capture")?), files: None, bytes: None });
    };
    let table = fields.table("capture", title)?;
    let written = WrittenCapture {
        folder: table.text("folder"),
        files: table.count("files", COUNT_MAX),
        bytes: table.bytes("bytes", CAPTURE_BYTES_MAX),
    };
    if table.lacks("folder") {
        source.error(Kind::MissingKey, &place, "this names no folder; write `capture = { folder = \"captures\", files = 20 }`");
    }
    table.finish();
    Some(written)
}

/// One word, or a table for what needs to be told more.
fn on_error(source: &Source<'_>, operator: &str, fields: &Fields<'_>) -> Option<At<WrittenOnError>> {
    if let Some(place) = fields.table_place("on_error") {
        let table = fields.table("on_error", format!("[operators.{operator}.on_error]"))?;
        return fallback(source, operator, table).map(|fallback| At::new(place, WrittenOnError::Fallback(fallback)));
    }
    if let Some(place) = fields.says("on_error", "fallback") {
        source.error(Kind::MissingKey, &place, "this does not say which operator; write `on_error = { fallback = \"OPERATOR\" }`");
        return None;
    }
    let word = fields.choice("on_error", &[("dead_letter", 0), ("drop", 1), ("stop", 2)])?;
    let meant = match word.value {
        0 => WrittenOnError::DeadLetter,
        1 => WrittenOnError::Drop,
        _ => WrittenOnError::Stop,
    };
    Some(At::new(word.place, meant))
}

fn fallback(source: &Source<'_>, operator: &str, fields: Fields<'_>) -> Option<WrittenFallback> {
    let (to, input) = (fields.name("fallback"), fields.name("input"));
    let breaker = fields.table("breaker", format!("[operators.{operator}.on_error.breaker]")).and_then(|table| breaker(source, table));
    if fields.lacks("fallback") {
        source.error(Kind::MissingKey, &fields.place, "this names no operator; write `on_error = { fallback = \"OPERATOR\" }`");
    }
    fields.finish();
    to.map(|operator| WrittenFallback { operator, input, breaker })
}

fn breaker(source: &Source<'_>, fields: Fields<'_>) -> Option<BreakerSpec> {
    let (failures, share) = (fields.count("failures", COUNT_MAX), fields.percent("share"));
    let (window, at_least) = (fields.duration("window", false), fields.count("at_least", COUNT_MAX));
    let open_for = fields.duration("open_for", false).map_or(OPEN_FOR, |at| at.value);
    let says = |key| fields.key_place(key);
    let misplaced = says("window").or(says("at_least"));
    if fields.lacks("failures") && fields.lacks("share") {
        let message =
            "this does not say what opens the circuit; write `failures = 5`, or `share = \"50%\", window = \"10s\", at_least = 20`";
        source.error(Kind::MissingKey, &fields.place, message);
    } else if let (Some(_), Some(place)) = (says("failures"), says("share")) {
        source.error(Kind::Conflict, &place, "`failures` and `share` exclude each other; keep one of them");
    } else if let (Some(_), Some(place)) = (says("failures"), misplaced) {
        source.error(Kind::Conflict, &place, "`window` and `at_least` belong to `share`; leave them out, or write `share` for `failures`");
    }
    fields.finish();
    let trips = match (failures, share) {
        (Some(failures), None) => Trips::Failures(failures.value),
        (_, share) => Trips::Share(share_limit(share?, window, at_least)),
    };
    Some(BreakerSpec { trips, open_for })
}

fn dead_letters_max(source: &Source<'_>, fields: &Fields<'_>) -> Option<At<ShareLimit>> {
    let table = fields.table("dead_letters_max", "dead_letters_max")?;
    let (share, window, at_least) = (table.percent("share"), table.duration("window", false), table.count("at_least", COUNT_MAX));
    if table.lacks("share") {
        let message = "this does not say how many are too many; write `{ share = \"5%\", window = \"1m\", at_least = 100 }`";
        source.error(Kind::MissingKey, &table.place, message);
    }
    let place = table.place.clone();
    table.finish();
    share.map(|share| At::new(place, share_limit(share, window, at_least)))
}

fn share_limit(share: At<u32>, window: Option<At<Duration>>, at_least: Option<At<u64>>) -> ShareLimit {
    ShareLimit { millionths: share.value, window: window.map_or(WINDOW, |at| at.value), at_least: at_least.map_or(AT_LEAST, |at| at.value) }
}

/// The streams at the only port (`output = "x"`) or at named ones (`outputs = { alerts = "x" }`).
fn bindings(source: &Source<'_>, fields: &Fields<'_>, one: &'static str, many: &'static str) -> Vec<WrittenBinding> {
    if let (Some(_), Some(place)) = (fields.key_place(one), fields.key_place(many)) {
        source.error(Kind::Conflict, &place, format!("`{one}` and `{many}` exclude each other; keep `{many}` where ports have names"));
    }
    let only = fields.names(one).unwrap_or_default().into_iter();
    let mut bound: Vec<_> = only.map(|stream| WrittenBinding { port: None, stream }).collect();
    for (port, value, place) in fields.entries(many) {
        check_name(source, &At::new(port.place.clone(), port.value.as_str()));
        let streams = match value {
            DeValue::String(stream) => vec![(stream.as_ref(), place)],
            DeValue::Array(streams) => {
                streams.iter().filter_map(|stream| stream.get_ref().as_str().map(|name| (name, stream.span()))).collect()
            }
            _ => Vec::new(),
        };
        if streams.is_empty() || matches!(value, DeValue::Array(written) if written.len() != streams.len()) {
            let found = with_article(value.type_str());
            let message = format!("`{many}.{}`: expected a stream or a list of streams, found {found}", port.value);
            source.error(Kind::WrongType, &port.place, message);
            continue;
        }
        for (name, place) in streams {
            if check_name(source, &At::new(place.clone(), name)) {
                bound.push(WrittenBinding { port: Some(port.value.clone()), stream: At::new(place, name.to_owned()) });
            }
        }
    }
    bound
}

fn limits(fields: Fields<'_>) -> WrittenLimits {
    let written = WrittenLimits {
        memory: fields.bytes("memory", MEMORY_MAX),
        batch_time: fields.duration("batch_time", false),
        output: fields.bytes("output", CALL_BYTES_MAX),
        outputs_per_event: fields.count("outputs_per_event", COUNT_MAX),
        state: fields.bytes("state", CALL_BYTES_MAX),
        log_lines: fields.count("log_lines", COUNT_MAX),
    };
    fields.finish();
    written
}
