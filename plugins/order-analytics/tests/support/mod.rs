//! Runs the operator with a configuration as a pipeline writes it, and shows what comes out as text.

#![allow(dead_code, reason = "shared by the tests of the plugin")]

use order_analytics::{OrderAnalytics, Settings};
use sangam_sdk::test::Harness;
use sangam_sdk::{Config, Millis};
use serde_json::{Value, json};

/// The operator under test.
pub type Orders = Harness<OrderAnalytics>;

/// Reads a configuration.
pub fn read(config: &Value) -> Result<Settings, String> {
    Settings::read(&rmp_serde::to_vec_named(config).unwrap())
}

/// The operator with a configuration.
pub fn with(config: &Value) -> Orders {
    Harness::with(read(config).unwrap())
}

/// An order.
pub fn order(city: &str, category: &str, amount: f64) -> Value {
    json!({ "city": city, "category": category, "amount": amount })
}

/// Sends an event.
pub fn send(h: &mut Orders, time: Millis, event: &Value) {
    h.send_raw(time, &rmp_serde::to_vec_named(event).unwrap());
}

/// What came out of a port since the last look.
pub fn take(h: &mut Orders, port: &str) -> Vec<Value> {
    h.take::<sangam_sdk::Value>(port).iter().map(|value| rmp_serde::from_slice(value.bytes()).unwrap()).collect()
}

/// `start..end name orders revenue` of a group; its name is what `names` say, in this order.
pub fn group(value: &Value, names: &[&str]) -> String {
    let name: Vec<&str> = names.iter().map(|name| value[*name].as_str().unwrap()).collect();
    format!("{}..{} {} {} {}", value["window_start"], value["window_end"], name.join("/"), value["orders"], value["revenue"])
}

/// Groups by city and category.
pub fn groups(h: &mut Orders) -> Vec<String> {
    take(h, "groups").iter().map(|value| group(value, &["city", "category"])).collect()
}

/// `start..end open|closed orders revenue: name orders revenue, …` of a top.
pub fn top(value: &Value, names: &[&str]) -> String {
    let seller = |seller: &Value| {
        let name: Vec<&str> = names.iter().map(|name| seller[*name].as_str().unwrap()).collect();
        format!("{} {} {}", name.join("/"), seller["orders"], seller["revenue"])
    };
    let sellers: Vec<String> = value["groups"].as_array().unwrap().iter().map(seller).collect();
    let word = if value["closed"].as_bool().unwrap() { "closed" } else { "open" };
    format!("{}..{} {word} {} {}: {}", value["window_start"], value["window_end"], value["orders"], value["revenue"], sellers.join(", "))
}

/// Tops by city and category.
pub fn tops(h: &mut Orders) -> Vec<String> {
    take(h, "top").iter().map(|value| top(value, &["city", "category"])).collect()
}
