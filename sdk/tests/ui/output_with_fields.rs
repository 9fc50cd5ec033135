use sangam_sdk::*;

#[outputs]
enum Route {
    Accepted { id: u64 },
}

fn main() {}
