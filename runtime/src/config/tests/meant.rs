//! Good files and what they mean; what holds for all files.

use std::time::Duration;

use super::*;

#[test]
fn every_error_is_found_in_one_run_and_shown_with_its_line() {
    let text = "batch = 0\n[operators.o]\n\tinptu = \"in\"\n[streams.in]\nformat = \"yaml\"\n";
    let shown = parse(text).unwrap_err().to_string();
    let expected = "\
p.toml:1:9: `batch` must be from 1 to 1048576, found 0
  |
1 | batch = 0
  |         ^

p.toml:3:2: unknown key `inptu` in `[operators.o]`; did you mean `input`?
  |
3 | \tinptu = \"in\"
  | \t^^^^^

p.toml:5:10: `format`: expected `msgpack`, `json`, `raw` or `framed-msgpack`, found `yaml`
  |
5 | format = \"yaml\"
  |          ^^^^^^

3 errors; nothing was started";
    assert_eq!(shown, expected);
}

#[test]
fn a_stream_that_nobody_uses_is_a_warning() {
    let pipeline = parse("[streams.in]\n[streams.never]\n[operators.o]\ninput = \"in\"").unwrap();
    let warnings: Vec<_> = pipeline.warnings.iter().map(|warning| (warning.kind, warning.headline())).collect();
    assert_eq!(warnings, [(Kind::UnusedStream, "p.toml:2:10: warning: no operator reads or writes the stream `never`".to_owned())]);
}

#[test]
fn the_smallest_file_has_a_default_for_everything_else() {
    let pipeline = Pipeline::parse(BASE, "etc/word count.toml", &env).unwrap();
    let expected = Pipeline {
        data: "etc/data/word-count".into(),
        plugins: "etc/plugins".into(),
        streams: vec![Stream::embedded("in"), Stream::embedded(DEAD_LETTERS)],
        operators: vec![Operator { dead_letters: Some(DEAD_LETTERS.into()), ..Operator::new("o").input("in") }],
        text: Secret(BASE.to_owned()),
        audit: Some(Audit { cluster: EMBEDDED.into(), topic: "word-count.audit".into(), asked: false }),
        ..Pipeline::new("word-count")
    };
    assert_eq!(pipeline, expected);
    assert_eq!(pipeline.guarantee, Guarantee::ExactlyOnce);
}

