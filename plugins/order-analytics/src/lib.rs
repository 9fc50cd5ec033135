//! Orders, revenue and average per city and category in windows of event time, and the groups that sell most, as it goes on.
//!
//! The top is over all groups, so all orders have one key, `$all`, and one slice of state: it is not for more orders than one core takes.

mod group;
mod money;

use sangam_sdk::*;
use serde::Deserialize;

pub use group::{Group, GroupKey};
use money::{amount, cents};

/// The timer for the next window to close.
const CLOSE: &str = "close";
/// The timer for the next look at the top.
const UPDATE: &str = "update";

/// The configuration.
#[config]
pub struct OrderAnalytics {
    /// Length of a window.
    #[config(default = Size(60_000))]
    pub window: Size,
    /// How many groups the top has.
    #[config(default = 10usize)]
    pub top: usize,
    /// How often the top of a window that is open is emitted, if it has changed; zero for never.
    #[config(default = Duration(10_000))]
    pub update: Duration,
}

/// A length of time, in milliseconds; not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Duration")]
pub struct Size(Millis);

impl TryFrom<Duration> for Size {
    type Error = String;

    fn try_from(duration: Duration) -> Result<Self, String> {
        if duration.0 == 0 { Err("a window has some length: write \"1m\"".into()) } else { Ok(Size(duration.0)) }
    }
}

/// What is looked at in an order.
#[event]
pub struct Order<'a> {
    /// What was ordered.
    pub category: &'a str,
    /// Where to.
    pub city: &'a str,
    /// For how much.
    pub amount: f64,
}

/// A group of a window that has closed.
#[event]
pub struct GroupTotal {
    /// The window's first millisecond.
    pub window_start: Millis,
    /// The first one after it.
    pub window_end: Millis,
    /// The city.
    pub city: String,
    /// The category.
    pub category: String,
    /// Orders.
    pub orders: u64,
    /// Their sum.
    pub revenue: f64,
    /// Their mean.
    pub average: f64,
}

/// The groups of a window that sell most.
#[event]
pub struct Top {
    /// The window's first millisecond.
    pub window_start: Millis,
    /// The first one after it.
    pub window_end: Millis,
    /// Whether this is the window's last word.
    pub closed: bool,
    /// Orders of all groups.
    pub orders: u64,
    /// Revenue of all groups.
    pub revenue: f64,
    /// The groups, the one with the largest revenue first.
    pub groups: Vec<Seller>,
}

/// One of the groups that sell most.
#[event]
pub struct Seller {
    /// The city.
    pub city: String,
    /// The category.
    pub category: String,
    /// Orders.
    pub orders: u64,
    /// Their sum.
    pub revenue: f64,
}

/// Where results leave.
#[outputs]
pub enum Out {
    /// Each group of each window that has closed. Its key is `city/category`.
    Groups(Output<GroupTotal>),
    /// The top of a window.
    Top(Top),
}

/// What is remembered of all orders.
#[state]
pub struct Analytics {
    /// Windows that take orders, in order of time.
    pub open: Vec<Open>,
    /// When the timer for the next look at the top fires.
    pub update: Option<Millis>,
    /// The groups of all open windows.
    pub groups: Map<GroupKey, Group>,
}

/// A window that takes orders.
#[state]
pub struct Open {
    /// Its first millisecond.
    pub start: Millis,
    /// Whether orders have come since its top was last emitted.
    pub changed: bool,
}

#[operator(key = "$all")]
impl OrderAnalytics {
    /// Takes an order into its group.
    pub fn on_event(&self, order: Order<'_>, analytics: &mut Analytics, ctx: &mut Context) -> Result<()> {
        let window = Window::around(ctx.time(), self.window.0);
        if ctx.watermark() >= window.last() {
            return Err(late("its window has closed"));
        }
        let cents = cents(order.amount).ok_or_else(|| reject(format!("{} is no amount of money", order.amount)))?;
        let key = GroupKey { start: window.start, city: order.city.to_owned(), category: order.category.to_owned() };
        let mut group = analytics.groups.get(&key).unwrap_or_default();
        group.add(cents);
        analytics.groups.insert(key, group);
        self.note_change(window, analytics, ctx);
        Ok(())
    }

    /// Emits what is due: the top as it stands, or all of a window that closes.
    pub fn on_timer(&self, timer: Timer, analytics: &mut Analytics, ctx: &mut Context) -> Vec<Out> {
        if timer.name() == UPDATE { self.look(timer.at(), analytics, ctx) } else { self.close(timer.at(), analytics, ctx) }
    }
}

