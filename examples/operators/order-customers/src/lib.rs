//! What customers have ordered, who has become a VIP, and who orders in a strange way.
//!
//! An order that comes out of order counts all the same; what was said before it does not change.

use sangam_sdk::*;

/// How many orders of a customer are kept one by one, the newest, within the span: more than that are not counted.
const ORDERS_KEPT: usize = 1_000;

/// A step of an order.
#[event]
pub struct Step<'a> {
    /// What has happened.
    pub event_type: &'a str,
    /// Which order.
    pub order_id: &'a str,
    /// Of whom.
    pub customer_id: &'a str,
    /// How many pieces.
    pub quantity: f64,
    /// For how much each.
    pub price: f64,
}

/// What a customer has ordered so far.
#[event]
pub struct Profile {
    /// Who.
    pub customer_id: String,
    /// Orders.
    pub orders: u64,
    /// What they were worth.
    pub spent: f64,
    /// When the newest was placed.
    pub last_order: Millis,
}

/// Something to be looked at.
#[event]
pub struct Alert {
    /// `rapid_orders` or `high_value_new_customer`.
    pub alert: String,
    /// Who.
    pub customer_id: String,
    /// With which order.
    pub order_id: String,
    /// Orders in the span, or the first order's worth.
    pub value: f64,
}

/// Where it leaves.
#[outputs]
pub enum Out {
    /// After every order.
    Customers(Profile),
    /// Once, with the order that did it.
    Vips(Profile),
    /// Strange orders.
    Alerts(Alert),
}

/// A customer.
#[state]
pub struct Customer {
    /// Orders so far.
    pub orders: u64,
    /// What they were worth.
    pub spent: Money,
    /// When the newest was placed.
    pub last_order: Millis,
    /// Whether the customer has been told to be a VIP.
    pub is_vip: bool,
    /// When the orders of the span were placed, in order.
    pub recent: Vec<Millis>,
}

/// The configuration.
#[config]
pub struct OrderCustomers {
    /// A customer who has spent more is a VIP.
    #[config(default = 100_000.0)]
    pub vip_above: f64,
    /// More orders within `rapid_within` are rapid.
    #[config(default = 5usize)]
    pub rapid_above: usize,
    /// An order that is exactly so old does not count any more.
    #[config(default = Duration(minutes(10)))]
    pub rapid_within: Duration,
    /// A first order that is worth more is one to be looked at.
    #[config(default = 50_000.0)]
    pub first_above: f64,
}

#[operator(key = "customer_id")]
impl OrderCustomers {
    /// Notes an order that is placed.
    pub fn on_event(&self, step: Step<'_>, customer: &mut Customer, ctx: &Context) -> Result<Vec<Out>> {
        if step.event_type != "order_placed" {
            return Ok(Vec::new());
        }
        let value = step.price * step.quantity;
        let worth = Money::new(value).ok_or_else(|| reject(format!("{value} is no amount of money")))?;
        let is_first = customer.orders == 0;
        customer.orders += 1;
        customer.spent += worth;
        customer.last_order = if is_first { ctx.time() } else { customer.last_order.max(ctx.time()) };
        let rapid = customer.note(ctx, self.rapid_within.0);

        let profile = customer.profile(step.customer_id);
        let alert = |alert: &str, value: f64| {
            Out::Alerts(Alert {
                alert: alert.to_owned(),
                customer_id: step.customer_id.to_owned(),
                order_id: step.order_id.to_owned(),
                value,
            })
        };
        let mut out = Vec::with_capacity(1);
        if !customer.is_vip && customer.spent.amount() > self.vip_above {
            customer.is_vip = true;
            out.push(Out::Vips(profile.clone()));
        }
        if rapid > self.rapid_above {
            out.push(alert("rapid_orders", rapid as f64));
        }
        if is_first && worth.amount() > self.first_above {
            out.push(alert("high_value_new_customer", worth.amount()));
        }
        out.push(Out::Customers(profile));
        Ok(out)
    }
}

impl Customer {
    /// Notes when an order was placed; returns how many were in the span up to it.
    fn note(&mut self, ctx: &Context, within: Millis) -> usize {
        let time = ctx.time();
        // What no order can reach that is still to come; this one can be behind the watermark, and counts itself.
        let over = ctx.watermark().min(time).saturating_sub(within);
        self.recent.retain(|known| *known > over);
        let place = self.recent.partition_point(|known| *known <= time);
        self.recent.insert(place, time);
        if self.recent.len() > ORDERS_KEPT {
            self.recent.remove(0);
        }
        self.recent.iter().filter(|known| **known <= time && time - **known < within).count()
    }

    fn profile(&self, customer_id: &str) -> Profile {
        Profile { customer_id: customer_id.to_owned(), orders: self.orders, spent: self.spent.amount(), last_order: self.last_order }
    }
}
