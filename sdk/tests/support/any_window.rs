//! An operator with the windows that a test wants: it tells which events each result is made of.

use sangam_sdk::test::Harness;
use sangam_sdk::window::WindowSpec;
use sangam_sdk::*;

#[event]
pub struct Item {
    pub key: String,
    pub number: i64,
    pub text: String,
}

#[event]
pub struct Found {
    pub start: Millis,
    pub end: Millis,
    pub count: u64,
    pub sum: i64,
    pub text: String,
    pub numbers: Vec<i64>,
}

pub struct Settings(pub WindowSpec);

impl Config for Settings {
    const FIELDS: &'static str = "[]";
    fn read(_bytes: &[u8]) -> Result<Self, String> {
        Err("tests build it".into())
    }
}

#[state]
pub struct Gathered {
    numbers: Vec<i64>,
    text: String,
}

#[operator(key = "key", window = configured)]
impl Gathered {
    fn window(settings: &Settings) -> &WindowSpec {
        &settings.0
    }
    fn add(&mut self, item: Item, _settings: &Settings) {
        self.merge(Gathered { numbers: vec![item.number], text: item.text });
    }
    fn merge(&mut self, later: Self) {
        self.numbers.extend(later.numbers);
        if !self.text.is_empty() && !later.text.is_empty() {
            self.text.push('+');
        }
        self.text.push_str(&later.text);
    }
    fn close(&self, w: Window) -> Found {
        let mut numbers = self.numbers.clone();
        numbers.sort_unstable();
        let (count, sum) = (numbers.len() as u64, numbers.iter().sum());
        Found { start: w.start, end: w.end, count, sum, text: self.text.clone(), numbers }
    }
}

/// Runs windows of this definition.
pub fn harness(spec: &WindowSpec, batch: usize) -> Harness<Gathered> {
    assert_eq!(spec.check(), Ok(()));
    Harness::with(Settings(spec.clone())).batch(batch)
}
