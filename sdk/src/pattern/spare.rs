//! Lists that are used again: a batch reads the matches of a thousand keys, and each would take its memory from the allocator and give it
//! back.
//!
//! It holds memory and no values: what a list held is gone when it comes here.

use std::any::Any;
use std::cell::RefCell;

use sangam_protocol::Millis;

/// Lists of each kind that are kept, for more keys than a batch has.
const KEPT: usize = 4_096;

/// A list with room for more than this is given back.
const ROOM_MAX: usize = 64;

type Table = Vec<[u32; 3]>;
type Events<E> = Vec<(Millis, E)>;

thread_local! {
    static TABLES: RefCell<Vec<Table>> = const { RefCell::new(Vec::new()) };
    /// A `Vec<Events<E>>`, of the one `E` that an operator has; a test with several begins anew for each.
    static EVENTS: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// An empty table.
pub(super) fn table() -> Table {
    TABLES.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// An empty list of events.
pub(super) fn events<E: 'static>() -> Events<E> {
    EVENTS.with_borrow_mut(|spare| spare.as_mut()?.downcast_mut::<Vec<Events<E>>>()?.pop()).unwrap_or_default()
}

/// Takes lists that are not needed any more.
pub(super) fn give<E: 'static>(events: &mut Events<E>, table: &mut Table) {
    // A thread that ends has no place for them.
    if (1..=ROOM_MAX).contains(&table.capacity()) {
        table.clear();
        let _ = TABLES.try_with(|tables| push(&mut *tables.borrow_mut(), std::mem::take(table)));
    }
    if (1..=ROOM_MAX).contains(&events.capacity()) {
        // Before the list is borrowed: an event may hold what comes here too.
        events.clear();
        let _ = EVENTS.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            let known = spare.as_ref().is_some_and(|spare| spare.is::<Vec<Events<E>>>());
            if !known {
                *spare = Some(Box::new(Vec::<Events<E>>::new()));
            }
            if let Some(lists) = spare.as_mut().and_then(|spare| spare.downcast_mut::<Vec<Events<E>>>()) {
                push(lists, std::mem::take(events));
            }
        });
    }
}

fn push<T>(lists: &mut Vec<T>, list: T) {
    if lists.len() < KEPT {
        lists.push(list);
    }
}
