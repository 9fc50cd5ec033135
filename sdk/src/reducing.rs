//! `Reducing` and `Aggregating`: fields of a state that take values in and keep what they amount to.
//!
//! They travel with the state; they know no key and no time.

use std::fmt;
use std::marker::PhantomData;

use sangam_protocol::msgpack::Reader;

use crate::field::{Encode, Field};
use crate::wrong::Wrong;

/// How two values become one of the same type. [`Sum`], [`Min`], [`Max`], [`First`] and [`Last`] are there already.
pub trait Reduce<T>: 'static {
    /// `new` came after everything that `so_far` stands for.
    fn reduce(so_far: T, new: T) -> T;
}

/// A value that others are reduced into: Flink's reducing state.
///
/// ```
/// use sangam_sdk::*;
///
/// #[state] struct Prices { sum: Reducing<i64, Sum>, highest: Reducing<f64, Max> }
///
/// let mut prices = Prices::default();
/// for price in [3, 5] {
///     prices.sum.add(price);
///     prices.highest.add(price as f64);
/// }
/// assert_eq!((prices.sum.get(), prices.highest.get()), (Some(&8), Some(&5.0)));
/// prices.sum.clear();
/// assert_eq!(prices.sum.get(), None);
/// ```
pub struct Reducing<T, R> {
    value: Option<T>,
    rule: PhantomData<R>,
}

impl<T, R: Reduce<T>> Reducing<T, R> {
    /// Takes a value in.
    pub fn add(&mut self, new: T) {
        self.value = Some(match self.value.take() {
            Some(so_far) => R::reduce(so_far, new),
            None => new,
        });
    }

    /// What there is so far; `None` before the first value.
    pub fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// Takes what there is so far, and starts anew.
    pub fn take(&mut self) -> Option<T> {
        self.value.take()
    }

    /// Starts anew.
    pub fn clear(&mut self) {
        self.value = None;
    }
}

/// Adds. Integers stop at the highest or lowest that there is.
#[derive(Clone, Copy, Debug)]
pub struct Sum;

/// Keeps the least; among equal ones the first. Of two floats that do not compare, the earlier one stays.
#[derive(Clone, Copy, Debug)]
pub struct Min;

/// Keeps the greatest; among equal ones the first. Of two floats that do not compare, the earlier one stays.
#[derive(Clone, Copy, Debug)]
pub struct Max;

/// Keeps the first.
#[derive(Clone, Copy, Debug)]
pub struct First;

/// Keeps the last.
#[derive(Clone, Copy, Debug)]
pub struct Last;

macro_rules! sums {
    ($($type:ident)*) => {$(
        impl Reduce<$type> for Sum {
            fn reduce(so_far: $type, new: $type) -> $type {
                so_far.saturating_add(new)
            }
        }
    )*};
}

sums!(u8 u16 u32 u64 i8 i16 i32 i64);

impl Reduce<f64> for Sum {
    fn reduce(so_far: f64, new: f64) -> f64 {
        so_far + new
    }
}

impl Reduce<f32> for Sum {
    fn reduce(so_far: f32, new: f32) -> f32 {
        so_far + new
    }
}

impl<T: PartialOrd> Reduce<T> for Min {
    fn reduce(so_far: T, new: T) -> T {
        if new < so_far { new } else { so_far }
    }
}

impl<T: PartialOrd> Reduce<T> for Max {
    fn reduce(so_far: T, new: T) -> T {
        if new > so_far { new } else { so_far }
    }
}

impl<T> Reduce<T> for First {
    fn reduce(so_far: T, _new: T) -> T {
        so_far
    }
}

impl<T> Reduce<T> for Last {
    fn reduce(_so_far: T, new: T) -> T {
        new
    }
}

/// How values of one type are gathered into something of another, and what comes of that. [`Average`] is there already.
pub trait Gather: 'static {
    /// What is taken in.
    type Value;
    /// What is kept: a field type, say a `#[state]` struct.
    type Kept: Encode + for<'a> Field<'a> + Default + Clone + PartialEq + fmt::Debug;
    /// What comes of it.
    type Result;

    /// Takes a value in.
    fn add(kept: &mut Self::Kept, value: Self::Value);
    /// What it amounts to, of at least one value.
    fn result(kept: &Self::Kept) -> Self::Result;
}

