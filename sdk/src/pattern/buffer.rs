//! The paths of partial matches through the events that they hold: each event is stored once, each path is a chain.
//!
//! A chain leads from a path's last event back to its first; partial matches that share a beginning share its nodes. A node has one node
//! before it, so a path needs no version number to be told from another (SASE's and Flink's buffers merge nodes and do). It knows no
//! states and no conditions.

use sangam_protocol::Millis;

/// No node: nothing has been taken yet.
pub(super) const NONE: u32 = u32::MAX;

/// A node: the step that the event was taken for, the number of the event, the node before.
pub(super) type Node = [u32; 3];

/// Held events and the nodes over them.
pub(super) struct Paths<'m, E> {
    events: &'m [(Millis, E)],
    nodes: &'m [Node],
}

impl<E> Clone for Paths<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Paths<'_, E> {}

impl<'m, E> Paths<'m, E> {
    pub(super) fn new(events: &'m [(Millis, E)], nodes: &'m [Node]) -> Self {
        Paths { events, nodes }
    }

    /// Time of an event.
    pub(super) fn time(self, event: u32) -> Option<Millis> {
        self.events.get(event as usize).map(|(time, _)| *time)
    }

    /// Time of the last event of a path.
    pub(super) fn last_time(self, node: u32) -> Option<Millis> {
        let [_, event, _] = self.nodes.get(node as usize)?;
        self.time(*event)
    }

    /// The path that ends at `node`, from its last event to its first: step, number, time and event.
    pub(super) fn back(self, node: u32) -> impl Iterator<Item = (u32, u32, Millis, &'m E)> {
        let mut next = node;
        std::iter::from_fn(move || {
            let [step, number, before] = *self.nodes.get(next as usize)?;
            // A path leads back in time; a stored one that does not would never end.
            next = if before < next { before } else { NONE };
            let (time, event) = self.events.get(number as usize)?;
            Some((step, number, *time, event))
        })
    }
}

/// Where nodes and events go when what no path holds is forgotten. Kept for its memory.
#[derive(Default)]
pub(super) struct Sweep {
    nodes: Vec<u32>,
    events: Vec<u32>,
}

impl Sweep {
    /// Finds what the paths that end at `ends` hold.
    pub(super) fn mark(&mut self, nodes: &[Node], events: usize, ends: impl Iterator<Item = u32>) {
        self.nodes.clear();
        self.nodes.resize(nodes.len(), NONE);
        self.events.clear();
        self.events.resize(events, NONE);
        for end in ends {
            let mut at = end;
            while let (Some(mark), Some([_, event, before])) = (self.nodes.get_mut(at as usize), nodes.get(at as usize)) {
                if *mark != NONE {
                    break;
                }
                *mark = 0;
                if let Some(mark) = self.events.get_mut(*event as usize) {
                    *mark = 0;
                }
                at = if *before < at { *before } else { NONE };
            }
        }
        number(&mut self.nodes);
        number(&mut self.events);
    }

    /// The new number of a node; [`NONE`] where it is forgotten.
    pub(super) fn node(&self, node: u32) -> u32 {
        self.nodes.get(node as usize).copied().unwrap_or(NONE)
    }

    /// The new number of an event.
    pub(super) fn event(&self, event: u32) -> u32 {
        self.events.get(event as usize).copied().unwrap_or(NONE)
    }
}

/// Numbers what is marked.
fn number(marks: &mut [u32]) {
    for (next, mark) in marks.iter_mut().filter(|mark| **mark != NONE).enumerate() {
        *mark = next as u32;
    }
}
