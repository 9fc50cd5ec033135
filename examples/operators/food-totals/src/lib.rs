//! Ranks what batches of orders were, says who and what stands out in them, and adds them up.
//!
//! What only grows need not be looked at as a whole: the best over all batches are among the best before and those of this batch.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sangam_sdk::*;

/// Somebody or something, and how much of it.
#[event]
pub struct Share {
    /// Who or what.
    pub name: String,
    /// Orders, deliveries or pieces.
    pub count: u64,
    /// What they were worth.
    pub amount: f64,
}

/// A batch of orders, as it came.
#[event]
pub struct Gathered {
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

/// Somebody or something in a ranking.
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
    /// When its first order was placed.
    pub start: Millis,
    /// Where it ends.
    pub end: Millis,
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

/// What is remembered of all batches.
#[state]
pub struct Totals {
    /// Batches so far.
    pub batch: u64,
    /// Orders so far.
    pub orders: u64,
    /// The restaurants with most revenue so far.
    pub best_restaurants: Vec<String>,
    /// The partners with most earnings so far.
    pub best_partners: Vec<String>,
    /// By restaurant.
    pub restaurants: Map<String, Sold>,
    /// By partner.
    pub partners: Map<String, Sold>,
    /// By place.
    pub locations: Map<String, Sold>,
}

/// The configuration.
#[config]
pub struct FoodTotals {
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
impl FoodTotals {
    /// Tells what the batch was, and what all of them were.
    pub fn on_event(&self, gathered: Gathered, totals: &mut Totals) -> Result<Vec<Out>> {
        totals.batch += 1;
        totals.orders += gathered.orders;
        let batch = totals.batch;
        let restaurants = sold(&gathered.restaurants)?;
        let partners = sold(&gathered.partners)?;
        let locations = sold(&gathered.locations)?;
        let mut out = vec![Out::Batches(self.batch(batch, &gathered, &restaurants, &partners, &locations))];
        let alert =
            |alert: &str, name: &str, count: u64| Out::Alerts(Alert { alert: alert.to_owned(), batch, name: name.to_owned(), count });
        let stars = partners.iter().filter(|(_, sold)| sold.orders > self.star_above);
        out.extend(stars.map(|(name, sold)| alert("star_partner", name, sold.orders)));
        let hotspots = locations.iter().filter(|(_, sold)| sold.orders > self.hotspot_above);
        out.extend(hotspots.map(|(name, sold)| alert("hotspot", name, sold.orders)));
        out.push(Out::Running(self.running(totals, restaurants, partners, locations)));
        Ok(out)
    }
}

/// Orders and sums by name.
type Sales = BTreeMap<String, Sold>;

impl FoodTotals {
    fn batch(&self, batch: u64, gathered: &Gathered, restaurants: &Sales, partners: &Sales, locations: &Sales) -> Batch {
        let mut items: Vec<Ranked> =
            gathered.items.iter().map(|item| Ranked { name: item.name.clone(), count: item.count, amount: None }).collect();
        items.sort_by_key(|item| Reverse(item.count));
        items.truncate(self.top_items);
        let mut restaurants = by_sum(restaurants, |sold| sold.sum.amount());
        restaurants.truncate(self.top_restaurants);
        let mut locations = by_sum(locations, Sold::mean);
        locations.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        Batch {
            batch,
            start: gathered.start,
            end: gathered.end,
            orders: gathered.orders,
            restaurants,
            partners: by_sum(partners, |sold| self.earnings(sold)),
            locations,
            trending: items.iter().take(self.trending).map(|item| item.name.clone()).collect(),
            items,
        }
    }

    /// Adds the batch to all before it.
    fn running(&self, totals: &mut Totals, restaurants: Sales, partners: Sales, locations: Sales) -> Running {
        let restaurants = best(&mut totals.restaurants, &mut totals.best_restaurants, restaurants, self.top_running);
        let partners = best(&mut totals.partners, &mut totals.best_partners, partners, self.top_running);
        let locations = add(&mut totals.locations, locations);
        Running {
            batch: totals.batch,
            orders: totals.orders,
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
    fn mean(&self) -> f64 {
        self.sum.amount() / self.orders as f64
    }

    fn ranked(&self, name: &str, amount: f64) -> Ranked {
        Ranked { name: name.to_owned(), count: self.orders, amount: Some(amount) }
    }
}

fn sold(shares: &[Share]) -> Result<Sales> {
    let mut sales = Sales::new();
    for share in shares {
        let sum = Money::new(share.amount).ok_or_else(|| reject(format!("{} is no amount of money", share.amount)))?;
        sales.insert(share.name.clone(), Sold { orders: share.count, sum });
    }
    Ok(sales)
}

/// The largest sum first; among equals the name decides.
fn by_sum(sold: &Sales, amount: impl Fn(&Sold) -> f64) -> Vec<Ranked> {
    let mut all: Vec<(&String, &Sold)> = sold.iter().collect();
    all.sort_by_key(|(_, sold)| Reverse(sold.sum));
    all.into_iter().map(|(name, sold)| sold.ranked(name, amount(sold))).collect()
}

/// Adds a batch to all before it; returns what those of the batch are now.
fn add(all: &mut Map<String, Sold>, batch: Sales) -> Sales {
    let mut now = Sales::new();
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
fn best(all: &mut Map<String, Sold>, best: &mut Vec<String>, batch: Sales, most: usize) -> Sales {
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
