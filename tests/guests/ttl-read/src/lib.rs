//! Keeps a value that expires a hundred milliseconds after it was last written or asked for.

#[macro_use]
#[path = "../../ttl-write/src/keeper.rs"]
mod keeper;

keeper!(state(ttl = "100ms", ttl_from = "read"));
