//! `cargo bench -p sangam-tests --bench perf -- [WHAT...] [--events N] [--rounds N] [--check]`
//!
//! WHAT: `w1` `w2` `w3` `w4`, the workloads on the engine and as native loops. Each result is one line that starts with `RESULT`.
//! `--check` only runs the engine once and compares totals.

mod workloads;

use anyhow::{Context, bail};

/// What to run, and how much of it.
struct Ask {
    what: Vec<String>,
    events: usize,
    rounds: usize,
    batch: Option<usize>,
}

fn main() -> anyhow::Result<()> {
    let ask = Ask::read(std::env::args().skip(1))?;
    workloads::run(&ask)
}

impl Ask {
    fn read(mut args: impl Iterator<Item = String>) -> anyhow::Result<Ask> {
        let mut ask = Ask { what: Vec::new(), events: 1_000_000, rounds: 5, batch: None };
        while let Some(arg) = args.next() {
            let mut number = || args.next().context("a number is missing")?.parse::<usize>().context("not a number");
            match arg.as_str() {
                "--events" => ask.events = number()?,
                "--rounds" => ask.rounds = number()?,
                "--batch" => ask.batch = Some(number()?),
                // Cargo says this to every benchmark.
                "--bench" => {}
                option if option.starts_with('-') => bail!("there is no option `{option}`"),
                what => ask.what.push(what.to_owned()),
            }
        }
        Ok(ask)
    }

    fn wants(&self, what: &str) -> bool {
        self.what.is_empty() || self.what.iter().any(|asked| asked.eq_ignore_ascii_case(what))
    }
}
