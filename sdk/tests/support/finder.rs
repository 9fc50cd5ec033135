//! An operator that looks for whatever pattern it is given as data, and a table of runs of it.

#![allow(dead_code, reason = "each test file uses a part of it")]

use sangam_sdk::pattern::{Found, Match, Matches, Spec};
use sangam_sdk::test::Harness;
use sangam_sdk::*;

#[event]
pub struct Named {
    pub key: String,
    pub name: String,
    pub value: i64,
    /// Which event it is.
    pub id: u64,
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
    pub steps: Vec<String>,
    pub ids: Vec<u64>,
}

#[outputs]
pub enum Out {
    Matched(Output<Hit>),
    TimedOut(Output<Hit>),
}

const MORE: [&str; 3] = ["name", "value", "id"];

impl Finder {
    pub fn of(json: &str) -> Self {
        match serde_json::from_str(json) {
            Ok(pattern) => Finder { pattern },
            Err(why) => panic!("{why} in {json}"),
        }
    }

    fn hit(&self, m: &Match<Value>) -> Output<Hit> {
        let columns = self.pattern.columns(&MORE);
        let column = |name: &str| columns.iter().position(|column| column.path == name).unwrap();
        let (name, id) = (column("name"), column("id"));
        let mut hit = Hit { events: Vec::new(), steps: Vec::new(), ids: Vec::new() };
        for (step, _, event) in m.iter() {
            let row: Vec<Value> = event.decode().unwrap();
            hit.steps.push(step.to_owned());
            hit.events.push(row[name].decode().unwrap());
            hit.ids.push(row[id].decode().unwrap());
        }
        Output::new(hit).at(m.time())
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

pub fn event(name: &str, value: i64, id: u64) -> Named {
    Named { key: "k".into(), name: name.into(), value, id }
}

/// Runs events of one key, `n` at a time, then ends the stream; nothing may be left behind.
pub fn run_batched(pattern: &str, events: &[(String, i64, Millis)], n: usize) -> Seen {
    let mut h = Harness::<Finder>::with(Finder::of(pattern)).batch(n);
    for (name, value, time) in events {
        h.send(*time, event(name, *value, 0));
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
