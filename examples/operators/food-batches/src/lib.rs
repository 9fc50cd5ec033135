//! Restaurants, partners, places and dishes, batch by batch, and over all batches. The pipeline says what a batch is.
//!
//! What only grows need not be looked at as a whole: the best over all batches are among the best before and those of this batch.

use std::cmp::Reverse;
use std::collections::BTreeMap;

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

/// Orders and what they were worth.
#[state]
pub struct Sold {
    /// Orders.
    pub orders: u64,
    /// Their sum.
    pub sum: Money,
}

/// Somebody or something, and how much of it.
#[event]
pub struct Ranked {
    /// Who or what.
    pub name: String,
    /// Orders, deliveries or pieces.
    pub count: u64,
    /// Revenue, earnings or the mean of an order; none for dishes.
    pub amount: Option<f64>,
}

/// A batch.
#[event]
pub struct Batch {
    /// Its number, from 1.
    pub batch: u64,
    /// Orders in it.
    pub orders: u64,
    /// The restaurants with most revenue.
    pub restaurants: Vec<Ranked>,
    /// All partners, by earnings.
    pub partners: Vec<Ranked>,
    /// All places, by orders, with the mean of an order.
    pub locations: Vec<Ranked>,
    /// The dishes ordered most.
    pub items: Vec<Ranked>,
    /// The first of them.
    pub trending: Vec<String>,
}

/// A partner or a place that stands out in a batch.
#[event]
pub struct Alert {
    /// `star_partner` or `hotspot`.
    pub alert: String,
    /// The batch.
    pub batch: u64,
    /// Who or where.
    pub name: String,
    /// Deliveries or orders.
    pub count: u64,
}

/// All batches so far.
#[event]
pub struct Running {
    /// The newest.
    pub batch: u64,
    /// Orders so far.
    pub orders: u64,
    /// The restaurants with most revenue.
    pub restaurants: Vec<Ranked>,
    /// The partners with most earnings.
    pub partners: Vec<Ranked>,
    /// The places of this batch, with the mean of all their orders so far.
    pub locations: Vec<Ranked>,
}

/// Where it leaves.
#[outputs]
pub enum Out {
    /// One for each batch.
    Batches(Batch),
    /// Who and what stands out.
    Alerts(Alert),
    /// One after each batch.
    Running(Running),
}

/// What is remembered.
#[state]
pub struct Kitchen {
    /// Batches so far.
    pub batch: u64,
    /// Orders so far.
    pub orders: u64,
    /// This batch: orders.
    pub now: u64,
    /// This batch by restaurant.
    pub restaurants: BTreeMap<String, Sold>,
    /// This batch's completed orders by partner.
    pub partners: BTreeMap<String, Sold>,
    /// This batch by place.
    pub locations: BTreeMap<String, Sold>,
    /// This batch by dish.
    pub items: BTreeMap<String, u64>,
    /// The restaurants with most revenue so far.
    pub best_restaurants: Vec<String>,
    /// The partners with most earnings so far.
    pub best_partners: Vec<String>,
    /// All batches by restaurant.
    pub all_restaurants: Map<String, Sold>,
    /// All batches by partner.
    pub all_partners: Map<String, Sold>,
    /// All batches by place.
    pub all_locations: Map<String, Sold>,
}

/// The configuration.
#[config]
pub struct FoodBatches {
    /// The part of a completed order that its partner earns.
    #[config(default = 0.1)]
    pub partner_share: f64,
    /// More deliveries in a batch make a star.
    #[config(default = 20u64)]
    pub star_above: u64,
    /// More orders in a batch make a hotspot.
    #[config(default = 10u64)]
    pub hotspot_above: u64,
    /// How many restaurants of a batch are told.
    #[config(default = 3usize)]
    pub top_restaurants: usize,
    /// How many dishes.
    #[config(default = 5usize)]
    pub top_items: usize,
    /// How many of them are trending.
    #[config(default = 3usize)]
    pub trending: usize,
    /// How many restaurants and partners over all batches.
    #[config(default = 5usize)]
    pub top_running: usize,
}

#[operator(keyed)]
impl FoodBatches {
    /// Counts an order.
    pub fn on_event(&self, order: Order, kitchen: &mut Kitchen) -> Result<()> {
        let amount = Money::new(order.total_amount).ok_or_else(|| reject(format!("{} is no amount of money", order.total_amount)))?;
        kitchen.now += 1;
        kitchen.restaurants.entry(order.restaurant_id).or_default().add(amount);
        kitchen.locations.entry(order.delivery_location).or_default().add(amount);
        if let Some(partner) = order.delivery_partner_id.filter(|_| order.payment_status == "completed") {
            kitchen.partners.entry(partner).or_default().add(amount);
        }
        for item in order.items {
            *kitchen.items.entry(item).or_default() += 1;
        }
        Ok(())
    }

