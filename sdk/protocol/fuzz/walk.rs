//! Walks over everything that a decoder has accepted; shared by the fuzz targets and by `tests/decoders.rs`.
#![allow(dead_code, reason = "no user of this file calls everything")]

use sangam_protocol::effects::{Answering, Cause, Effects, Emit, OutputKey};
use sangam_protocol::frame::Frame;

/// Reads every entry of a frame. Returns how many events, sound slots and sound timers there were.
pub fn frame(frame: &Frame<'_>) -> (usize, usize, usize) {
    let mut events = frame.events();
    let mut sound_events = 0;
    for i in 0..frame.len() {
        // The columns have been checked against the number of events, so that each entry is there.
        let _ = (frame.time(i), frame.watermark_before(i), frame.slot(i), frame.kind(i));
        if events.value().is_err() {
            break;
        }
        sound_events += 1;
    }
    let _ = (frame.time(usize::MAX / 8), frame.kind(usize::MAX));
    (sound_events, frame.keys().flatten().count(), frame.timers().chain(frame.clock_timers()).flatten().count())
}

/// Reads every entry of effects and counts them.
pub fn effects(effects: &Effects<'_>) -> usize {
    effects.emits().count()
        + effects.states().count()
        + effects.timers().count()
        + effects.clock_timers().count()
        + effects.rejects().count()
        + effects.counters().count()
        + effects.cells().count()
}

/// The same, and holds the decoder to its promise: what it accepted names only what is there, and all of it can be walked.
pub fn checked(read: &Effects<'_>, answering: Answering) {
    assert_eq!(read.emits().count(), read.emit_count());
    assert_eq!(read.rejects().count(), read.reject_count());
    let slot = |slot: u32| assert!((slot as usize) < answering.slots);
    for emit in read.emits() {
        let (port, place, places) = match emit {
            Emit::Forward { port, event } | Emit::Simple { port, event, .. } => (port, event, answering.events),
            Emit::Full { port, cause, key, .. } => {
                if let OutputKey::Slot(of) = key {
                    slot(of);
                }
                match cause {
                    Cause::Event(event) => (port, event, answering.events),
                    Cause::TimerBefore(event) => (port, event, answering.events + 1),
                }
            }
        };
        assert!((port as usize) < answering.ports && (place as usize) < places);
    }
    read.states().for_each(|(of, _)| slot(of));
    read.timers().chain(read.clock_timers()).for_each(|(of, _, _)| slot(of));
    read.cells().for_each(|(of, _, _)| slot(of));
    assert!(read.rejects().all(|(event, _, _)| (event as usize) < answering.events));
    effects(read);
}
