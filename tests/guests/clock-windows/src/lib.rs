//! Sums over windows by the host's clock; the configuration says which.

use sangam_sdk::window::WindowSpec;
use sangam_sdk::*;

/// An event; what it says of time counts for nothing.
#[event]
pub struct Item {
    /// Whose it is.
    pub key: String,
    /// What is summed up.
    pub value: i64,
}

/// What a window has summed up.
#[event]
pub struct Sum {
    /// Whose it is.
    pub key: String,
    /// Where the window starts.
    pub window_start: Millis,
    /// Where it ends.
    pub window_end: Millis,
    /// The sum.
    pub sum: i64,
}

/// Which windows.
#[config]
struct Written {
    /// The length of windows.
    size: Option<Millis>,
    /// From one to the next; the length, if it is missing.
    slide: Option<Millis>,
    /// The gap between sessions.
    gap: Option<Millis>,
    /// How many events a batch has at most, and `size` is its span.
    count: Option<u64>,
}

/// The windows that the configuration asks for.
pub struct Settings(WindowSpec);

impl Config for Settings {
    const FIELDS: &'static str = Written::FIELDS;

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let spec = match Written::read(bytes)? {
            Written { size: Some(size), slide: None, gap: None, count: None } => WindowSpec::tumbling(size),
            Written { size: Some(size), slide: Some(slide), gap: None, count: None } => WindowSpec::hopping(size, slide),
            Written { size: None, slide: None, gap: Some(gap), count: None } => WindowSpec::session(gap),
            Written { size: Some(size), slide: None, gap: None, count: Some(count) } => WindowSpec::batch(size, count),
            _ => return Err("write size, size and slide, or gap, in milliseconds, or size and count".into()),
        };
        let spec = spec.processing_time();
        spec.check()?;
        Ok(Settings(spec))
    }
}

/// What has been summed up so far.
#[state]
pub struct ClockWindows {
    sum: i64,
}

#[operator(key = "key", processing_time, window = configured)]
impl ClockWindows {
    /// Which windows.
    pub fn window(settings: &Settings) -> &WindowSpec {
        &settings.0
    }

    /// Takes an event in.
    pub fn add(&mut self, item: Item) {
        self.sum += item.value;
    }

    /// Takes in what came later.
    pub fn merge(&mut self, later: Self) {
        self.sum += later.sum;
    }

    /// What a window emits.
    pub fn close(&self, w: Window, _settings: &Settings, ctx: &Context) -> Sum {
        Sum { key: ctx.key().to_owned(), window_start: w.start, window_end: w.end, sum: self.sum }
    }
}
