//! What an interval join costs per event, by the number of rows that it keeps for the key: `cargo bench -p joins`.
//!
//! Native code through the harness, which plays the host too: to compare the lines with each other, not with the engine.

#![expect(missing_docs, reason = "a benchmark has no users")]

use std::time::Instant;

use joins::{In, Joins, Row};
use sangam_sdk::Encode;
use sangam_sdk::test::Harness;

const EVENTS: i64 = 20_000;
const BATCH: usize = 500;

fn main() {
    println!("rows kept   ns per event   bytes per row");
    for rows in [0, 10, 100, 1_000] {
        // Left rows at even times and right rows at odd ones never meet; the grace decides how many are kept.
        let config = Joins { what: "interval".into(), kind: "inner".into(), size: 1, n: 1, grace: rows, ..Joins::default() };
        let mut h = Harness::<Joins>::with(config).batch(BATCH);
        h.processing_time(0);
        let start = Instant::now();
        for time in 0..EVENTS {
            let row = Row { key: "k".into(), value: Some("twelve bytes".into()), ..Row::default() };
            h.advance(time - 1).send(time, if time % 2 == 0 { In::Left(row) } else { In::Right(row) });
        }
        h.flush();
        let spent = start.elapsed().as_nanos() / EVENTS as u128;
        let join = h.state("k").map(|memory| memory.interval).unwrap_or_default();
        let kept = join.len().0 + join.len().1;
        let mut bytes = Vec::new();
        join.encode(&mut bytes);
        println!("{kept:>9}   {spent:>12}   {:>13}", bytes.len() / kept.max(1));
    }
}
