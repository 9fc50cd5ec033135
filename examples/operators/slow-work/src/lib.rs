//! Takes a given number of rounds for each event: work that is slow on purpose, by no clock and no chance, so that what comes out is the same
//! each time. It says when by the host's clock it was done.

use sangam_sdk::*;

/// Something to be worked at.
#[event]
pub struct Job<'a> {
    /// Its name.
    pub id: &'a str,
    /// Where the rounds begin.
    pub seed: u64,
}

/// A job that is done.
#[event]
pub struct Done {
    /// Its name.
    pub id: String,
    /// Where the rounds have ended; text, as not every reader of JSON has whole numbers of 64 bits.
    pub result: String,
    /// When, by the clock of the host.
    pub done_at: Millis,
}

/// How slow.
#[config]
pub struct SlowWork {
    /// Rounds for each event.
    rounds: u64,
}

/// Knuth's linear congruential generator (MMIX).
const FACTOR: u64 = 6_364_136_223_846_793_005;
const TERM: u64 = 1_442_695_040_888_963_407;

/// Works at a job.
#[operator(processing_time)]
pub fn slow_work(job: Job<'_>, config: &SlowWork, ctx: &Context) -> Done {
    // A compiler that knows both makes one round of eight.
    let (factor, term) = std::hint::black_box((FACTOR, TERM));
    let round = |at: u64, _| at.wrapping_mul(factor).wrapping_add(term);
    let result = (0..config.rounds).fold(job.seed, round);
    Done { id: job.id.to_owned(), result: result.to_string(), done_at: ctx.now() }
}
