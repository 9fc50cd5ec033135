//! Brings each step of an order to those who act on it.

use sangam_sdk::*;

/// A step of an order.
#[event]
pub struct Step<'a> {
    /// What has happened.
    pub event_type: &'a str,
    /// Where it goes to.
    pub delivery_city: Option<&'a str>,
}

/// Who gets to know, each the event as it came.
#[outputs]
pub enum Out {
    /// Stock to be taken.
    Inventory(Forward),
    /// What else the customer may like.
    Recommendations(Forward),
    /// Whose goods were sold.
    Sellers(Forward),
    /// Places that are hard to reach.
    Logistics(Forward),
    /// Paid: to be packed.
    Fulfilment(Forward),
    /// Paid: to be booked.
    Revenue(Forward),
    /// How deliveries go.
    DeliveryMetrics(Forward),
    /// Who may be asked for a review.
    ReviewRequests(Forward),
}

/// The configuration.
#[config]
pub struct OrderRoutes {
    /// Places that are hard to reach.
    #[config(default)]
    pub remote: Vec<String>,
}

#[operator]
impl OrderRoutes {
    /// Sorts a step. One that nobody acts on, such as `shipped`, goes nowhere.
    pub fn on_event(&self, step: Step<'_>) -> Vec<Out> {
        match step.event_type {
            "order_placed" => {
                let mut out = vec![Out::Inventory(Forward), Out::Recommendations(Forward), Out::Sellers(Forward)];
                if step.delivery_city.is_some_and(|city| self.remote.iter().any(|remote| remote == city)) {
                    out.push(Out::Logistics(Forward));
                }
                out
            }
            "payment_success" => vec![Out::Fulfilment(Forward), Out::Revenue(Forward)],
            "delivered" => vec![Out::DeliveryMetrics(Forward), Out::ReviewRequests(Forward)],
            _ => Vec::new(),
        }
    }
}
