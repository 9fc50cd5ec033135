use sangam_sdk::*;

#[state(ttl_from = "read")]
struct Seen {
    count: u64,
}

fn main() {}
