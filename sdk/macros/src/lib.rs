//! The attributes of `sangam-sdk`: each parses what was written into a model, checks it, and emits calls into the SDK.
//!
//! No logic lives here: what the generated code does is ordinary code in `sangam-sdk`, and what the author wrote stays callable.

use proc_macro::TokenStream;
use syn::{DeriveInput, Item, ItemEnum, parse_macro_input};

mod config;
mod event;
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
/// It is stored by position: a new field goes to the end and reads as its default from older state; any other change needs
/// `#[state(version = 2)]`. Equal to `Default` means deleted.
///
/// ```
/// use sangam_sdk::*;
///
/// #[state]
/// struct Seen { count: u64, last: Vec<String> }
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

/// A function, or an `impl`, that is an operator: its signature is the declaration.
///
/// By value = the event; `&mut T` = its state for the key; `&T` = its configuration; `&mut Context` = time and timers; what it
/// returns is what it emits. Arguments: `key = "field"` or `key = "city, category"`, `keyed` where the pipeline names the key,
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
