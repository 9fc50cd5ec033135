//! The lives of the states in one batch: each is looked at before a call gets its state, and again after it.
//!
//! What a life is, and when it is over, stands in `ttl`; nothing here costs anything where states live for ever.

use sangam_protocol::Millis;

use super::Batch;
use crate::field::Encode;
use crate::operator::Operator;
use crate::state::State;
use crate::timers::{Fired, Timers};
use crate::ttl::{self, After, Life, Ttl, TtlClock};
use crate::{Result, cells, stored};

impl<O: Operator> Batch<'_, '_, O> {
    /// Forgets the state of a slot if its time is over at `now`, whether or not the event that found out is refused.
    #[inline]
    pub(super) fn expire(&mut self, number: u32, now: Millis) -> Result<()> {
        let Some(ttl) = O::State::TTL else { return Ok(()) };
        let place = number as usize;
        let (Some(slot), Some(life)) = (self.slots.get_mut(place), self.lives.get_mut(place)) else { return Ok(()) };
        if slot.state.is_none() {
            self.scratch.clear();
            slot.state(number)?.encode(self.scratch);
            *life = Life::stored(slot.bytes.and_then(stored::used), self.scratch);
        }
        if life.is_over(ttl, now) {
            let mut state = O::State::default();
            if O::State::HANDLES {
                // A handle that is new here clears the cells of the old one.
                state.settle_all(number)?;
                cells::keep();
            }
            slot.state = Some(state);
            let armed = life.end(self.blank);
            if armed {
                self.ttl_timers().change(number, ttl::TIMER, None);
            }
        }
        Ok(())
    }

    /// The timer of a state's life has fired: the state is over, or lives on because it was used since.
    pub(super) fn end_of_life(&mut self, fired: &Fired) -> Result<()> {
        let Some(ttl) = O::State::TTL else { return Ok(()) };
        self.expire(fired.slot, fired.at)?;
        if let Some(at) = self.lives.get(fired.slot as usize).and_then(|life| life.again(ttl)) {
            self.ttl_timers().change(fired.slot, ttl::TIMER, Some(at));
        }
        Ok(())
    }

    /// A call at `now` has used the state of a slot; `changed` where it wrote cells, or says that it wrote.
    #[inline]
    pub(super) fn live(&mut self, number: u32, now: Millis, changed: bool) {
        let Some(ttl) = O::State::TTL else { return };
        let place = number as usize;
        let (Some(state), Some(life)) = (self.slots.get(place).and_then(|slot| slot.state.as_ref()), self.lives.get_mut(place)) else {
            return;
        };
        self.scratch.clear();
        state.encode(self.scratch);
        let after = life.after(ttl, now, self.scratch, self.blank, changed);
        match after {
            After::Nothing => {}
            After::Wake(at) => self.ttl_timers().change(number, ttl::TIMER, Some(at)),
            After::Cancel => self.ttl_timers().change(number, ttl::TIMER, None),
        }
    }

    /// What the clock of the state's life shows, where event time is `at`.
    #[inline]
    pub(super) fn ttl_now(&self, at: Millis) -> Millis {
        match O::State::TTL {
            Some(Ttl { clock: TtlClock::Processing, .. }) => self.clock,
            _ => at,
        }
    }

    /// The timers of the kind of time that the state's life counts.
    fn ttl_timers(&mut self) -> &mut Timers {
        match O::State::TTL {
            Some(Ttl { clock: TtlClock::Processing, .. }) => self.clock_timers,
            _ => self.timers,
        }
    }
}
