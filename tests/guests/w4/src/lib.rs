//! Benchmark W4, first half: count and revenue per city, category and minute.

use sangam_sdk::*;

/// An order, as far as it matters here; city and category are its key.
#[event]
pub struct Order {
    /// How much.
    pub amount: f64,
}

/// One group's minute.
#[event]
pub struct Minute<'a> {
    /// Where.
    pub city: &'a str,
    /// What.
    pub category: &'a str,
    /// The minute's start, in milliseconds.
    pub window_start: i64,
    /// Orders.
    pub count: u64,
    /// Their sum.
    pub revenue: f64,
}

/// What is gathered in a minute.
#[state]
pub struct Sold {
    /// Orders.
    pub count: u64,
    /// Their sum, in hundredths.
    pub cents: i64,
}

#[operator(key = "city, category", window = "1m")]
impl Sold {
    fn add(&mut self, order: Order) {
        self.count += 1;
        self.cents += (order.amount * 100.0).round() as i64;
    }

    fn close<'a>(self, w: Window, ctx: &Context<'a>) -> Minute<'a> {
        let part = |i| ctx.key_part(i).unwrap_or_default();
        let revenue = self.cents as f64 / 100.0;
        Minute { city: part(0), category: part(1), window_start: w.start, count: self.count, revenue }
    }
}
