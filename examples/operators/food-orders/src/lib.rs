//! What an order of food must be, what its restaurant cooks, what is in it, and whether it looks strange.
//!
//! Restaurants come by the broadcast input, each from its own time on; an order meets what was known for its time.

use sangam_sdk::window::Zone;
use sangam_sdk::*;

/// An order as it was sent.
#[event]
pub struct RawOrder {
    /// Which order.
    pub order_id: String,
    /// Of whom.
    pub customer_id: String,
    /// From where.
    pub restaurant_id: String,
    /// What, each piece.
    pub items: Vec<String>,
    /// For how much.
    pub total_amount: f64,
    /// Where it goes to.
    pub delivery_area: String,
}

/// A restaurant as it is from now on.
#[event]
pub struct Restaurant {
    /// Which one.
    pub restaurant_id: String,
    /// What it cooks.
    pub cuisine: String,
}

/// An order that can be cooked.
#[event]
pub struct Order {
    /// Which order.
    pub order_id: String,
    /// Of whom.
    pub customer_id: String,
    /// From where.
    pub restaurant_id: String,
    /// What is cooked there; none where nobody has said.
    pub cuisine: Option<String>,
    /// Pieces.
    pub pieces: u64,
    /// For how much.
    pub total_amount: f64,
    /// Where it goes to.
    pub delivery_area: String,
}

/// A piece of an order.
#[event]
pub struct Item {
    /// Of which order.
    pub order_id: String,
    /// What.
    pub item: String,
    /// Always one.
    pub quantity: u64,
}

/// An order to be looked at.
#[event]
pub struct Suspicion {
    /// Which order.
    pub order_id: String,
    /// Of whom.
    pub customer_id: String,
    /// For how much.
    pub total_amount: f64,
    /// Pieces.
    pub pieces: u64,
}

/// Where it leaves.
#[outputs]
pub enum Out {
    /// Orders that can be cooked.
    Valid(Order),
    /// What is in them, one by one.
    Items(Item),
    /// Those to be looked at.
    Suspicious(Suspicion),
}

/// What every task knows.
#[state]
pub struct Restaurants {
    /// What each cooks.
    pub cuisines: Broadcast<String, String>,
}

/// The configuration.
#[config]
pub struct FoodOrders {
    /// An order is suspicious that is for more,
    pub amount_above: f64,
    /// has more pieces,
    pub items_above: u64,
    /// and comes before this hour.
    pub before_hour: f64,
    /// Where the clock hangs.
    pub zone: Zone,
}

#[operator(key = "restaurant_id")]
impl FoodOrders {
    /// Notes what a restaurant cooks.
    pub fn on_broadcast(&self, restaurant: Restaurant, known: &mut Restaurants, ctx: &Context) {
        known.cuisines.put(restaurant.restaurant_id, restaurant.cuisine, ctx);
    }

    /// Checks an order and takes it apart.
    pub fn on_event(&self, order: RawOrder, known: &Restaurants, ctx: &Context) -> Result<Vec<Out>> {
        let RawOrder { order_id, customer_id, restaurant_id, items, total_amount, delivery_area } = order;
        let amount = Money::new(total_amount).filter(|amount| *amount > Money::ZERO);
        let amount = amount.ok_or_else(|| reject(format!("an order is for more than nothing, not for {total_amount}")))?;
        if items.is_empty() {
            return Err(reject("an order has something in it"));
        }
        let pieces = items.len() as u64;
        let hour = self.zone.local(ctx.time()).rem_euclid(hours(24)) as f64 / hours(1) as f64;
        let mut out: Vec<Out> = Vec::with_capacity(items.len() + 1);
        if amount.amount() > self.amount_above && pieces > self.items_above && hour < self.before_hour {
            let (order_id, customer_id) = (order_id.clone(), customer_id.clone());
            out.push(Out::Suspicious(Suspicion { order_id, customer_id, total_amount, pieces }));
        }
        out.extend(items.into_iter().map(|item| Out::Items(Item { order_id: order_id.clone(), item, quantity: 1 })));
        let cuisine = known.cuisines.get(&restaurant_id, ctx.time()).cloned();
        out.push(Out::Valid(Order { order_id, customer_id, restaurant_id, cuisine, pieces, total_amount, delivery_area }));
        Ok(out)
    }
}