    /// Tells what the batch was, and what all of them were.
    pub fn on_batch_end(&self, kitchen: &mut Kitchen) -> Vec<Out> {
        kitchen.batch += 1;
        kitchen.orders += kitchen.now;
        let batch = kitchen.batch;
        let mut out = vec![Out::Batches(self.batch(kitchen))];
        let alert =
            |alert: &str, name: &str, count: u64| Out::Alerts(Alert { alert: alert.to_owned(), batch, name: name.to_owned(), count });
        let stars = kitchen.partners.iter().filter(|(_, sold)| sold.orders > self.star_above);
        out.extend(stars.map(|(name, sold)| alert("star_partner", name, sold.orders)));
        let hotspots = kitchen.locations.iter().filter(|(_, sold)| sold.orders > self.hotspot_above);
        out.extend(hotspots.map(|(name, sold)| alert("hotspot", name, sold.orders)));
        out.push(Out::Running(self.running(kitchen)));
        out
    }
}

impl FoodBatches {
    fn batch(&self, kitchen: &mut Kitchen) -> Batch {
        let mut items: Vec<Ranked> =
            kitchen.items.iter().map(|(name, count)| Ranked { name: name.clone(), count: *count, amount: None }).collect();
        std::mem::take(&mut kitchen.items);
        items.sort_by_key(|item| Reverse(item.count));
        items.truncate(self.top_items);
        let mut restaurants = by_sum(&kitchen.restaurants, |sold| sold.sum.amount());
        restaurants.truncate(self.top_restaurants);
        let mut locations = by_sum(&kitchen.locations, Sold::mean);
        locations.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        Batch {
            batch: kitchen.batch,
            orders: kitchen.now,
            restaurants,
            partners: by_sum(&kitchen.partners, |sold| self.earnings(sold)),
            locations,
            trending: items.iter().take(self.trending).map(|item| item.name.clone()).collect(),
            items,
        }
    }

    /// Adds the batch to all before it, and forgets it.
    fn running(&self, kitchen: &mut Kitchen) -> Running {
        kitchen.now = 0;
        let restaurants = std::mem::take(&mut kitchen.restaurants);
        let restaurants = best(&mut kitchen.all_restaurants, &mut kitchen.best_restaurants, restaurants, self.top_running);
        let partners = std::mem::take(&mut kitchen.partners);
        let partners = best(&mut kitchen.all_partners, &mut kitchen.best_partners, partners, self.top_running);
        let locations = add(&mut kitchen.all_locations, std::mem::take(&mut kitchen.locations));
        Running {
            batch: kitchen.batch,
            orders: kitchen.orders,
            restaurants: by_sum(&restaurants, |sold| sold.sum.amount()),
            partners: by_sum(&partners, |sold| self.earnings(sold)),
            locations: locations.into_iter().map(|(name, sold)| sold.ranked(&name, sold.mean())).collect(),
        }
    }

    fn earnings(&self, sold: &Sold) -> f64 {
        sold.sum.amount() * self.partner_share
    }
}

impl Sold {
    fn add(&mut self, amount: Money) {
        self.orders += 1;
        self.sum += amount;
    }

    fn mean(&self) -> f64 {
        self.sum.amount() / self.orders as f64
    }

    fn ranked(&self, name: &str, amount: f64) -> Ranked {
        Ranked { name: name.to_owned(), count: self.orders, amount: Some(amount) }
    }
}

/// The largest sum first; among equals the name decides.
fn by_sum(sold: &BTreeMap<String, Sold>, amount: impl Fn(&Sold) -> f64) -> Vec<Ranked> {
    let mut all: Vec<(&String, &Sold)> = sold.iter().collect();
    all.sort_by_key(|(_, sold)| Reverse(sold.sum));
    all.into_iter().map(|(name, sold)| sold.ranked(name, amount(sold))).collect()
}

/// Adds a batch to all before it; returns what those of the batch are now.
fn add(all: &mut Map<String, Sold>, batch: BTreeMap<String, Sold>) -> BTreeMap<String, Sold> {
    let mut now = BTreeMap::new();
    for (name, sold) in batch {
        let mut sum = all.get(&name).unwrap_or_default();
        sum.orders += sold.orders;
        sum.sum += sold.sum;
        all.insert(name.clone(), sum.clone());
        now.insert(name, sum);
    }
    now
}

/// The best of all, which are among the best before and those of the batch.
fn best(all: &mut Map<String, Sold>, best: &mut Vec<String>, batch: BTreeMap<String, Sold>, most: usize) -> BTreeMap<String, Sold> {
    let mut candidates = add(all, batch);
    for name in best.drain(..) {
        if let Some(sold) = all.get(&name) {
            candidates.insert(name, sold);
        }
    }
    best.extend(by_sum(&candidates, |_| 0.0).into_iter().take(most).map(|ranked| ranked.name));
    candidates.retain(|name, _| best.contains(name));
    candidates
}