impl OrderAnalytics {
    fn window(&self, start: Millis) -> Window {
        Window { start, end: start.saturating_add(self.window.0) }
    }

    /// Opens the window if it is the first order in it, and sees to it that its top is looked at.
    fn note_change(&self, window: Window, analytics: &mut Analytics, ctx: &mut Context) {
        match analytics.open.binary_search_by_key(&window.start, |open| open.start) {
            Ok(place) if analytics.open[place].changed => return,
            Ok(place) => analytics.open[place].changed = true,
            Err(place) => {
                analytics.open.insert(place, Open { start: window.start, changed: true });
                self.arm(analytics, ctx);
            }
        }
        self.schedule(ctx.time().max(ctx.watermark().saturating_add(1)), analytics, ctx);
    }

    /// Looks at the top at the end of the step around `time`, or earlier if that is planned.
    fn schedule(&self, time: Millis, analytics: &mut Analytics, ctx: &mut Context) {
        if self.update.0 == 0 {
            return;
        }
        let due = Window::around(time, self.update.0).last();
        if analytics.update.is_none_or(|planned| due < planned) {
            analytics.update = Some(due);
            ctx.wake(UPDATE, due);
        }
    }

    /// Sets the timer for the first window to close.
    fn arm(&self, analytics: &Analytics, ctx: &mut Context) {
        if let Some(first) = analytics.open.first() {
            ctx.wake(CLOSE, self.window(first.start).last());
        }
    }

    /// The tops that have changed. A window that closes at this very time says more in a moment, one that begins later waits.
    fn look(&self, now: Millis, analytics: &mut Analytics, ctx: &mut Context) -> Vec<Out> {
        analytics.update = None;
        let mut tops = Vec::new();
        for open in analytics.open.iter_mut().filter(|open| open.changed && open.start <= now) {
            let window = self.window(open.start);
            if window.last() > now {
                open.changed = false;
                tops.push(Out::Top(self.top(window, false, groups_of(&analytics.groups, open.start))));
            }
        }
        if let Some(later) = analytics.open.iter().find(|open| open.changed && open.start > now).map(|open| open.start) {
            self.schedule(later, analytics, ctx);
        }
        tops
    }

    /// Everything about the window that closes now; its groups are forgotten.
    fn close(&self, now: Millis, analytics: &mut Analytics, ctx: &mut Context) -> Vec<Out> {
        let mut out = Vec::new();
        while let Some(open) = analytics.open.first().filter(|open| self.window(open.start).last() <= now) {
            let window = self.window(open.start);
            let groups = groups_of(&analytics.groups, window.start);
            analytics.open.remove(0);
            for (key, group) in &groups {
                analytics.groups.remove(key);
                out.push(Out::Groups(total(window, key, group)));
            }
            out.push(Out::Top(self.top(window, true, groups)));
        }
        self.arm(analytics, ctx);
        if analytics.open.is_empty() && analytics.update.take().is_some() {
            ctx.cancel(UPDATE);
        }
        out
    }

    fn top(&self, window: Window, closed: bool, groups: Vec<(GroupKey, Group)>) -> Top {
        let orders = groups.iter().map(|(_, group)| group.orders).sum();
        let revenue = amount(groups.iter().map(|(_, group)| group.cents).fold(0, i64::saturating_add));
        let seller = |(key, group): (GroupKey, Group)| Seller {
            city: key.city,
            category: key.category,
            orders: group.orders,
            revenue: amount(group.cents),
        };
        let groups = group::top(groups, self.top).into_iter().map(seller).collect();
        Top { window_start: window.start, window_end: window.end, closed, orders, revenue, groups }
    }
}

/// The groups of a window by city and category.
fn groups_of(groups: &Map<GroupKey, Group>, start: Millis) -> Vec<(GroupKey, Group)> {
    // Windows lie one after the other.
    let mut found: Vec<_> = groups.iter().skip_while(|(key, _)| key.start < start).take_while(|(key, _)| key.start == start).collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

fn total(window: Window, key: &GroupKey, group: &Group) -> Output<GroupTotal> {
    let revenue = amount(group.cents);
    let total = GroupTotal {
        window_start: window.start,
        window_end: window.end,
        city: key.city.clone(),
        category: key.category.clone(),
        orders: group.orders,
        revenue,
        average: revenue / group.orders as f64,
    };
    Output::new(total).key(format!("{}/{}", key.city, key.category))
}
