//! An operator that looks for whatever pattern it is given as data, and a table of runs of it.

#![expect(missing_docs, reason = "the operators of a test speak for themselves")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;

use sangam_sdk::pattern::{Found, Match, Matches, Spec};
use sangam_sdk::test::Harness;
use sangam_sdk::*;

#[event]
pub struct Named {
    pub key: String,
    pub name: String,
    pub value: i64,
}

#[config]
pub struct Finder {
    pub pattern: Spec,
}

#[state]
pub struct Open {
    pub matches: Matches<Value>,
}

#[event]
pub struct Hit {
    pub events: Vec<String>,
    pub steps: BTreeMap<String, Vec<String>>,
}

#[outputs]
pub enum Out {
    Matched(Output<Hit>),
    TimedOut(Output<Hit>),
}

const MORE: [&str; 2] = ["name", "value"];

impl Finder {
    pub fn of(json: &str) -> Self {
        match serde_json::from_str(json) {
            Ok(pattern) => Finder { pattern },
            Err(why) => panic!("{why} in {json}"),
        }
    }

    fn hit(&self, m: &Match<Value>) -> Output<Hit> {
        let columns = self.pattern.columns(&MORE);
        let name = columns.iter().position(|column| column.path == "name").unwrap();
        let mut steps = BTreeMap::<String, Vec<String>>::new();
        let mut events = Vec::new();
        for (step, _, event) in m.iter() {
            let name: String = event.decode::<Vec<Value>>().unwrap()[name].decode().unwrap();
            steps.entry(step.to_owned()).or_default().push(name.clone());
            events.push(name);
        }
        Output::new(Hit { events, steps }).at(m.time())
    }
}

#[operator(key = "key")]
impl Finder {
    fn fields(&self) -> Vec<FieldPath> {
        self.pattern.columns(&MORE)
    }

    fn on_event(&self, row: Row<'_>, open: &mut Open, ctx: &mut Context) -> Result<()> {
        self.pattern.over_rows(&MORE)?.process(&mut open.matches, Value::from(&row), ctx)
    }

    fn on_timer(&self, timer: Timer, open: &mut Open, ctx: &mut Context) -> Result<Vec<Out>> {
        let found = self.pattern.over_rows(&MORE)?.advance(&mut open.matches, timer, ctx)?;
        Ok(found
            .into_iter()
            .map(|found| match found {
                Found::Match(m) => Out::Matched(self.hit(&m)),
                Found::TimedOut(m) => Out::TimedOut(self.hit(&m)),
            })
            .collect())
    }
}

/// What came of a run: matches and partial matches whose time was over, each with its time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    pub matched: Vec<(Vec<String>, Millis)>,
    pub timed_out: Vec<(Vec<String>, Millis)>,
}

impl Seen {
    /// The matches as one text each, sorted.
    pub fn names(&self) -> Vec<String> {
        sorted(self.matched.iter().map(|(events, _)| events.join(" ")))
    }
}

pub fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

pub fn event(name: &str, value: i64) -> Named {
    Named { key: "k".into(), name: name.into(), value }
}

/// Runs events of one key, `n` at a time, then ends the stream; nothing may be left behind.
pub fn run_batched(pattern: &str, events: &[(String, i64, Millis)], n: usize) -> Seen {
    let mut h = Harness::<Finder>::with(Finder::of(pattern)).batch(n);
    for (name, value, time) in events {
        h.send(*time, event(name, *value));
        // An event passes as soon as the next one is there: the watermark runs one behind, unless times are not in order.
        if events.windows(2).all(|pair| pair[0].2 <= pair[1].2) {
            h.advance(*time - 1);
        }
    }
    h.end();
    let mut seen = Seen::default();
    for sent in h.outputs() {
        let hit = (sent.decode::<Hit>().events, sent.time);
        if sent.port == "matched" { seen.matched.push(hit) } else { seen.timed_out.push(hit) }
    }
    assert_eq!((h.keys(), h.timers("k")), (vec![], vec![]), "something is left behind of {pattern}");
    assert_eq!((h.rejects().len(), h.late().len()), (0, 0));
    seen
}

/// Runs events with every size of batch, between which the state goes to bytes and back; all must agree.
pub fn run(pattern: &str, events: &[(String, i64, Millis)]) -> Seen {
    let one_by_one = run_batched(pattern, events, 1);
    for n in 2..=events.len().max(2) {
        assert_eq!(run_batched(pattern, events, n), one_by_one, "batches of {n} for {pattern}");
    }
    one_by_one
}

/// `a1 b c2@7`: names, at times 1, 2, 3 .. unless they say.
pub fn events(text: &str) -> Vec<(String, i64, Millis)> {
    let at = |(i, word): (usize, &str)| {
        let time = word.split_once('@').map_or(i as i64 + 1, |(_, time)| time.parse().unwrap());
        (word.to_owned(), 0, time)
    };
    text.split_whitespace().enumerate().map(at).collect()
}
