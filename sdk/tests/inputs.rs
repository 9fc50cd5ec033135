//! Several inputs: each brings events of its own type under its own key, and all of them meet in the state of a key.

use proptest::prelude::*;
use sangam_protocol::manifest::Manifest;
use sangam_sdk::test::Harness;
use sangam_sdk::*;

#[event]
struct Order<'a> {
    user: &'a str,
    total: i64,
}
#[event]
struct Payer {
    id: String,
}
#[event]
struct Payment {
    payer: Payer,
    amount: i64,
}
#[event]
struct Refund {
    payer: Payer,
    amount: i64,
}
#[event(tag = "kind")]
enum Money {
    Payment(Payment),
    Refund(Refund),
}
#[event]
struct Open {
    user: String,
    amount: i64,
}
#[state]
struct Account {
    open: i64,
    notes: u64,
}

#[inputs]
enum In<'a> {
    Orders(Order<'a>),
    #[inputs(rename = "money")]
    MoneyComing(Money),
    Notes(Raw<'a>),
}

#[operator(key(orders = "user", money = "payer.id", notes = "user"))]
fn balance(event: In<'_>, account: &mut Account, ctx: &Context) -> Option<Open> {
    match event {
        In::Orders(order) => account.open += order.total,
        In::MoneyComing(Money::Payment(payment)) => account.open -= payment.amount,
        In::MoneyComing(Money::Refund(refund)) => account.open += refund.amount,
        In::Notes(note) => {
            account.notes += note.bytes().len() as u64;
            return None;
        }
    }
    Some(Open { user: ctx.key().to_owned(), amount: account.open })
}

#[event]
struct Seen {
    user: String,
}
#[inputs]
enum Both {
    Left(Seen),
    Right(Seen),
}
#[operator(key = "user")]
fn sides(event: Both, account: &mut Account) -> Option<Open> {
    account.open += match &event {
        Both::Left(_) => 1,
        Both::Right(_) => 10,
    };
    let (Both::Left(seen) | Both::Right(seen)) = event;
    Some(Open { user: seen.user, amount: account.open })
}

fn payer(id: &str) -> Payer {
    Payer { id: id.to_owned() }
}

#[test]
fn events_of_all_inputs_meet_under_their_key() {
    let mut h = Harness::<balance>::new();
    h.send_to("orders", 0, Order { user: "ann", total: 30 });
    h.send_to("orders", 1, Order { user: "bob", total: 5 });
    h.send_to("money", 2, Money::Payment(Payment { payer: payer("ann"), amount: 20 }));
    h.send_to("money", 3, Money::Refund(Refund { payer: payer("ann"), amount: 1 }));
    h.send_raw_to("notes", 4, b"\x81\xa4user\xa3ann");
    let open: Vec<(String, i64)> = h.take::<Open>("out").into_iter().map(|open| (open.user, open.amount)).collect();
    assert_eq!(open, [("ann".to_owned(), 30), ("bob".to_owned(), 5), ("ann".to_owned(), 10), ("ann".to_owned(), 11)]);
    assert_eq!(h.state("ann"), Some(Account { open: 11, notes: 10 }));
}

#[test]
fn the_same_event_type_on_two_inputs_is_told_apart_by_the_input() {
    let mut h = Harness::<sides>::new();
    let seen = || Seen { user: "ann".into() };
    h.send_to("left", 0, seen()).send_to("right", 0, seen()).send_to("left", 0, seen());
    assert_eq!(h.state("ann"), Some(Account { open: 12, notes: 0 }));
}

#[test]
fn an_event_that_lacks_the_key_of_its_input_is_refused() {
    let mut h = Harness::<balance>::new();
    h.send_to("money", 0, Order { user: "ann", total: 30 });
    assert_eq!(h.rejects()[0].why, "the key field `payer.id` is missing");
}

#[test]
fn the_manifest_lists_the_inputs_and_their_keys() {
    let manifest: Manifest = serde_json::from_str(<balance as Operator>::MANIFEST).unwrap();
    manifest.check().unwrap();
    let names: Vec<&str> = manifest.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, ["orders", "money", "notes"]);
    let first_types: Vec<usize> = (0..4).map(|i| manifest.first_type(i)).collect();
    assert_eq!(first_types, [0, 1, 3, 4]);
    assert_eq!(manifest.key_of(1), ["payer.id"]);
    let manifest: Manifest = serde_json::from_str(<sides as Operator>::MANIFEST).unwrap();
    manifest.check().unwrap();
    assert_eq!((manifest.key_of(0), manifest.key_of(1)), (&["user".to_owned()][..], &["user".to_owned()][..]));
}

#[test]
#[should_panic(expected = "the operator has the inputs left, right: use send_to(\"left\", ..)")]
fn a_test_must_say_which_input_it_means() {
    Harness::<sides>::new().send(0, Seen { user: "ann".into() });
}

proptest! {
    #[test]
    fn batching_is_invisible_across_inputs(events in prop::collection::vec((0..3u8, 0..3u8, 1..9i64), 0..40), n in 1..20usize) {
        let run = |batch| {
            let mut h = Harness::<balance>::new().batch(batch);
            for (time, (input, user, amount)) in events.iter().enumerate() {
                let (time, user, amount) = (time as i64, format!("u{user}"), *amount);
                match input {
                    0 => h.send_to("orders", time, Order { user: &user, total: amount }),
                    1 => h.send_to("money", time, Money::Payment(Payment { payer: payer(&user), amount })),
                    _ => h.send_to("money", time, Money::Refund(Refund { payer: payer(&user), amount })),
                };
            }
            let states: Vec<_> = h.keys().into_iter().map(|key| h.state(&key)).collect();
            (h.outputs().to_vec(), states)
        };
        prop_assert_eq!(run(n), run(1));
    }
}
