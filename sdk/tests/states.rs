//! What is remembered: encoding by position, growth of a schema, cells of large state.

use std::collections::{BTreeMap, VecDeque};

use sangam_sdk::test::Harness;
use sangam_sdk::*;

#[event]
struct Put {
    user: String,
    item: String,
    count: i64,
}
#[event]
struct Now {
    text: String,
}

mod growth {
    use super::*;

    pub mod before {
        use super::*;
        #[state]
        pub struct Profile {
            pub count: u64,
        }
    }
    pub mod after {
        use super::*;
        #[state]
        pub struct Item {
            pub name: String,
        }
        #[state(version = 2)]
        pub struct Profile {
            pub count: u64,
            pub names: BTreeMap<String, Item>,
            pub recent: VecDeque<Item>,
            pub best: Option<Item>,
        }
    }

    fn bytes(state: &impl Encode) -> Vec<u8> {
        let mut out = Vec::new();
        state.encode(&mut out);
        out
    }

    fn read<S: for<'a> Field<'a>>(bytes: &[u8]) -> S {
        S::decode(&mut sangam_protocol::msgpack::Reader::new(bytes)).unwrap_or_else(|wrong| panic!("{}", wrong.reason()))
    }

    #[test]
    fn a_field_added_at_the_end_reads_as_its_default_from_older_state() {
        let old = bytes(&before::Profile { count: 7 });
        assert_eq!(old, [0x91, 7]);
        assert_eq!(read::<after::Profile>(&old), after::Profile { count: 7, ..Default::default() });
    }

    #[test]
    fn an_older_build_reads_what_it_knows_of_newer_state() {
        let item = after::Item { name: "pear".into() };
        let new = after::Profile {
            count: 7,
            names: BTreeMap::from([("a".into(), item.clone())]),
            recent: [item.clone()].into(),
            best: Some(item),
        };
        assert_eq!(read::<after::Profile>(&bytes(&new)), new);
        assert_eq!(read::<before::Profile>(&bytes(&new)), before::Profile { count: 7 });
    }

    #[test]
    fn the_schema_carries_names_and_version_for_tools() {
        assert!(<after::Profile as State>::SCHEMA.contains("\"version\":2"));
        assert!(<after::Profile as State>::SCHEMA.contains("{\"name\":\"recent\",\"type\":\"array\"}"));
    }
}

mod large {
    use super::*;

    #[state]
    struct Shelf {
        items: Map<String, i64>,
        log: List<String>,
        total: i64,
    }

    #[operator(key = "user")]
    fn put(event: Put, shelf: &mut Shelf) -> Result<Now> {
        match event.item.as_str() {
            "clear" => *shelf = Shelf::default(),
            "swap" => std::mem::take(&mut shelf.items).insert("ghost".into(), 1).map_or((), drop),
            item => {
                let before = shelf.items.insert(item.into(), event.count);
                shelf.total += event.count - before.unwrap_or(0);
                shelf.log.push(item.into());
            }
        }
        if event.count < 0 {
            return Err(reject("negative"));
        }
        let items: Vec<_> = shelf.items.iter().map(|(item, count)| format!("{item}={count}")).collect();
        Ok(Now { text: format!("{} of {}: {}", shelf.items.len(), shelf.total, items.join(" ")) })
    }

    fn event(item: &str, count: i64) -> Put {
        Put { user: "u".into(), item: item.into(), count }
    }

    fn texts(h: &mut Harness<put>) -> Vec<String> {
        h.take::<Now>("out").into_iter().map(|now| now.text).collect()
    }

    #[test]
    fn a_map_reads_what_earlier_batches_and_this_one_wrote_in_order_of_its_keys() {
        for batch in [1, 2, 10] {
            let mut h = Harness::<put>::new().batch(batch);
            h.send(0, event("pear", 2)).send(1, event("apple", 1)).send(2, event("pear", 5)).send(3, event("fig", 0));
            assert_eq!(
                texts(&mut h),
                ["1 of 2: pear=2", "2 of 3: apple=1 pear=2", "2 of 6: apple=1 pear=5", "3 of 6: apple=1 fig=0 pear=5"]
            );
            let shelf = h.state("u").unwrap();
            assert_eq!(shelf.log.iter().collect::<Vec<_>>(), ["pear", "apple", "pear", "fig"]);
        }
    }

