//! What is left of a product, and what sells.

use sangam_sdk::*;

/// A sale.
#[event]
pub struct Sale {
    /// How many pieces.
    pub quantity: u64,
}

/// A delivery into the store.
#[event]
pub struct Delivery {
    /// How many pieces.
    pub added: u64,
}

/// What comes in.
#[inputs]
pub enum In {
    /// Input `sales`.
    Sales(Sale),
    /// Input `deliveries`.
    Deliveries(Delivery),
}

/// How a product stands.
#[event]
pub struct Level {
    /// Which product.
    pub product: String,
    /// Pieces sold so far.
    pub sold: u64,
    /// Pieces left; less than 0 where more were sold than there were.
    pub left: i64,
}

/// A product to be looked at.
#[event]
pub struct Alert {
    /// `low_stock` or `high_demand`.
    pub alert: String,
    /// Which product.
    pub product: String,
    /// Pieces sold so far.
    pub sold: u64,
    /// Pieces left.
    pub left: i64,
}

/// Where it leaves.
#[outputs]
pub enum Out {
    /// After every sale and delivery.
    Levels(Level),
    /// Once, and once more after what was low has been filled up.
    Alerts(Alert),
}

/// A product.
#[state]
pub struct Product {
    /// Pieces sold.
    pub sold: u64,
    /// Pieces added to the first ones.
    pub added: u64,
    /// Whether it has been told to be low.
    pub is_low: bool,
    /// Whether it has been told to sell well.
    pub is_hot: bool,
}

/// The configuration.
#[config]
pub struct Stock {
    /// Pieces at the beginning.
    #[config(default = 100i64)]
    pub initial: i64,
    /// So many pieces or fewer are low.
    pub low_at_most: i64,
    /// More pieces sold are high demand; left out: none is.
    pub hot_above: Option<u64>,
}

#[operator(keyed)]
impl Stock {
    /// Notes a sale or a delivery.
    pub fn on_event(&self, event: In, product: &mut Product, ctx: &Context) -> Vec<Out> {
        match event {
            In::Sales(Sale { quantity }) => product.sold = product.sold.saturating_add(quantity),
            In::Deliveries(Delivery { added }) => product.added = product.added.saturating_add(added),
        }
        let left = self.initial.saturating_add_unsigned(product.added).saturating_sub_unsigned(product.sold);
        let (low, hot) = (left <= self.low_at_most, self.hot_above.is_some_and(|limit| product.sold > limit));
        let (name, sold) = (ctx.key().to_owned(), product.sold);
        let alert = |alert: &str| Out::Alerts(Alert { alert: alert.to_owned(), product: name.clone(), sold, left });
        let mut out = Vec::with_capacity(1);
        if low && !product.is_low {
            out.push(alert("low_stock"));
        }
        if hot && !product.is_hot {
            out.push(alert("high_demand"));
        }
        (product.is_low, product.is_hot) = (low, hot);
        out.push(Out::Levels(Level { product: name, sold, left }));
        out
    }
}
