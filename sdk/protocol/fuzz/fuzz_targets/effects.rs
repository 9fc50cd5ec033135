//! The host's decoder, on any bytes: the first four say how large the frame was that they answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sangam_protocol::effects::{Answering, EffectLimits, Effects};

#[path = "../walk.rs"]
mod walk;

fuzz_target!(|input: (u8, u8, u8, u8, &[u8])| {
    let (events, slots, timers, ports, bytes) = input;
    let answering =
        Answering { events: usize::from(events), slots: usize::from(slots), timers: usize::from(timers), ports: usize::from(ports) };
    if let Ok(effects) = Effects::read(bytes, answering, &EffectLimits::default()) {
        walk::checked(&effects, answering);
    }
});