    #[test]
    fn a_refused_event_takes_its_cells_back() {
        for batch in [1, 10] {
            let mut h = Harness::<put>::new().batch(batch);
            h.send(0, event("pear", 2)).send(1, event("pear", -1)).send(2, event("fig", -1)).send(3, event("apple", 1));
            assert_eq!(texts(&mut h), ["1 of 2: pear=2", "2 of 3: apple=1 pear=2"]);
            assert_eq!(h.state("u").unwrap().items.get("fig"), None);
        }
    }

    #[test]
    fn replacing_the_whole_state_deletes_its_cells() {
        for batch in [1, 10] {
            let mut h = Harness::<put>::new().batch(batch);
            h.send(0, event("pear", 2)).send(1, event("apple", 1)).send(2, event("clear", 0));
            assert_eq!(h.keys(), Vec::<String>::new());
            h.send(3, event("fig", 3));
            assert_eq!(texts(&mut h).last().map(String::as_str), Some("1 of 3: fig=3"));
        }
    }

    #[test]
    fn a_scan_over_more_than_one_piece_sees_every_cell_once() {
        let mut h = Harness::<put>::new().batch(150);
        let name = |i: i64| format!("{i:04}-{}", "x".repeat(200));
        for i in 0..400 {
            h.send(0, event(&name((i * 7) % 400), 1));
        }
        h.flush();
        h.send(1, event(&name(1), 10)).send(1, event("0000", 1)).send(1, event("9999", 1));
        let last = texts(&mut h).pop().unwrap();
        let words: Vec<_> = last.split(' ').skip(3).filter_map(|word| word.split('=').next()).collect();
        assert_eq!(words.len(), 402);
        assert!(words.is_sorted());
        assert!(last.starts_with("402 of 411: 0000=1 0000-x"));
    }

    #[test]
    fn integers_as_keys_are_kept_in_their_order() {
        #[state]
        struct Numbers {
            by: Map<i32, u8>,
        }
        let mut numbers = Numbers::default();
        for key in [5, -5, 0, i32::MIN, i32::MAX, 300, -300] {
            numbers.by.insert(key, 1);
        }
        let keys: Vec<_> = numbers.by.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [i32::MIN, -300, -5, 0, 5, 300, i32::MAX]);
        assert_eq!((numbers.by.remove(&0), numbers.by.remove(&0), numbers.by.len()), (Some(1), None, 6));
    }
}

mod reducing {
    use super::*;

    #[event]
    struct Delay {
        line: String,
        minutes: Option<i32>,
    }
    #[event]
    struct Delays {
        sum: i32,
        least: i32,
        most: i32,
        first: i32,
        last: i32,
        mean: f64,
    }
    #[state]
    struct Line {
        sum: Reducing<i32, Sum>,
        least: Reducing<i32, Min>,
        most: Reducing<i32, Max>,
        first: Reducing<i32, First>,
        last: Reducing<i32, Last>,
        mean: Aggregating<Average>,
    }

    #[operator(key = "line")]
    fn delays(delay: Delay, line: &mut Line) -> Option<Delays> {
        let Some(minutes) = delay.minutes else {
            *line = Line::default();
            return None;
        };
        line.sum.add(minutes);
        line.least.add(minutes);
        line.most.add(minutes);
        line.first.add(minutes);
        line.last.add(minutes);
        line.mean.add(minutes.into());
        Some(Delays {
            sum: *line.sum.get()?,
            least: *line.least.get()?,
            most: *line.most.get()?,
            first: *line.first.get()?,
            last: *line.last.get()?,
            mean: line.mean.get()?,
        })
    }

    #[test]
    fn values_are_taken_in_across_restarts_and_nothing_is_kept_of_a_cleared_state() {
        let mut h = Harness::<delays>::new();
        for minutes in [3, 0, i32::MAX, -7] {
            let before = h.snapshot();
            h.restore(&before).send(0, Delay { line: "U1".into(), minutes: Some(minutes) });
        }
        let last = h.take::<Delays>("out").pop();
        let mean = (f64::from(i32::MAX) - 4.0) / 4.0;
        // A sum that is full stays full until something is taken off.
        assert_eq!(last, Some(Delays { sum: i32::MAX - 7, least: -7, most: i32::MAX, first: 3, last: -7, mean }));
        h.send(0, Delay { line: "U1".into(), minutes: None });
        assert_eq!(h.keys(), Vec::<String>::new());
    }
}
