//! Does everything that an operator can do, one thing per event: the event says which in `act`.
//!
//! It is for tests that run the whole program; each act answers by the port `done` with what is remembered for the key afterwards.

use sangam_sdk::*;

/// What to do, for which key.
#[event]
pub struct Order {
    /// The key.
    pub key: String,
    /// What to do: one of the names in [`KitchenSink::on_event`].
    pub act: String,
    /// A number for what is done.
    #[event(path = "with.number")]
    pub number: Option<i64>,
    /// A text for what is done.
    #[event(path = "with.text")]
    pub text: Option<String>,
}

/// What is remembered for the key after an act or a timer.
#[event]
pub struct Done {
    /// What was done; for a timer its name.
    pub act: String,
    /// Event time.
    pub time: Millis,
    /// The watermark.
    pub watermark: Millis,
    /// Acts so far.
    pub count: u64,
    /// The entries of the map, `key=value` in order of the keys.
    pub map: Vec<String>,
    /// The items of the list.
    pub list: Vec<i64>,
}

/// Where things leave.
#[outputs]
pub enum Out {
    /// What has been done.
    Done(Done),
    /// The event as it came.
    Passed(Forward),
    /// A value with time, key and header of its own.
    Placed(Output<Done>),
}

/// State of every kind.
#[state]
pub struct Memory {
    /// Acts so far.
    pub count: u64,
    /// Carried with every batch.
    pub notes: Vec<String>,
    /// Read cell by cell.
    pub map: Map<String, i64>,
    /// Read cell by cell.
    pub list: List<i64>,
}

impl Memory {
    fn done(&self, act: &str, ctx: &Context) -> Done {
        Done {
            act: act.to_owned(),
            time: ctx.time(),
            watermark: ctx.watermark(),
            count: self.count,
            map: self.map.iter().map(|(key, value)| format!("{key}={value}")).collect(),
            list: self.list.iter().collect(),
        }
    }
}

/// The configuration.
#[config]
pub struct KitchenSink {
    /// What `wake` adds to the event's time, unless the event says.
    #[config(default = 1_000)]
    pub delay: Millis,
    /// A number above this one is refused.
    #[config(default = i64::MAX)]
    pub most: i64,
}

#[operator(key = "key")]
impl KitchenSink {
    /// Does what the event says.
    pub fn on_event(&self, order: Order, memory: &mut Memory, ctx: &mut Context) -> Result<Vec<Out>> {
        let number = order.number.unwrap_or(0);
        let text = order.text.as_deref().unwrap_or("note");
        memory.count += 1;
        ctx.count("acts", 1);
        if number > self.most {
            return Err(reject(format!("{number} is more than {}", self.most)));
        }
        match order.act.as_str() {
            "count" => {}
            "note" => memory.notes.push(text.to_owned()),
            "map_set" => {
                memory.map.insert(text.to_owned(), number);
            }
            "map_remove" => {
                memory.map.remove(text);
            }
            "list_push" => memory.list.push(number),
            "list_pop" => {
                memory.list.pop_front();
            }
            "wake" => ctx.wake(text, ctx.time() + order.number.unwrap_or(self.delay)),
            "cancel" => ctx.cancel(text),
            "forget" => *memory = Memory::default(),
            "log" => info!("{text} {number}"),
            "forward" => return Ok(vec![Out::Passed(Forward)]),
            "place" => {
                let done = memory.done("place", ctx);
                return Ok(vec![Out::Placed(Output::new(done).at(number).key(text).header("act", b"place"))]);
            }
            "both" => return Ok(vec![Out::Done(memory.done("both", ctx)), Out::Passed(Forward)]),
            "silent" => return Ok(vec![]),
            "reject" => return Err(reject(text)),
            "late" => return Err(late(text)),
            "drop" => return Err(discard(text)),
            "fault" => return Err(Error::Fault(text.to_owned())),
            "panic" => panic!("{text}"),
            #[expect(clippy::infinite_loop, reason = "the host's time limit is what is tested")]
            "spin" => loop {
                std::hint::black_box(number);
            },
            // Slow on purpose, but it comes to an end.
            "work" => {
                for step in 0..number {
                    std::hint::black_box(step);
                }
            }
            "grow" => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(std::hint::black_box(vec![1u8; 1 << 20]));
                }
            }
            "flood" => {
                return Ok((0..number).map(|_| Out::Done(memory.done("flood", ctx))).collect());
            }
            other => return Err(reject(format!("there is no act `{other}`"))),
        }
        Ok(vec![Out::Done(memory.done(&order.act, ctx))])
    }

    /// Says that it fired; a timer called `chain` sets the next one, as long as there are fewer than ten acts, and one called `poison`
    /// panics.
    pub fn on_timer(&self, timer: Timer, memory: &mut Memory, ctx: &mut Context) -> Vec<Out> {
        memory.count += 1;
        assert!(timer.name() != "poison", "this timer is poison");
        if timer.name() == "chain" && memory.count < 10 {
            ctx.wake("chain", timer.at() + self.delay);
        }
        vec![Out::Done(memory.done(timer.name(), ctx))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sangam_sdk::test::Harness;

    fn order(act: &str, number: i64, text: &str) -> Order {
        Order { key: "k".into(), act: act.into(), number: Some(number), text: Some(text.into()) }
    }

    fn sink() -> Harness<KitchenSink> {
        Harness::with(KitchenSink { delay: 10, most: 100 })
    }

    #[test]
    fn every_act_answers_with_what_is_remembered() {
        let mut h = sink();
        h.send(0, order("map_set", 2, "b"))
            .send(0, order("map_set", 1, "a"))
            .send(0, order("list_push", 7, ""))
            .send(0, order("note", 0, "n"));
        let done = h.take::<Done>("done").pop().unwrap();
        assert_eq!((done.count, done.map.join(" "), done.list), (4, "a=1 b=2".to_owned(), vec![7]));
        h.send(1, order("forget", 0, ""));
        assert_eq!(h.keys(), Vec::<String>::new());
    }

    #[test]
    fn a_chain_of_timers_ends_by_itself() {
        let mut h = sink();
        h.send(0, order("wake", 5, "chain")).end();
        assert_eq!(h.take::<Done>("done").iter().map(|done| done.time).collect::<Vec<_>>(), [0, 5, 15, 25, 35, 45, 55, 65, 75, 85]);
    }

    #[test]
    fn an_event_ends_in_one_of_ok_late_dead_letter_dropped() {
        let mut h = sink();
        for act in ["count", "late", "drop", "reject", "nonsense", "forward", "silent"] {
            h.send(0, order(act, 0, "why"));
        }
        h.send(0, order("count", 101, ""));
        assert_eq!((h.late().len(), h.dropped().len(), h.rejects().len(), h.outputs().len()), (1, 1, 3, 2));
        assert_eq!(h.counters()["acts"], 3);
    }
}
