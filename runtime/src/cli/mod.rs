//! The commands of `sangam`, one file each.

pub mod build;
pub mod inspect;
pub mod new;
