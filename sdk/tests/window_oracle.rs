//! Windows of every kind against a model that remembers every event and tries every window, on random events, watermarks and batches.
//!
//! The model shares nothing with the library but the definition: no slices, no timers, no state.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

#[path = "support/any_window.rs"]
mod any_window;

use any_window::{Found, Gathered, Item, Settings, harness};
use proptest::prelude::*;
use sangam_sdk::test::Harness;
use sangam_sdk::window::{Kind, Trigger, WindowSpec};
use sangam_sdk::{Encode, Millis};

#[derive(Clone, Copy, Debug)]
enum Step {
    Event(Millis),
    Watermark(Millis),
}

/// `(start, end, time of the result, numbers of its events)`.
type Result = (Millis, Millis, Millis, Vec<i64>);

/// What is known of the definition, in plain numbers.
#[derive(Clone, Copy, Debug)]
struct Rules {
    kind: Kind,
    offset: Millis,
    lateness: Millis,
    trigger: Trigger,
}

impl Rules {
    fn spec(self) -> WindowSpec {
        WindowSpec::new(self.kind).offset(self.offset).lateness(self.lateness).trigger(self.trigger)
    }

    /// Whether the definition has the window `[start, end)`; of sliding windows, whether these events make it one.
    fn has(self, start: Millis, end: Millis, times: &[Millis]) -> bool {
        let on_grid = |pitch: Millis| (start - self.offset).rem_euclid(pitch) == 0;
        match self.kind {
            Kind::Tumbling { size } => end - start == size && on_grid(size),
            Kind::Hopping { size, slide } => end - start == size && on_grid(slide),
            Kind::Cumulate { size, step } => on_grid(size) && end - start <= size && (end - start) % step == 0,
            Kind::Sliding { size } => end - start == size + 1 && (times.contains(&(end - 1)) || times.contains(&(start - 1))),
            _ => false,
        }
    }
}

/// A window of the model.
#[derive(Clone, Debug)]
struct Open {
    start: Millis,
    end: Millis,
    /// Numbers of its events, those that have not been purged.
    events: Vec<i64>,
    count: u64,
    early: Option<Millis>,
    /// Nothing has come since the last early result.
    told: bool,
}

struct Model {
    windows: Vec<Open>,
    /// Time of each event that was not late, for sliding windows, by its number.
    taken: Vec<(Millis, i64)>,
    results: Vec<Result>,
    late: Vec<usize>,
    /// Where the watermark stands.
    passed: Millis,
}

impl Model {
    fn run(rules: Rules, steps: &[Step]) -> Model {
        let mut model = Model { windows: Vec::new(), taken: Vec::new(), results: Vec::new(), late: Vec::new(), passed: Millis::MIN };
        let (mut watermark, mut number) = (Millis::MIN, 0);
        for step in steps {
            match *step {
                Step::Watermark(next) => {
                    watermark = watermark.max(next);
                    model.pass(rules, watermark);
                }
                Step::Event(time) => {
                    if !model.event(rules, time, number, watermark) {
                        model.late.push(number as usize);
                    }
                    number += 1;
                    model.pass(rules, watermark);
                }
            }
        }
        model
    }