/// Values gathered into something else: Flink's aggregating state.
///
/// ```
/// use sangam_sdk::*;
///
/// struct Spread;
/// impl Gather for Spread {
///     type Value = i64;
///     type Kept = (i64, i64);
///     type Result = i64;
///     fn add(kept: &mut (i64, i64), value: i64) {
///         *kept = if *kept == (0, 0) { (value, value) } else { (kept.0.min(value), kept.1.max(value)) };
///     }
///     fn result(kept: &(i64, i64)) -> i64 { kept.1 - kept.0 }
/// }
///
/// #[state] struct Delays { mean: Aggregating<Average>, spread: Aggregating<Spread> }
///
/// let mut delays = Delays::default();
/// for delay in [30, 10, 20] {
///     delays.mean.add(delay as f64);
///     delays.spread.add(delay);
/// }
/// assert_eq!((delays.mean.get(), delays.spread.get()), (Some(20.0), Some(20)));
/// ```
pub struct Aggregating<G: Gather> {
    kept: Option<G::Kept>,
}

impl<G: Gather> Aggregating<G> {
    /// Takes a value in.
    pub fn add(&mut self, value: G::Value) {
        G::add(self.kept.get_or_insert_default(), value);
    }

    /// What there is so far; `None` before the first value.
    pub fn get(&self) -> Option<G::Result> {
        self.kept.as_ref().map(G::result)
    }

    /// What is kept.
    pub fn kept(&self) -> Option<&G::Kept> {
        self.kept.as_ref()
    }

    /// Starts anew.
    pub fn clear(&mut self) {
        self.kept = None;
    }
}

/// The mean of floats.
#[derive(Clone, Copy, Debug)]
pub struct Average;

impl Gather for Average {
    type Value = f64;
    /// Sum and number.
    type Kept = (f64, u64);
    type Result = f64;

    fn add(kept: &mut (f64, u64), value: f64) {
        kept.0 += value;
        kept.1 += 1;
    }

    fn result(kept: &(f64, u64)) -> f64 {
        kept.0 / kept.1 as f64
    }
}

// === as fields of a state ===

impl<T, R> Default for Reducing<T, R> {
    fn default() -> Self {
        Reducing { value: None, rule: PhantomData }
    }
}

impl<T: Clone, R> Clone for Reducing<T, R> {
    fn clone(&self) -> Self {
        Reducing { value: self.value.clone(), rule: PhantomData }
    }
}

impl<T: PartialEq, R> PartialEq for Reducing<T, R> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: fmt::Debug, R> fmt::Debug for Reducing<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: Encode, R> Encode for Reducing<T, R> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.value.encode(out);
    }
}

impl<'a, T: Field<'a>, R> Field<'a> for Reducing<T, R> {
    const KIND: &'static str = T::KIND;
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        Ok(Reducing { value: Option::decode(reader)?, rule: PhantomData })
    }
}

impl<G: Gather> Default for Aggregating<G> {
    fn default() -> Self {
        Aggregating { kept: None }
    }
}

impl<G: Gather> Clone for Aggregating<G> {
    fn clone(&self) -> Self {
        Aggregating { kept: self.kept.clone() }
    }
}

impl<G: Gather> PartialEq for Aggregating<G> {
    fn eq(&self, other: &Self) -> bool {
        self.kept == other.kept
    }
}

impl<G: Gather> fmt::Debug for Aggregating<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kept.fmt(f)
    }
}

impl<G: Gather> Encode for Aggregating<G> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.kept.encode(out);
    }
}

impl<'a, G: Gather> Field<'a> for Aggregating<G> {
    const KIND: &'static str = <G::Kept as Field<'static>>::KIND;
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        Ok(Aggregating { kept: Option::decode(reader)? })
    }
}
