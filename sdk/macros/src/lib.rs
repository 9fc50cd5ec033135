//! The attributes of `sangam-sdk`: each parses what was written into a model, checks it, and emits calls into the SDK.
//!
//! No logic lives here: what the generated code does is ordinary code in `sangam-sdk`, and what the author wrote stays callable.

use proc_macro::TokenStream;
use syn::{DeriveInput, Item, ItemEnum, parse_macro_input};

mod config;
mod control;
mod event;
mod inputs;
mod model;
mod operator;
mod outputs;
mod params;
mod pattern;
mod state;
mod text;
mod window;

/// A struct that travels: an event to take, an event to emit, or a value inside one.
///
/// Field names are the names in the data. `#[event(rename = "x")]` and `#[event(path = "user.id")]` on a field say otherwise; an
/// `Option` may be missing. On an enum `#[event(tag = "kind")]` tells several event types apart by a field.
///
/// ```
/// use sangam_sdk::*;
///
/// #[event]
/// struct Payment<'a> {
///     id: &'a str,
///     #[event(path = "user.country")]
///     country: Option<&'a str>,
///     amount: f64,
/// }
/// #[event]
/// struct Refund { id: String }
///
/// #[event(tag = "kind")]
/// enum Movement<'a> {
///     Payment(Payment<'a>),
///     #[event(rename = "chargeback")]
///     Refund(Refund),
/// }
/// ```
#[proc_macro_attribute]
pub fn event(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    finish(event::expand(args.into(), item))
}

/// A struct that is remembered for a key, between events and restarts.
///
/// It is stored by position: a new field goes to the end and reads as its default from older state; any other change needs another
/// version and a function that reads the earlier ones, `#[state(version = 2, migrate = from_old)]`. Equal to `Default` means deleted.
///
/// `#[state(ttl = "1h")]` forgets a key that has not been written for an hour of event time; with `ttl_from = "read"`, one that has had
/// no event.
///
/// ```
/// use sangam_sdk::*;
///
/// #[state]
/// struct Seen { count: u64, last: Vec<String> }
///
/// #[state(ttl = "24h", ttl_from = "read")]
/// struct Session { clicks: u64 }
/// ```
#[proc_macro_attribute]
pub fn state(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    finish(state::expand(args.into(), item))
}

/// A struct that an operator is configured with, from the pipeline's `config` table.
///
/// ```
/// use sangam_sdk::*;
///
/// #[config]
/// struct Limit {
///     max: f64,
///     #[config(default = "EUR")]
///     currency: String,
///     note: Option<String>,
/// }
/// ```
#[proc_macro_attribute]
pub fn config(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    finish(config::expand(args.into(), item))
}

/// An enum with one variant per output port; the port is the variant's name in snake case.
///
/// ```
/// use sangam_sdk::*;
///
/// #[event] struct Refusal { why: String }
///
/// #[outputs]
/// enum Route {
///     Accepted(Forward),
///     #[outputs(rename = "rejected")]
///     Refused(Refusal),
/// }
/// ```
#[proc_macro_attribute]
pub fn outputs(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as ItemEnum);
    finish(outputs::expand(args.into(), item))
}

/// An enum with one variant per input; the input is the variant's name in snake case.
///
/// An operator takes it by value, where one with a single input takes its event. A variant carries an `#[event]` struct or enum, or
/// `Raw`. The key is the same for all of them, `key = "user"`, or one for each, `key(orders = "user", payments = "payer.id")`.
///
/// ```
/// use sangam_sdk::*;
///
/// #[event] struct Order<'a> { user: &'a str, total: f64 }
/// #[event] struct Payment { user: String, amount: f64 }
///
/// #[inputs]
/// enum In<'a> {
///     Orders(Order<'a>),
///     #[inputs(rename = "paid")]
///     Payments(Payment),
/// }
/// ```
#[proc_macro_attribute]
pub fn inputs(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as ItemEnum);
    finish(inputs::expand(args.into(), item))
}

/// A function, or an `impl`, that is an operator: its signature is the declaration.
///
/// By value = the event; `&mut T` = its state for the key; `&T` = its configuration; `&mut Context` = time and timers; what it
/// returns is what it emits. An impl with `fn on_broadcast(&self, rule: Rule, rules: &mut Rules)` has a broadcast input: every task gets its
/// events, and the other methods read what it keeps, `rules: &Rules`. Arguments: `key = "field"` or `key = "city, category"`, `key(orders = "user", payments = "payer.id")` where
/// it differs between inputs, `keyed` where the pipeline names the key,
/// `window = "1m"` and `lateness = "5s"` on an impl with `add` and `close`.
///
/// ```
/// use sangam_sdk::*;
///
/// #[event] struct Order { id: u64, total: f64 }
/// #[config] struct Limit { max: f64 }
///
/// #[operator]
/// fn cheap(order: Order, limit: &Limit) -> Option<Order> {
///     (order.total <= limit.max).then_some(order)
/// }
/// assert!(cheap(Order { id: 1, total: 5.0 }, &Limit { max: 9.0 }).is_some());
/// ```
#[proc_macro_attribute]
pub fn operator(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as Item);
    finish(operator::expand(args.into(), item))
}

fn finish(expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expanded.unwrap_or_else(|error| error.to_compile_error()).into()
}