    fn event(&mut self, rules: Rules, time: Millis, number: i64, watermark: Millis) -> bool {
        let over = |end: Millis| end - 1 + rules.lateness <= watermark;
        match rules.kind {
            Kind::Sliding { size } => {
                if over(time + size + 1) {
                    return false;
                }
                let known: Vec<Millis> = self.taken.iter().map(|(time, _)| *time).collect();
                self.taken.push((time, number));
                for start in time - size..=time + 1 {
                    let end = start + size + 1;
                    let opens = start == time + 1 && !known.contains(&time) && !rules.has(start, end, &known);
                    self.slide(rules, start, watermark, start <= time || opens);
                }
                return true;
            }
            Kind::Session { gap } => {
                let touches = |open: &Open| open.start <= time + gap && open.end >= time;
                let joined = self.windows.iter().filter(|open| touches(open));
                let (start, end) = joined.fold((time, time + gap), |(start, end), open| (start.min(open.start), end.max(open.end)));
                if over(end) {
                    return false;
                }
                let mut all = Open { start, end, events: Vec::new(), count: 0, early: None, told: false };
                let marks =
                    |told: bool| self.windows.iter().filter(|open| touches(open) && open.told == told).filter_map(|open| open.early).min();
                all.told = marks(false).is_none() && marks(true).is_some();
                all.early = marks(false).or(marks(true));
                self.windows.retain(|open| {
                    if touches(open) {
                        all.events.extend(&open.events);
                        all.count += open.count;
                    }
                    !touches(open)
                });
                self.windows.push(all);
                self.touch(rules, start, end, time, number, watermark);
            }
            Kind::Global => {
                if self.windows.is_empty() {
                    self.windows.push(Open {
                        start: Millis::MIN,
                        end: Millis::MAX,
                        events: Vec::new(),
                        count: 0,
                        early: None,
                        told: false,
                    });
                }
                self.touch(rules, Millis::MIN, Millis::MAX, time, number, watermark);
            }
            Kind::Count { size, slide } => {
                self.taken.push((time, number));
                if (self.taken.len() as u64).is_multiple_of(slide) {
                    let last: Vec<_> = self.taken.iter().rev().take(size as usize).collect();
                    let (start, end) =
                        (last.iter().map(|event| event.0).min().unwrap(), last.iter().map(|event| event.0).max().unwrap() + 1);
                    self.results.push((start, end, end - 1, sorted(last.iter().map(|event| event.1))));
                }
            }
            Kind::Batch { span, count } => {
                let moment = time.max(watermark.saturating_add(1));
                // In `taken` is what the open batch has.
                if self.taken.first().is_some_and(|(start, _)| moment >= start + span) {
                    self.end_batch(Some(span));
                }
                self.taken.push((moment, number));
                if self.taken.len() as u64 == count {
                    self.end_batch(None);
                }
            }
            _ => {
                let mut late = true;
                for start in time - 60..=time {
                    for end in time + 1..=time + 60 {
                        if rules.has(start, end, &[]) && !over(end) {
                            late = false;
                            if !self.windows.iter().any(|open| (open.start, open.end) == (start, end)) {
                                self.windows.push(Open { start, end, events: Vec::new(), count: 0, early: None, told: false });
                            }
                            self.touch(rules, start, end, time, number, watermark);
                        }
                    }
                }
                return !late;
            }
        }
        true
    }

    /// Ends the open batch: because its time is over, or because it is full.
    fn end_batch(&mut self, span: Option<Millis>) {
        let start = self.taken[0].0;
        let latest = self.taken.iter().map(|event| event.0).max().unwrap();
        let end = span.map_or(latest + 1, |span| start + span);
        self.results.push((start, end, end - 1, sorted(self.taken.drain(..).map(|event| event.1))));
    }

    /// Puts an event into a window.
    fn touch(&mut self, rules: Rules, start: Millis, end: Millis, time: Millis, number: i64, watermark: Millis) {
        let trigger = rules.trigger;
        let open = self.windows.iter_mut().find(|open| (open.start, open.end) == (start, end)).unwrap();
        open.events.push(number);
        open.count += 1;
        if trigger.early > 0 && open.last() > watermark {
            let after = |time: Millis| Some(time.div_euclid(trigger.early) * trigger.early + trigger.early);
            open.early = match open.early {
                None => after(time.max(watermark)),
                Some(early) if early <= watermark => after(watermark),
                early => early,
            };
            open.told = false;
        }
        let full = trigger.count > 0 && open.count >= trigger.count;
        if full {
            open.count = 0;
        }
        if full || trigger.close && open.last() <= watermark {
            let fired = open.fire(trigger);
            self.results.extend(fired);
        }
    }

    /// Emits a sliding window, if an event that came changes what has been or must be told of it.
    fn slide(&mut self, rules: Rules, start: Millis, watermark: Millis, changed: bool) {
        let Kind::Sliding { size } = rules.kind else { return };
        let end = start + size + 1;
        let times: Vec<Millis> = self.taken.iter().map(|(time, _)| *time).collect();
        let told = !rules.trigger.close || end - 1 <= watermark;
        if changed && told && end - 1 + rules.lateness > watermark && rules.has(start, end, &times) {
            self.tell(start, end);
        }
    }

    fn tell(&mut self, start: Millis, end: Millis) {
        let events = sorted(self.taken.iter().filter(|(time, _)| (start..end).contains(time)).map(|(_, number)| *number));
        if !events.is_empty() {
            self.results.push((start, end, end - 1, events));
        }
    }

