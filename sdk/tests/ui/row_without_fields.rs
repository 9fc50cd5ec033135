use sangam_sdk::*;

#[operator]
fn pick(row: Row<'_>) -> Option<Forward> {
    None
}

fn main() {}
