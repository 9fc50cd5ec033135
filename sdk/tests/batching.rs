//! Batching is invisible: any split of the same input gives the same outputs, states, timers and rejects.

use proptest::prelude::*;
use sangam_sdk::test::{Harness, Rejected, Sent};
use sangam_sdk::*;

#[event]
struct Order {
    key: String,
    /// What to do, so that a random event covers everything that an operator can do.
    act: u8,
    value: i64,
}

#[event]
struct Note {
    text: String,
    count: u64,
}

#[outputs]
enum Out {
    Passed(Forward),
    Noted(Note),
    Placed(Output<Note>),
}

#[state]
struct Memory {
    count: u64,
    last: Vec<i64>,
    cells: Map<i64, i64>,
    queue: List<i64>,
}

#[config]
struct Everything;

const NAMES: [&str; 3] = ["a", "b", "chain"];

#[operator(key = "key")]
impl Everything {
    fn on_event(&self, order: Order, memory: &mut Memory, ctx: &mut Context) -> Result<Vec<Out>> {
        // Changes come first, so that a refusal below has something to take back.
        memory.count += 1;
        memory.last.push(order.value);
        memory.cells.insert(order.value % 5, memory.count as i64);
        memory.queue.push(order.value);
        ctx.count("seen", 1);
        let name = NAMES[order.value.unsigned_abs() as usize % 3];
        let note = |text: &str| Note { text: text.into(), count: memory.count };
        Ok(match order.act {
            0 => {
                ctx.wake(name, ctx.time() - 10);
                vec![Out::Noted(note("past"))]
            }
            1 => {
                ctx.wake(name, ctx.time() + order.value.abs());
                vec![Out::Passed(Forward)]
            }
            2 => {
                ctx.cancel(name);
                vec![]
            }
            3 => {
                ctx.wake(name, ctx.watermark().saturating_add(3));
                ctx.wake(name, ctx.watermark().saturating_add(3));
                ctx.cancel(name);
                ctx.wake(name, ctx.time() + 7);
                vec![Out::Placed(Output::new(note("own")).at(order.value).key("k").header("h", b"v"))]
            }
            4 => {
                ctx.wake("refused", ctx.time());
                return Err(reject("no"));
            }
            5 => return Err(late("late")),
            6 => {
                *memory = Memory::default();
                vec![Out::Noted(Note { text: "reset".into(), count: 0 })]
            }
            7 => {
                memory.cells.remove(&(order.value % 5));
                memory.queue.pop_front();
                memory.queue.pop();
                let text = format!("{:?} {:?}", memory.cells.iter().collect::<Vec<_>>(), memory.queue.iter().collect::<Vec<_>>());
                vec![Out::Noted(note(&text))]
            }
            _ => {
                memory.cells.clear();
                memory.last.clear();
                vec![Out::Noted(note("cleared")), Out::Passed(Forward)]
            }
        })
    }

    fn on_timer(&self, timer: Timer, memory: &mut Memory, ctx: &mut Context) -> Vec<Out> {
        memory.last.push(timer.at());
        memory.queue.push(timer.at());
        if timer.name() == "chain" && memory.last.len() < 40 {
            ctx.wake("chain", timer.at() + 5);
            ctx.wake("a", timer.at() + 2);
        }
        if timer.name() == "b" {
            ctx.cancel("a");
        }
        vec![Out::Noted(Note {
            text: format!("{}@{} under {}", timer.name(), timer.at(), ctx.watermark()),
            count: memory.last.len() as u64,
        })]
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send(Order, Millis),
    Advance(Millis),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => ("[xyz]", 0u8..9, -20i64..40, 0i64..300).prop_map(|(key, act, value, time)| Step::Send(Order { key, act, value }, time)),
        1 => (0i64..320).prop_map(Step::Advance),
    ]
}

/// Everything that can be seen of a run.
type Seen = (Vec<Sent>, Vec<String>, Vec<Vec<(String, Millis)>>, Vec<Rejected>, Vec<Rejected>, Vec<(String, u64)>);