    /// Everything that happens up to a watermark: what has happened already does not happen again.
    fn pass(&mut self, rules: Rules, watermark: Millis) {
        let (trigger, before) = (rules.trigger, std::mem::replace(&mut self.passed, watermark));
        for open in &mut self.windows {
            if let Some(early) = open.early.filter(|early| !open.told && *early <= watermark && *early < open.last()) {
                self.results.extend(open.fire(trigger));
                (open.early, open.told) = (Some(early + trigger.early), true);
            }
            if trigger.close && (before.saturating_add(1)..=watermark).contains(&open.last()) {
                self.results.extend(open.fire(trigger));
            }
        }
        if let (Kind::Batch { span, .. }, Some((start, _))) = (rules.kind, self.taken.first())
            && start + span - 1 <= watermark
        {
            self.end_batch(Some(span));
        }
        self.windows.retain(|open| open.last().saturating_add(rules.lateness) > watermark);
        if let (Kind::Sliding { size }, true) = (rules.kind, trigger.close) {
            let times: Vec<Millis> = self.taken.iter().map(|(time, _)| *time).collect();
            for last in before.saturating_add(1).max(-1_000)..=watermark.min(1_000) {
                if rules.has(last - size, last + 1, &times) {
                    self.tell(last - size, last + 1);
                }
            }
        }
    }
}

impl Open {
    fn last(&self) -> Millis {
        if self.end == Millis::MAX { self.end } else { self.end - 1 }
    }

    fn fire(&mut self, trigger: Trigger) -> Option<Result> {
        if self.events.is_empty() {
            return None;
        }
        let events = sorted(self.events.iter().copied());
        if trigger.purge {
            self.events.clear();
        }
        Some((self.start, self.end, self.last(), events))
    }
}

fn sorted(numbers: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut numbers: Vec<i64> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (-40i64..140).prop_map(Step::Event),
        1 => (-40i64..160).prop_map(Step::Watermark),
    ];
    prop::collection::vec(step, 1..50)
}

