//! What `#[operator]` makes of a function or an `impl`.

use crate::config::Config;
use crate::emit::Emitter;
use crate::event::{Event, FieldPath};
use crate::state::State;
use crate::{Context, Result, Timer};

/// An operator. Written by `#[operator]`; nobody implements it by hand.
pub trait Operator: Sized + 'static {
    /// What it is configured with.
    type Config: Config;
    /// What it takes.
    type Event<'a>: Event<'a>;
    /// What it remembers for a key.
    type State: State;

    /// The manifest, as JSON.
    const MANIFEST: &'static str;
    /// Whether it has a key.
    const KEYED: bool;
    /// Whether it can refuse an event after it has changed the state.
    const FALLIBLE: bool;
    /// Whether it has `on_timer`. One that has not carries none of the code for timers.
    const TIMERS: bool = false;
    /// Whether it asks for processing time: `ctx.now()` and timers by the clock.
    const PROCESSING_TIME: bool = false;
    /// Whether it has `on_batch_end`.
    const BATCH_END: bool = false;
    /// Whether its fields depend on its configuration.
    const DYNAMIC: bool = false;

    /// Handles one event.
    fn on_event(
        config: &Self::Config,
        event: Self::Event<'_>,
        state: &mut Self::State,
        ctx: &mut Context<'_>,
        out: &mut Emitter<'_>,
    ) -> Result<()>;

    /// Handles one timer.
    fn on_timer(
        _config: &Self::Config,
        _timer: Timer<'_>,
        _state: &mut Self::State,
        _ctx: &mut Context<'_>,
        _out: &mut Emitter<'_>,
    ) -> Result<()> {
        Ok(())
    }

    /// Ends a batch, once for every key that had an event in it.
    fn on_batch_end(_config: &Self::Config, _state: &mut Self::State, _ctx: &mut Context<'_>, _out: &mut Emitter<'_>) -> Result<()> {
        Ok(())
    }

    /// The fields that it wants, where they depend on the configuration.
    fn fields(_config: &Self::Config) -> Vec<FieldPath> {
        Vec::new()
    }
}
