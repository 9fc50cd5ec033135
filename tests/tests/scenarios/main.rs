//! The scenarios: each file is one promise of the program, kept under conditions that break others.

mod count_guest;
mod hostile_guest;