/// Mostly in order, so that windows stay open and slices are many.
fn flow() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0i64..6, 0i64..8, any::<bool>()), 1..60).prop_map(|moves| {
        let mut now = -20;
        let steps = moves.into_iter().flat_map(|(pass, behind, marks)| {
            now += pass;
            [Some(Step::Event(now - behind)), marks.then_some(Step::Watermark(now - 4))]
        });
        steps.flatten().collect()
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let kind = prop_oneof![
        (1i64..20).prop_map(|size| Kind::Tumbling { size }),
        (1i64..24, 1i64..24).prop_map(|(a, b)| Kind::Hopping { size: a.max(b), slide: a.min(b) }),
        (1i64..12, 1i64..6).prop_map(|(step, times)| Kind::Cumulate { size: step * times, step }),
        (1i64..16).prop_map(|size| Kind::Sliding { size }),
        (1i64..16).prop_map(|gap| Kind::Session { gap }),
        (1u64..9, 1u64..9).prop_map(|(a, b)| Kind::Count { size: a.max(b), slide: a.min(b) }),
        (1i64..30, 1u64..9).prop_map(|(span, count)| Kind::Batch { span, count }),
        Just(Kind::Global),
    ];
    let trigger = prop_oneof![
        3 => Just(Trigger::on_close()),
        2 => Just(Trigger::on_update()),
        1 => (1u64..5).prop_map(Trigger::on_count),
        1 => (2i64..20).prop_map(|every| Trigger::on_close().early(every)),
        1 => Just(Trigger::on_close().purging()),
        1 => (1u64..4).prop_map(|count| Trigger { count, ..Trigger::on_close().early(7).purging() }),
    ];
    let rules = (kind, -20i64..20, prop_oneof![Just(0i64), 0i64..30], trigger);
    rules
        .prop_map(|(kind, offset, lateness, trigger)| Rules { kind, offset, lateness, trigger })
        .prop_filter("no such windows", |rules| rules.spec().check().is_ok())
}

/// `(results, late events, state and timers before time ends)` of the library.
fn library(rules: Rules, steps: &[Step], cut: impl Fn(usize) -> bool) -> (Vec<Result>, Vec<usize>, String) {
    let mut h = harness(&rules.spec(), usize::MAX);
    let mut number = 0;
    for (i, step) in steps.iter().enumerate() {
        match step {
            Step::Event(time) => {
                h.send(*time, Item { key: "k".into(), number, text: String::new() });
                number += 1;
            }
            Step::Watermark(watermark) => {
                h.advance(*watermark);
            }
        }
        if cut(i) {
            h.reload(Settings(rules.spec()));
        }
    }
    let kept = format!("{:?} {:?}", h.state("k"), h.timers("k"));
    h.end();
    assert!(h.is_idle(), "something is left");
    let results = h.outputs().iter().map(|sent| {
        let found: Found = sent.decode();
        (found.start, found.end, sent.time, found.numbers)
    });
    (results.collect(), h.late().iter().map(|late| late.event).collect(), kept)
}

fn check(rules: Rules, mut steps: Vec<Step>, cuts: &[bool]) -> std::result::Result<(), TestCaseError> {
    steps.dedup_by(|second, first| matches!((first, second), (Step::Watermark(_), Step::Watermark(_))));
    let mut closed = steps.clone();
    closed.push(Step::Watermark(Millis::MAX));
    let mut model = Model::run(rules, &closed);
    let one_by_one = library(rules, &steps, |_| true);
    prop_assert_eq!(&library(rules, &steps, |_| false), &one_by_one, "all in one batch");
    prop_assert_eq!(&library(rules, &steps, |i| cuts[i % cuts.len()]), &one_by_one, "in random batches");
    let (mut results, late, _) = one_by_one;
    prop_assert_eq!(late, model.late, "late events");
    results.sort();
    model.results.sort();
    prop_assert_eq!(results, model.results);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn random_events_give_what_a_model_gives_that_tries_every_window(rules in rules(), steps in steps(), cuts in prop::collection::vec(any::<bool>(), 60)) {
        check(rules, steps, &cuts)?;
    }

    #[test]
    fn events_that_come_nearly_in_order_do_so_too(rules in rules(), steps in flow(), cuts in prop::collection::vec(any::<bool>(), 60)) {
        check(rules, steps, &cuts)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_definition_that_changes_leaves_nothing_behind_and_loses_no_event(
        before in rules(),
        after in rules(),
        steps in flow(),
        at in 0usize..60,
    ) {
        // Each event in a result, or late: not with purging or counts, which keep events to themselves.
        let plain = |rules: Rules| Rules { trigger: Trigger::on_close(), ..rules };
        let (before, after) = (plain(before), plain(after));
        prop_assume!(!matches!(before.kind, Kind::Count { .. }) && !matches!(after.kind, Kind::Count { .. }));
        let mut seen = Vec::new();
        for cut in [true, false] {
            let mut h = harness(&before.spec(), usize::MAX);
            let mut number = 0;
            for (i, step) in steps.iter().enumerate() {
                match step {
                    Step::Event(time) => {
                        h.send(*time, Item { key: "k".into(), number, text: String::new() });
                        number += 1;
                    }
                    Step::Watermark(watermark) => {
                        h.advance(*watermark);
                    }
                }
                if i == at {
                    h.reload(Settings(after.spec()));
                } else if cut {
                    h.flush();
                }
            }
            h.end();
            prop_assert!(h.is_idle(), "something is left");
            let mut found: Vec<i64> = h.take::<Found>("out").into_iter().flat_map(|found| found.numbers).collect();
            found.extend(h.late().iter().map(|late| late.event as i64));
            found.sort_unstable();
            found.dedup();
            // A sliding window whose end has passed is not emitted for an event behind the watermark, nor ever, if nothing else comes.
            let sliding = [before.kind, after.kind].iter().any(|kind| matches!(kind, Kind::Sliding { .. }));
            prop_assert!(sliding || found == (0..number).collect::<Vec<_>>(), "{found:?} of {number}");
            seen.push(found);
        }
        prop_assert_eq!(&seen[0], &seen[1]);
    }
}

/// Windows by the clock on the wall: what the library emits is each window of `windows_at`, with the events that have it.
#[test]
fn windows_go_by_the_wall_clock_while_it_is_changed() {
    let minute = 60_000;
    let specs = [
        WindowSpec::tumbling(60 * minute),
        WindowSpec::tumbling(24 * 60 * minute),
        WindowSpec::hopping(120 * minute, 30 * minute),
        WindowSpec::hopping(90 * minute, 60 * minute),
        WindowSpec::cumulate(24 * 60 * minute, 60 * minute),
    ];
    // New York: forward at 2024-03-10 07:00 UTC, back at 2024-11-03 06:00 UTC. Lord Howe Island: by half an hour, 2024-04-06 15:00 UTC.
    for (zone, change) in
        [("America/New_York", 1_710_054_000_000), ("America/New_York", 1_730_613_600_000), ("Australia/Lord_Howe", 1_712_415_600_000)]
    {
        for spec in &specs {
            let spec = spec.clone().zone(zone).unwrap();
            let times: Vec<Millis> = (-30..30).map(|i| change + i * 10 * minute).collect();
            let mut expected: Vec<(Millis, Millis, Vec<i64>)> = Vec::new();
            for (number, time) in times.iter().enumerate() {
                for window in spec.windows_at(*time) {
                    assert!((window.start..window.end).contains(time), "{window:?} has not {time}");
                    match expected.iter_mut().find(|(start, end, _)| (*start, *end) == (window.start, window.end)) {
                        Some((_, _, events)) => events.push(number as i64),
                        None => expected.push((window.start, window.end, vec![number as i64])),
                    }
                }
            }
            expected.sort();
            for batch in [1, 7, 1_000] {
                let mut h = harness(&spec, batch);
                for (number, time) in times.iter().enumerate() {
                    h.send(*time, Item { key: "k".into(), number: number as i64, text: String::new() }).advance(time - 5 * minute);
                }
                h.end();
                let times: Vec<Millis> = h.outputs().iter().map(|sent| sent.time).collect();
                assert!(times.is_sorted(), "results come in order of time");
                let mut found: Vec<_> = h.take::<Found>("out").into_iter().map(|found| (found.start, found.end, found.numbers)).collect();
                found.sort();
                assert_eq!(found, expected, "{zone} at {change} in batches of {batch}: {:?}", spec.kind());
                assert!(h.is_idle() && h.late().is_empty());
            }
        }
    }
}

fn item(number: i64) -> Item {
    Item { key: "k".into(), number, text: String::new() }
}

/// One event for each of the first `slices` slices of a millisecond.
fn sliced(size: Millis, slices: i64) -> Harness<Gathered> {
    let mut h = harness(&WindowSpec::hopping(size, 1), 1);
    for time in 0..slices {
        h.send(time, item(time));
    }
    h
}

#[test]
fn what_travels_with_every_batch_does_not_grow_with_the_number_of_slices() {
    let bytes = |slices| {
        let mut bytes = Vec::new();
        sliced(1_000, slices).state("k").unwrap().encode(&mut bytes);
        bytes.len()
    };
    assert_eq!(bytes(61), bytes(4));
    assert!(bytes(61) < 40, "{} bytes", bytes(61));
}

#[test]
fn an_event_for_a_slice_that_was_folded_long_ago_is_in_all_its_windows() {
    let mut h = sliced(10, 10);
    h.send(2, item(100)).send(0, item(101)).end();
    let found: Vec<Found> = h.take("out");
    assert_eq!(found.len(), 19);
    for window in found {
        let in_it = |time: Millis| (window.start..window.end).contains(&time);
        let late = [(2, 100), (0, 101)].into_iter().filter(|(time, _)| in_it(*time)).map(|(_, number)| number);
        let mut numbers: Vec<i64> = (0..10).filter(|time| in_it(*time)).chain(late).collect();
        numbers.sort_unstable();
        assert_eq!(window.numbers, numbers, "{} to {}", window.start, window.end);
    }
    assert!(h.is_idle());
}

#[test]
fn slices_of_an_earlier_definition_are_not_lost_when_the_first_event_of_the_new_one_is_late() {
    let mut h = sliced(10, 6);
    h.advance(3).reload(Settings(WindowSpec::tumbling(2)));
    h.send(1, item(7)).flush();
    assert_eq!(h.late().len(), 1);
    h.end();
    assert_eq!(h.take::<Found>("out").into_iter().map(|found| found.count).sum::<u64>(), 60);
    assert!(h.is_idle(), "something is left");
}
