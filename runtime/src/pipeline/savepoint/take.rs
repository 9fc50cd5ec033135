//! Takes a savepoint of a store that holds still: a snapshot, so that the pipeline may go on meanwhile.

use super::super::Brokers;
use super::super::ledger::Ledger;
use super::under_way::UnderWay;
use super::{Depot, FORMAT, SavedOperator, SavedPosition, SavedSwap, Savepoint, SavepointError};
use crate::sandbox::Plugin;
use crate::store::{Snapshot, Store};
use crate::task::{POSITIONS, SCHEMAS, Topology, is_state, read_place};
use crate::time::Millis;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What a savepoint is to be of: all of it belongs to one commit.
pub struct Take {
    /// What is known of it before its parts are written.
    savepoint: Savepoint,
    /// The builds that ran.
    plugins: Vec<Arc<Plugin>>,
    /// The text of the pipeline's file.
    text: String,
    snapshot: Box<dyn Snapshot>,
    under_way: UnderWay,
}

/// What a savepoint is called, and why it is taken.
pub struct Label {
    pub name: String,
    pub why: String,
    pub swap: Option<SavedSwap>,
}

/// The name of the pipeline's file in a savepoint.
const FILE: &str = "pipeline.toml";

impl Take {
    /// Notes down all that belongs to the last commit; what is written to the store later changes nothing.
    pub fn new(
        label: Label,
        text: &str,
        (topology, brokers, ledger): (&Topology, &Brokers, Option<&Ledger>),
        store: &dyn Store,
        now: Millis,
    ) -> Result<Take, SavepointError> {
        let mut operators = Vec::new();
        for node in &topology.operators {
            let slices = topology.groups.get(node.group).map(|group| group.parallelism).filter(|_| node.is_keyed());
            let schema = store.get(SCHEMAS, node.name.as_bytes())?.and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
            operators.push(SavedOperator {
                name: node.name.to_string(),
                plugin: node.plugin_name.clone(),
                sha256: node.plugin.sha256().to_owned(),
                version: node.plugin.manifest().version.clone(),
                slices,
                schema,
            });
        }
        let savepoint = Savepoint {
            format: FORMAT,
            name: label.name,
            pipeline: topology.name.clone(),
            created_ms: now,
            why: label.why,
            sangam: env!("CARGO_PKG_VERSION").to_owned(),
            operators,
            positions: Vec::new(),
            under_way: BTreeMap::new(),
            swap: label.swap,
            entries: 0,
            bytes: 0,
            parts: Vec::new(),
            files: Vec::new(),
        };
        let plugins = topology.operators.iter().map(|node| node.plugin.clone()).collect();
        let under_way = UnderWay::new(topology, brokers, store, ledger)?;
        Ok(Take { savepoint, plugins, text: text.to_owned(), snapshot: store.snapshot()?, under_way })
    }

    /// Gives it a name that no other savepoint has: its own, or that with a number.
    pub fn find_a_name(&mut self, depot: &Depot) -> Result<(), SavepointError> {
        let (base, taken) = (self.savepoint.name.clone(), depot.names()?);
        let numbered = (2..).map(|number: u32| format!("{base}.{number}"));
        let free = std::iter::once(base.clone()).chain(numbered).find(|name| !taken.contains(name));
        self.savepoint.name = free.unwrap_or(base);
        Ok(())
    }

    /// Writes it. After an error what there is of it counts for nothing.
    pub fn write(self, depot: &Depot) -> Result<Savepoint, SavepointError> {
        let mut writing = depot.write(self.savepoint)?;
        writing.file(FILE, self.text.into_bytes())?;
        for plugin in &self.plugins {
            writing.build(plugin.sha256(), plugin.bytes())?;
        }
        let mut positions = Vec::new();
        for space in self.snapshot.spaces()?.iter().filter(|space| is_state(space)) {
            let mut failed = None;
            self.snapshot.scan(space, &[], &mut |key, value| {
                if space == POSITIONS {
                    positions.extend(position(key, value));
                }
                match writing.entry(space, key, value) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(why) => {
                        failed = Some(why);
                        ControlFlow::Break(())
                    }
                }
            })?;
            if let Some(why) = failed {
                return Err(why);
            }
        }
        self.under_way.save(&mut writing)?;
        writing.finish(positions)
    }
}

fn position(key: &[u8], value: &[u8]) -> Option<SavedPosition> {
    let ((stream, partition), (offset, watermark_ms)) = read_place(key, value)?;
    Some(SavedPosition { stream: stream.to_owned(), partition, offset, watermark_ms })
}
