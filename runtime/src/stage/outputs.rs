//! What a stage lets out: a run of events per port, and the events that it could not take.

use crate::events::Events;
use crate::sandbox::Plugin;
use std::sync::Arc;

/// What a stage lets out in one run.
#[derive(Debug, Default)]
pub struct Outputs {
    /// One run of events per output port, in the order of emission.
    pub ports: Vec<Events>,
    /// Events that came after their windows had closed, as they came.
    pub late: Events,
    /// Events that were refused, as they came, with the reason in their headers.
    pub dead_letters: Events,
    /// Events that were refused and have another operator to go to; otherwise the same.
    pub fallback: Events,
    /// Where each of them went, in the order in which it happened over all ports: however the input is cut into runs, this order is
    /// the same.
    pub order: Vec<Way>,
    /// A new build was taken back on the way: so many of the first in `order` are that build's.
    pub taken_back: Option<(usize, Arc<Plugin>)>,
}

/// A way out of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// An output port.
    Port(u16),
    /// The late events.
    Late,
    /// The dead letters.
    DeadLetter,
    /// Another operator.
    Fallback,
}

impl Outputs {
    /// Room for `ports` ports.
    pub fn new(ports: usize) -> Outputs {
        Outputs { ports: (0..ports).map(|_| Events::default()).collect(), ..Outputs::default() }
    }

    /// The events that went one way.
    pub fn way(&self, way: Way) -> Option<&Events> {
        match way {
            Way::Port(port) => self.ports.get(usize::from(port)),
            Way::Late => Some(&self.late),
            Way::DeadLetter => Some(&self.dead_letters),
            Way::Fallback => Some(&self.fallback),
        }
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.ports.iter_mut().for_each(Events::clear);
        self.late.clear();
        self.dead_letters.clear();
        self.fallback.clear();
        self.order.clear();
        self.taken_back = None;
    }
}
