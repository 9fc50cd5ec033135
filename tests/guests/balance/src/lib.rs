//! What each user owes: orders and payments, by two inputs with keys of their own.

use sangam_sdk::*;

/// Something bought.
#[event]
pub struct Order<'a> {
    /// Who.
    pub user: &'a str,
    /// For how much.
    pub total: i64,
}

/// Something paid.
#[event]
pub struct Payment {
    /// Who, one level down.
    #[event(path = "payer.id")]
    pub payer: String,
    /// How much.
    pub amount: i64,
}

/// What the operator takes.
#[inputs]
pub enum In<'a> {
    /// Input `orders`.
    Orders(Order<'a>),
    /// Input `paid`.
    #[inputs(rename = "paid")]
    Payments(Payment),
}

/// What a user owes now.
#[event]
pub struct Balance {
    /// Who.
    pub user: String,
    /// How much.
    pub open: i64,
}

/// What is remembered of a user.
#[state]
pub struct Account {
    /// What is owed.
    pub open: i64,
}

/// Adds up.
#[operator(key(orders = "user", paid = "payer.id"))]
pub fn balance(event: In<'_>, account: &mut Account) -> Balance {
    let user = match event {
        In::Orders(order) => {
            account.open += order.total;
            order.user.to_owned()
        }
        In::Payments(payment) => {
            account.open -= payment.amount;
            payment.payer
        }
    };
    Balance { user, open: account.open }
}
