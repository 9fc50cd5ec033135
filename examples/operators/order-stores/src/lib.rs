//! What each customer, seller, city or restaurant has ordered or sold so far: orders, worth, mean, and how often each category, city or way of
//! paying. The key and the configuration say which.

use std::collections::BTreeMap;

use sangam_sdk::*;
use serde::Deserialize;

/// How many values of a tally are told apart: they are all in the state of the key.
const VALUES_MAX: usize = 1_000;

/// What is known of a key.
#[event]
pub struct Standing {
    /// The key.
    pub key: String,
    /// Orders so far.
    pub orders: u64,
    /// What they were worth.
    pub revenue: f64,
    /// The mean of them.
    pub mean: f64,
    /// When the newest was placed.
    pub last_order: Millis,
    /// By tally, how often each value.
    pub counts: BTreeMap<String, BTreeMap<String, u64>>,
    /// By tally, the value that was most often; of equal ones the first in the alphabet.
    pub favourites: BTreeMap<String, String>,
    /// The sum of the terms; 0 without any.
    pub score: f64,
}

/// A limit that a key has gone beyond, once.
#[event]
pub struct Alert {
    /// What the limit is called.
    pub alert: String,
    /// The key.
    pub key: String,
    /// Orders so far.
    pub orders: u64,
    /// What they were worth.
    pub revenue: f64,
    /// The sum of the terms.
    pub score: f64,
}

/// Where it leaves.
#[outputs]
pub enum Out {
    /// After every order.
    Standings(Standing),
    /// Limits gone beyond.
    Alerts(Alert),
}

/// What is remembered of a key.
#[state]
pub struct Store {
    /// Orders so far.
    pub orders: u64,
    /// What they were worth.
    pub revenue: Money,
    /// When the newest was placed.
    pub last_order: Millis,
    /// How often each value, by tally.
    pub counts: BTreeMap<String, BTreeMap<String, u64>>,
    /// Names of the alerts that have been told.
    pub told: Vec<String>,
}

/// A part of the score.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { of = \"orders\", divided_by = 100, most = 30 }")]
pub struct Term {
    /// `orders`, `revenue`, or a tally, which counts its different values.
    pub of: String,
    /// How much one of them counts.
    #[serde(default = "one")]
    pub times: f64,
    /// Or how many of them count one.
    #[serde(default = "one")]
    pub divided_by: f64,
    /// The most that the term gives.
    pub most: f64,
}

fn one() -> f64 {
    1.0
}

/// A limit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { name = \"vip\", revenue_above = 100000 }")]
pub struct Limit {
    /// What it is called.
    pub name: String,
    /// More orders than this.
    pub orders_above: Option<u64>,
    /// More revenue than this.
    pub revenue_above: Option<f64>,
    /// A higher score than this.
    pub score_above: Option<f64>,
}

/// The configuration.
#[config]
pub struct OrderStores {
    /// The field, or the fields to be multiplied, that an order is worth.
    pub amount: Vec<String>,
    /// What is counted by value: a name, and the field.
    #[config(default)]
    pub tallies: BTreeMap<String, String>,
    /// What the score is made of.
    #[config(default)]
    pub score: Vec<Term>,
    /// Limits that are told once.
    #[config(default)]
    pub alerts: Vec<Limit>,
}

#[operator(keyed)]
impl OrderStores {
    /// The amount's fields, then the tallies'.
    pub fn fields(&self) -> Vec<FieldPath> {
        self.amount.iter().map(FieldPath::required).chain(self.tallies.values().map(FieldPath::optional)).collect()
    }

    /// Notes an order.
    pub fn on_event(&self, row: Row<'_>, store: &mut Store, ctx: &Context) -> Result<Vec<Out>> {
        let mut worth = 1.0;
        for place in 0..self.amount.len() {
            worth *= row.f64(place)?;
        }
        let worth = Money::new(worth).ok_or_else(|| reject(format!("{worth} is no amount of money")))?;
        for (name, place) in self.tallies.keys().zip(self.amount.len()..) {
            if let Some(value) = row.get::<Option<&str>>(place)? {
                let values = store.counts.entry(name.clone()).or_default();
                if values.len() < VALUES_MAX || values.contains_key(value) {
                    *values.entry(value.to_owned()).or_default() += 1;
                }
            }
        }
        store.last_order = if store.orders == 0 { ctx.time() } else { store.last_order.max(ctx.time()) };
        store.orders += 1;
        store.revenue += worth;

        let score = self.score.iter().map(|term| term.of(store)).sum();
        let mut out = vec![Out::Standings(store.standing(ctx.key(), score))];
        for limit in &self.alerts {
            if limit.is_exceeded(store, score) && !store.told.contains(&limit.name) {
                store.told.push(limit.name.clone());
                let (alert, key) = (limit.name.clone(), ctx.key().to_owned());
                out.push(Out::Alerts(Alert { alert, key, orders: store.orders, revenue: store.revenue.amount(), score }));
            }
        }
        Ok(out)
    }
}

impl Term {
    fn of(&self, store: &Store) -> f64 {
        let value = match self.of.as_str() {
            "orders" => store.orders as f64,
            "revenue" => store.revenue.amount(),
            tally => store.counts.get(tally).map_or(0, BTreeMap::len) as f64,
        };
        (value * self.times / self.divided_by).min(self.most)
    }
}

impl Limit {
    fn is_exceeded(&self, store: &Store, score: f64) -> bool {
        self.orders_above.is_none_or(|limit| store.orders > limit)
            && self.revenue_above.is_none_or(|limit| store.revenue.amount() > limit)
            && self.score_above.is_none_or(|limit| score > limit)
    }
}

impl Store {
    fn standing(&self, key: &str, score: f64) -> Standing {
        let favourite = |values: &BTreeMap<String, u64>| {
            let most = values.values().max()?;
            values.iter().find(|(_, count)| *count == most).map(|(value, _)| value.clone())
        };
        let favourites = self.counts.iter().filter_map(|(tally, values)| Some((tally.clone(), favourite(values)?)));
        Standing {
            key: key.to_owned(),
            orders: self.orders,
            revenue: self.revenue.amount(),
            mean: self.revenue.amount() / self.orders as f64,
            last_order: self.last_order,
            favourites: favourites.collect(),
            counts: self.counts.clone(),
            score,
        }
    }
}
