//! Orders of food by batch: how much of each restaurant, partner, place and dish. The configuration says what a batch is.

use std::collections::BTreeMap;

use sangam_sdk::window::{Untouched, WindowSpec};
use sangam_sdk::*;

/// An order.
#[event]
pub struct Order {
    /// From which restaurant.
    pub restaurant_id: String,
    /// What was ordered, each piece.
    pub items: Vec<String>,
    /// For how much.
    pub total_amount: f64,
    /// Where it goes to.
    pub delivery_location: String,
    /// `completed`, `pending` or `failed`.
    pub payment_status: String,
    /// Who brings it; none yet.
    pub delivery_partner_id: Option<String>,
}

/// Somebody or something, and how much of it.
#[event]
pub struct Share {
    /// Who or what.
    pub name: String,
    /// Orders, deliveries or pieces.
    pub count: u64,
    /// What they were worth; nothing for dishes.
    pub amount: f64,
}

/// A batch. Its lists are in the order of names.
#[event]
pub struct Batch {
    /// When its first order was placed.
    pub start: Millis,
    /// Where it ends.
    pub end: Millis,
    /// Orders in it.
    pub orders: u64,
    /// By restaurant.
    pub restaurants: Vec<Share>,
    /// Completed orders by partner.
    pub partners: Vec<Share>,
    /// By place.
    pub locations: Vec<Share>,
    /// Pieces by dish.
    pub items: Vec<Share>,
}

/// Orders and what they were worth.
#[state]
pub struct Sold {
    /// Orders.
    pub orders: u64,
    /// Their sum.
    pub sum: Money,
}

/// An open batch.
#[state]
pub struct Orders {
    /// How many.
    pub orders: u64,
    /// By restaurant.
    pub restaurants: BTreeMap<String, Sold>,
    /// Completed ones by partner.
    pub partners: BTreeMap<String, Sold>,
    /// By place.
    pub locations: BTreeMap<String, Sold>,
    /// Pieces by dish.
    pub items: BTreeMap<String, u64>,
}

/// The configuration.
#[config]
pub struct Settings {
    /// What a batch is: `{ type = "batch", size = "3s", count = 1000 }`.
    pub window: WindowSpec,
}

#[operator(keyed, window = configured)]
impl Orders {
    /// What a batch is.
    pub fn window(settings: &Settings) -> &WindowSpec {
        &settings.window
    }

    /// Counts an order.
    pub fn add(&mut self, order: Order, _settings: &Settings) -> Result<(), Untouched> {
        let amount = Money::new(order.total_amount).ok_or_else(|| reject(format!("{} is no amount of money", order.total_amount)))?;
        self.orders += 1;
        self.restaurants.entry(order.restaurant_id).or_default().add(1, amount);
        self.locations.entry(order.delivery_location).or_default().add(1, amount);
        if let Some(partner) = order.delivery_partner_id.filter(|_| order.payment_status == "completed") {
            self.partners.entry(partner).or_default().add(1, amount);
        }
        for item in order.items {
            *self.items.entry(item).or_default() += 1;
        }
        Ok(())
    }

    /// Takes in another part of the batch.
    pub fn merge(&mut self, later: Self) {
        self.orders += later.orders;
        for (mine, theirs) in
            [(&mut self.restaurants, later.restaurants), (&mut self.partners, later.partners), (&mut self.locations, later.locations)]
        {
            theirs.into_iter().for_each(|(name, sold)| mine.entry(name).or_default().add(sold.orders, sold.sum));
        }
        later.items.into_iter().for_each(|(name, count)| *self.items.entry(name).or_default() += count);
    }

    /// What the batch was.
    pub fn close(self, w: Window) -> Batch {
        let items = self.items.into_iter().map(|(name, count)| Share { name, count, amount: 0.0 });
        Batch {
            start: w.start,
            end: w.end,
            orders: self.orders,
            restaurants: shares(self.restaurants),
            partners: shares(self.partners),
            locations: shares(self.locations),
            items: items.collect(),
        }
    }
}

impl Sold {
    fn add(&mut self, orders: u64, amount: Money) {
        self.orders += orders;
        self.sum += amount;
    }
}

fn shares(sold: BTreeMap<String, Sold>) -> Vec<Share> {
    sold.into_iter().map(|(name, sold)| Share { name, count: sold.orders, amount: sold.sum.amount() }).collect()
}