/// Two watermarks with no event between them are one where they fall into one batch, and a timer may see which: so the second one goes.
fn apart(mut steps: Vec<Step>) -> Vec<Step> {
    steps.dedup_by(|second, first| matches!((first, second), (Step::Advance(_), Step::Advance(_))));
    steps
}

fn run(steps: &[Step], mut cut: impl FnMut(usize) -> bool) -> Seen {
    let mut h = Harness::<Everything>::new().batch(usize::MAX);
    for (i, step) in steps.iter().enumerate() {
        match step {
            Step::Send(order, time) => h.send(*time, order),
            Step::Advance(watermark) => h.advance(*watermark),
        };
        if cut(i) {
            h.flush();
        }
    }
    let states = ["x", "y", "z"].map(|key| {
        h.state(key).map_or_else(String::new, |memory| {
            let cells: Vec<_> = memory.cells.iter().collect();
            let queue: Vec<_> = memory.queue.iter().collect();
            assert_eq!((cells.len(), queue.len()), (memory.cells.len(), memory.queue.len()), "the length is kept with the state");
            format!("{} {:?} {cells:?} {queue:?}", memory.count, memory.last)
        })
    });
    let timers = ["x", "y", "z"].map(|key| h.timers(key));
    (
        h.outputs().to_vec(),
        states.to_vec(),
        timers.to_vec(),
        h.rejects().to_vec(),
        h.late().to_vec(),
        h.counters().clone().into_iter().collect(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_split_into_batches_gives_the_same_run(steps in prop::collection::vec(step(), 1..60).prop_map(apart), cuts in prop::collection::vec(any::<bool>(), 60)) {
        let one_by_one = run(&steps, |_| true);
        prop_assert_eq!(&run(&steps, |_| false), &one_by_one);
        prop_assert_eq!(&run(&steps, |i| cuts[i]), &one_by_one);
        prop_assert_eq!(&run(&steps, |i| i % 7 == 6), &one_by_one);
    }
}

/// What one key goes through, told by a model that has no batches: a list of what happens, in order of time.
#[test]
fn timers_fire_in_order_of_time_and_then_of_setting() {
    let order = |act, value| Order { key: "x".into(), act, value };
    let texts = |h: &mut Harness<Everything>| -> Vec<String> {
        h.outputs().iter().filter(|sent| sent.port == "noted").map(|sent| sent.decode::<Note>().text).collect()
    };
    for batch in [1, 2, 100] {
        let mut h = Harness::<Everything>::new().batch(batch);
        // `b` for 101 is set before `a` for 103; `chain` fires at 92 although it is set last, and sets `a` anew for 94.
        h.send(100, order(1, 1)).send(100, order(1, 3)).send(102, order(0, 2)).advance(95);
        assert_eq!(texts(&mut h), ["past", "chain@92 under 95", "a@94 under 95"]);
        assert_eq!(h.timers("x"), [("chain".to_owned(), 97), ("b".to_owned(), 101)]);
        h.advance(101);
        assert_eq!(texts(&mut h).last().map(String::as_str), Some("b@101 under 101"));
        assert_eq!(h.timers("x"), [("chain".to_owned(), 102)]);
    }
}

/// `chain` stands at 161 before `b` gets there; moved away and back within one event, it must not keep its place before `b`.
#[test]
fn a_timer_moved_away_and_back_goes_behind_its_equals_in_any_split() {
    let order = |act, value| Order { key: "z".into(), act, value };
    let steps = [Step::Advance(156), Step::Send(order(3, -2), 144), Step::Send(order(1, 4), 157), Step::Send(order(0, 2), 101)];
    let one_by_one = run(&steps, |_| true);
    assert_eq!(one_by_one.2[2], [("a".to_owned(), 158), ("b".to_owned(), 161), ("chain".to_owned(), 161)]);
    assert_eq!(run(&steps, |_| false), one_by_one);
}