#[test]
fn every_key_reaches_its_place() {
    let text = r#"
        name = "payments"
        data = "/var/lib/payments"
        plugins = "ops"
        commit_interval = "1s"
        drain_timeout = "25s"
        workers = 3
        priority_floor = "10%"
        standby = false
        batch = 64
        on_remove = "keep"
        guarantee = "at_least_once"
        dead_letters = "dlq"
        [admin]
        listen = "0.0.0.0:9600"
        token = "${TOKEN}"
        stuck_after = "1m"
        [savepoints]
        url = "s3://bucket/payments"
        keep = 3
        on_bad_build = "roll_back_state"
        [audit]
        topic = "payments.builds"
        [metrics]
        every = "10s"
        [clusters.main]
        kind = "kafka"
        brokers = "a:9092,b:9092"
        options = { "security.protocol" = "ssl", "retries" = 3, "x" = true }
        [clusters.test]
        kind = "memory"
        [streams.payments]
        cluster = "main"
        topic = "${TOPIC}"
        partitions = 4
        create = true
        format = "json"
        timestamp = "at.time"
        timestamp_unit = "s"
        out_of_orderness = "5s"
        watermark = "bounded"
        idle = "30s"
        key = ["from", "to.id"]
        start = "latest"
        max_event = "1MiB"
        priority = "high"
        [streams.clock]
        cluster = "test"
        watermark = "processing_time"
        idle = "off"
        bounded = true
        [streams.dlq]
        file = "dead.msgpack"
        format = "framed-msgpack"
        [streams.lines]
        file = "-"
        follow = true
        [operators.fraud]
        plugin = "fraud-rules"
        inputs = { events = ["payments", "clock"], rules = "lines" }
        key = "from"
        route = "exchange"
        outputs = { alerts = "mid" }
        parallelism = 8
        config = { max = 5, secret = "${TOKEN}", nested = { list = ["${EMPTY:-x}", "$${y}"] } }
        late = "mid"
        on_error = "dead_letter"
        limits = { memory = "8MiB", batch_time = "2s", output = 4096, outputs_per_event = 5, state = "1KiB", log_lines = 7 }
        [operators.last]
        input = "mid"
        on_error = "stop"
    "#;
    let pipeline = parse(text).unwrap();
    let binding = |port: Option<&str>, stream: &str| Binding { port: port.map(Into::into), stream: stream.into() };
    let text = |text: &str| text.to_owned();
    let expected = Pipeline {
        name: "payments".into(),
        data: "/var/lib/payments".into(),
        plugins: "ops".into(),
        commit_interval: Duration::from_secs(1),
        drain_timeout: Duration::from_secs(25),
        workers: 3,
        priority_floor: 100_000,
        standby: false,
        batch: 64,
        on_remove: OnRemove::Keep,
        guarantee: Guarantee::AtLeastOnce,
        audit: Some(Audit { cluster: "main".into(), topic: "payments.builds".into(), asked: true }),
        samples: Some(Samples {
            cluster: "main".into(),
            topic: SAMPLES_TOPIC.into(),
            every: Duration::from_secs(10),
            only: Vec::new(),
            labels: Default::default(),
        }),
        admin: Some(Admin {
            listen: ([0, 0, 0, 0], 9600).into(),
            token: Some(Secret("hunter2".into())),
            stuck_after: Duration::from_secs(60),
        }),
        clusters: vec![
            Cluster { name: EMBEDDED.into(), kind: ClusterKind::Local },
            Cluster {
                name: "main".into(),
                kind: ClusterKind::Kafka {
                    brokers: "a:9092,b:9092".into(),
                    options: Options(
                        [("security.protocol", "ssl"), ("retries", "3"), ("x", "true")].map(|(k, v)| (text(k), text(v))).into(),
                    ),
                },
            },
            Cluster { name: "test".into(), kind: ClusterKind::Memory },
        ],
        streams: vec![
            Stream {
                format: Format::Json,
                timestamp: Timestamp::Field { path: "at.time".into(), unit: TimeUnit::Seconds },
                watermarks: Watermarks::Bounded(Duration::from_secs(5)),
                idle: Some(Duration::from_secs(30)),
                key: vec!["from".into(), "to.id".into()],
                start: Start::Latest,
                max_event: 1 << 20,
                priority: Priority::High,
                ..Stream::new("payments", Carrier::Topic { cluster: "main".into(), topic: "from-env".into(), partitions: 4, create: true })
            },
            Stream {
                watermarks: Watermarks::ProcessingTime,
                bounded: true,
                ..Stream::new("clock", Carrier::Topic { cluster: "test".into(), topic: "clock".into(), partitions: 1, create: true })
            },
            Stream::file("dlq", "dead.msgpack", Format::MessagePack),
            Stream { carrier: Carrier::File { path: STDIO.into(), follow: true }, ..Stream::file("lines", STDIO, Format::Json) },
            Stream::internal("mid"),
        ],
        operators: vec![
            Operator {
                plugin: "fraud-rules".into(),
                inputs: vec![binding(Some("events"), "payments"), binding(Some("events"), "clock"), binding(Some("rules"), "lines")],
                key: vec!["from".into()],
                route: Route::Exchange,
                parallelism: Some(8),
                config: Config("max = 5\nsecret = \"hunter2\"\nnested.list = [\"x\", '${y}']".parse().unwrap()),
                late: Some("mid".into()),
                dead_letters: Some("dlq".into()),
                limits: Limits {
                    memory: 8 << 20,
                    batch_time: Duration::from_secs(2),
                    output: 4096,
                    outputs_per_event: 5,
                    state: 1024,
                    log_lines: 7,
                },
                ..Operator::new("fraud").port("alerts", "mid")
            },
            Operator { on_error: OnError::Stop, ..Operator::new("last").input("mid") },
        ],
        savepoints: Savepoints {
            at: Some(SavepointsAt::Cloud("s3://bucket/payments".into())),
            before_swap: true,
            keep: 3,
            on_bad_build: OnBadBuild::RollBackState,
        },
        text: pipeline.text.clone(),
        warnings: Vec::new(),
    };
    assert_eq!(pipeline, expected);
}

