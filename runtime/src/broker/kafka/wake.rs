//! Wakes the thread of a subscription when there is something for it to do.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// A call that is not lost when nobody waits yet.
#[derive(Debug, Default)]
pub(super) struct Wake {
    called: Mutex<bool>,
    condition: Condvar,
}

impl Wake {
    /// Ends the current wait, or the next one.
    pub(super) fn call(&self) {
        *self.called.lock() = true;
        self.condition.notify_one();
    }

    /// Returns when called, at the latest after `longest`.
    pub(super) fn wait(&self, longest: Duration) {
        let mut called = self.called.lock();
        if !*called {
            self.condition.wait_for(&mut called, longest);
        }
        *called = false;
    }
}
