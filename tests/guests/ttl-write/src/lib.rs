//! Keeps a value that expires a hundred milliseconds after it was last written.

#[macro_use]
mod keeper;

keeper!(state(ttl = "100ms"));
