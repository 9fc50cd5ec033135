use sangam_sdk::*;

#[event]
struct Click { page: String }

#[event]
enum Activity {
    Click(Click),
}

fn main() {}
