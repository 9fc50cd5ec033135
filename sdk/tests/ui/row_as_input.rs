use sangam_sdk::*;

#[inputs]
enum In<'a> {
    Orders(Raw<'a>),
    Payments(Row<'a>),
}

fn main() {}
