//! Benchmark W4, second half: the ten groups with the largest revenue in each minute.

use sangam_sdk::*;

/// One group's minute.
#[event]
pub struct Minute<'a> {
    /// Where.
    pub city: &'a str,
    /// What.
    pub category: &'a str,
    /// The minute's start, in milliseconds.
    pub window_start: i64,
    /// Sum of the orders.
    pub revenue: f64,
}

/// A place among the best.
#[event]
#[derive(Default)]
pub struct Group {
    /// Where.
    pub city: String,
    /// What.
    pub category: String,
    /// Sum of the orders.
    pub revenue: f64,
}

/// The best of a minute.
#[event]
pub struct Best {
    /// The minute's start, in milliseconds.
    pub window_start: i64,
    /// In order of revenue, the largest first.
    pub top: Vec<Group>,
}

/// The best so far.
#[state]
pub struct Ranking {
    /// The minute's start, in milliseconds.
    pub window_start: i64,
    /// In order of revenue, the largest first.
    pub top: Vec<Group>,
}

/// How many are kept.
const TOP: usize = 10;

/// Ranks.
#[config]
pub struct Rank {}

#[operator(key = "window_start")]
impl Rank {
    fn on_event(&self, minute: Minute<'_>, ranking: &mut Ranking, ctx: &mut Context) {
        let place = ranking.top.partition_point(|group| group.revenue >= minute.revenue);
        if place >= TOP {
            return;
        }
        if ranking.top.is_empty() {
            ranking.window_start = minute.window_start;
            ctx.wake("close", ctx.time());
        }
        let Minute { city, category, revenue, .. } = minute;
        ranking.top.insert(place, Group { city: city.to_owned(), category: category.to_owned(), revenue });
        ranking.top.truncate(TOP);
    }

    fn on_timer(&self, _close: Timer, ranking: &mut Ranking) -> Best {
        let Ranking { window_start, top } = std::mem::take(ranking);
        Best { window_start, top }
    }
}