#[test]
fn a_secret_is_not_printed() {
    let text = "[admin]\nlisten = \"127.0.0.1:1\"\ntoken = \"${TOKEN}\"\n[clusters.k]\nkind = \"kafka\"\nbrokers = \"k\"
        options = { \"sasl.password\" = \"${TOKEN}\" }\n[streams.in]\n[operators.o]\ninput = \"in\"\nconfig = { password = \"${TOKEN}\" }";
    let shown = format!("{:?}", parse(text).unwrap());
    assert!(shown.contains("sasl.password") && shown.contains("password"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");

    // One that is not what its key takes is quoted as the file has it.
    let wrong =
        "commit_interval = \"${TOKEN}\"\n[admin]\nlisten = \"${TOKEN}\"\n[streams.in]\ntopic = \"${TOKEN}!\"\nmax_event = \"${TOKEN}\"
        [clusters.k]\nkind = \"kafka\"\nbrokers = \"${TOKEN} ${TOKEN}\"\n[operators.o]\ninput = \"in\"";
    let errors = parse(wrong).unwrap_err();
    assert_eq!(errors.errors.len(), 5, "{errors}");
    assert!(!format!("{errors} {errors:?}").contains("hunter2"), "{errors}");
}

#[test]
fn what_can_be_guaranteed_follows_from_where_the_streams_are() {
    let guarantee = |streams: &str| {
        let kafka = "[clusters.k]\nkind = \"kafka\"\nbrokers = \"k\"\n[clusters.m]\nkind = \"memory\"\n";
        parse(&format!("{kafka}[operators.o]\ninput = \"in\"\noutput = \"out\"\n{streams}")).unwrap().guarantee
    };
    assert_eq!(guarantee("[streams.in]\n[streams.out]"), Guarantee::ExactlyOnce);
    assert_eq!(guarantee("[streams.in]\ncluster = \"m\"\n[streams.out]"), Guarantee::ExactlyOnce);
    assert_eq!(guarantee("[streams.in]\ncluster = \"k\"\n[streams.out]\ncluster = \"k\""), Guarantee::ExactlyOnce);
    assert_eq!(guarantee("[streams.in]\n[streams.out]\ncluster = \"k\""), Guarantee::ExactlyOnce);
    assert_eq!(guarantee("[streams.in]\ncluster = \"k\"\n[streams.out]"), Guarantee::AtLeastOnce);
    assert_eq!(guarantee("[streams.in]\nfile = \"in\"\n[streams.out]"), Guarantee::ExactlyOnce);
    assert_eq!(guarantee("[streams.in]\n[streams.out]\nfile = \"out\""), Guarantee::AtLeastOnce);
    assert_eq!(guarantee("[streams.in]\n[streams.out]\n[streams.unused]\ncluster = \"k\""), Guarantee::ExactlyOnce);
}

#[test]
fn dead_letters_go_where_nobody_said_otherwise_to_a_stream_of_their_own() {
    let home = |text: &str| {
        let pipeline = parse(text).unwrap();
        let name = pipeline.operator("o").unwrap().dead_letters.clone();
        name.map(|name| pipeline.stream(&name).unwrap().carrier.clone())
    };
    let topic =
        |cluster: &str, topic: &str| Some(Carrier::Topic { cluster: cluster.into(), topic: topic.into(), partitions: 1, create: true });
    assert_eq!(home("[operators.o]\ninput = \"in\"\n[streams.in]"), topic("local", "dead-letters"));
    assert_eq!(home("[operators.o]\ninput = \"in\"\n[streams.in]\n[clusters.e]\nkind = \"local\""), topic("e", "dead-letters"));
    let memory = "[operators.o]\ninput = \"in\"\n[streams.in]\ncluster = \"m\"\n[clusters.m]\nkind = \"memory\"";
    assert_eq!(home(memory), topic("m", "dead-letters"));
    let kafka =
        "name = \"orders\"\n[operators.o]\ninput = \"in\"\n[streams.in]\ncluster = \"k\"\n[clusters.k]\nkind = \"kafka\"\nbrokers = \"k\"";
    assert_eq!(home(kafka), topic("k", "orders.dead-letters"), "so that they are part of its transactions");
    assert_eq!(home("[operators.o]\ninput = \"in\"\non_error = \"drop\"\n[streams.in]"), None);
    assert_eq!(home("dead_letters = \"d\"\n[operators.o]\ninput = \"in\"\n[streams.in]\n[streams.d]\ntopic = \"x\""), topic("local", "x"));
    assert_eq!(home("[operators.o]\ninput = \"in\"\n[streams.in]\n[streams.dead-letters]\ntopic = \"x\""), topic("local", "x"));
}

#[test]
fn every_example_in_the_documentation_is_a_pipeline() {
    let page = include_str!("../../../../docs/pipeline.md");
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() > 3, "the page has lost its examples");
    for block in blocks {
        let any = |_: &str| Some("x".to_owned());
        let pipeline = Pipeline::parse(block, "docs.toml", &any).unwrap_or_else(|errors| panic!("{errors}\n{block}"));
        assert_eq!(pipeline.warnings, [], "{block}");
    }
}

#[test]
fn the_documentation_names_every_key() {
    let page = include_str!("../../../../docs/pipeline.md");
    // The keys as an error lists them, so that a new one cannot be forgotten here.
    for section in ["", "[admin]\n", "[clusters.c]\n", "[streams.in]\n", "[operators.o]\n", "[operators.o.limits]\n"] {
        let errors = parse(&format!("{section}_ = 1")).unwrap_err();
        let unknown = errors.errors.iter().find(|error| error.kind == Kind::UnknownKey).unwrap();
        let listed = unknown.message.split("expected ").nth(1).unwrap();
        for key in listed.split('`').skip(1).step_by(2) {
            assert!(
                page.contains(&format!("| `{key}`")) || page.contains(&format!("### `[{key}")),
                "`{key}` of {section:?} is not documented"
            );
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text: String) {
        let _ = parse(&text);
    }

    #[test]
    fn no_shuffling_of_plausible_lines_makes_the_reader_panic(picks in proptest::collection::vec(0..LINES.len(), 0..24)) {
        let text: String = picks.iter().map(|&i| LINES[i]).collect();
        if let Err(errors) = parse(&text) {
            proptest::prop_assert!(!errors.errors.is_empty());
            proptest::prop_assert!(!errors.to_string().is_empty());
        }
    }
}

/// Lines that fit together in many ways, right and wrong.
const LINES: [&str; 20] = [
    "[operators.a]\n",
    "[operators.b]\n",
    "[streams.a]\n",
    "[streams.b]\n",
    "[clusters.a]\n",
    "[admin]\n",
    "input = \"a\"\n",
    "input = [\"a\", \"b\"]\n",
    "output = \"b\"\n",
    "output = \"a\"\n",
    "dead_letters = \"b\"\n",
    "late = \"a\"\n",
    "internal = true\n",
    "file = \"ä\"\n",
    "kind = \"kafka\"\n",
    "cluster = \"a\"\n",
    "listen = \"[::1]:5\"\n",
    "key = \"${X\"\n",
    "topic = '''\n${X:-\n}'''\n",
    "\u{2028}\t= \"ß",
];
