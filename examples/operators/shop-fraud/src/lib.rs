//! Whether an order is one that its customer would not make: worth too much, from somebody new, paid in another way, at night.

use std::collections::BTreeMap;

use sangam_sdk::window::Zone;
use sangam_sdk::*;

/// An order.
#[event]
pub struct Order<'a> {
    /// Which order.
    pub order_id: &'a str,
    /// Of whom.
    pub customer_id: &'a str,
    /// For how much a piece.
    pub price: f64,
    /// How many pieces.
    pub quantity: f64,
    /// How it is paid.
    pub payment_method: &'a str,
}

/// An order to be looked at.
#[event]
pub struct Suspicion {
    /// Which order.
    pub order_id: String,
    /// Of whom.
    pub customer_id: String,
    /// What it is worth.
    pub value: f64,
    /// The sum of the factors.
    pub score: f64,
    /// What speaks against it.
    pub factors: Vec<String>,
}

/// A customer before the order.
#[state]
pub struct Customer {
    /// Orders.
    pub orders: u64,
    /// How often each way of paying.
    pub payments: BTreeMap<String, u64>,
}

/// The configuration: a limit, and what going beyond it adds.
#[config]
pub struct ShopFraud {
    /// An order worth more.
    pub value_above: (f64, f64),
    /// A price above, of a customer who is new.
    pub new_price_above: (f64, f64),
    /// So many orders before, and a customer is new no longer.
    #[config(default = 1u64)]
    pub new_up_to: u64,
    /// Another way of paying than the one used most: what that adds.
    pub other_payment: f64,
    /// Before this hour of the day.
    pub before_hour: (f64, f64),
    /// From this score on an order is told.
    pub at_least: f64,
    /// Where the clock hangs.
    pub zone: Zone,
}

#[operator(key = "customer_id")]
impl ShopFraud {
    /// Looks at an order, and then notes it.
    pub fn on_event(&self, order: Order<'_>, customer: &mut Customer, ctx: &Context) -> Option<Suspicion> {
        let value = order.price * order.quantity;
        let of_day = self.zone.local(ctx.time()).rem_euclid(hours(24)) as f64 / hours(1) as f64;
        let factors = [
            ("high_value", value > self.value_above.0, self.value_above.1),
            ("new_customer", customer.orders <= self.new_up_to && order.price > self.new_price_above.0, self.new_price_above.1),
            ("other_payment", customer.preferred().is_some_and(|preferred| preferred != order.payment_method), self.other_payment),
            ("night", of_day < self.before_hour.0, self.before_hour.1),
        ];
        customer.orders += 1;
        *customer.payments.entry(order.payment_method.to_owned()).or_default() += 1;
        let found = factors.iter().filter(|(_, holds, _)| *holds);
        let score = found.clone().map(|(.., points)| points).sum();
        (score >= self.at_least).then(|| Suspicion {
            order_id: order.order_id.to_owned(),
            customer_id: order.customer_id.to_owned(),
            value,
            score,
            factors: found.map(|(name, ..)| (*name).to_owned()).collect(),
        })
    }
}

impl Customer {
    /// The way of paying that was used most; of equal ones the first in the alphabet.
    fn preferred(&self) -> Option<&str> {
        let most = self.payments.values().max()?;
        self.payments.iter().find(|(_, count)| *count == most).map(|(method, _)| method.as_str())
    }
}
