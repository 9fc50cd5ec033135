//! The four workloads: the engine against the native loop, in turn, on the same bytes.

use crate::{Ask, Place, median};
use sangam_tests::bench::engine::{self, Conditions, Run};
use sangam_tests::bench::generate::generate;
use sangam_tests::bench::{Workload, cpu_ns};
use std::sync::Arc;
use std::time::Duration;

/// What all events of a workload must come to: records, lists of the best, counts, cents; and for W1 bytes, as its output holds no
/// integers, which may be written in several ways.
const EXPECTED: [(Workload, usize, &str); 4] = [
    (Workload::W1, 4_000_000, "records:799371,tops:0,count:0,cents:0,bytes:62350938"),
    (Workload::W2, 4_000_000, "records:470692,tops:0,count:4000000,cents:3470807980490,bytes:0"),
    (Workload::W3, 4_000_000, "records:4000000,tops:0,count:150019394257,cents:130852548116179852,bytes:0"),
    (Workload::W4, 4_000_000, "records:15000,tops:15,count:4000000,cents:577735679428,bytes:0"),
];

/// Runs the workloads that are asked for.
pub fn run(ask: &Ask, place: &Place) -> anyhow::Result<()> {
    let plugins = &place.plugins;
    for workload in Workload::ALL.into_iter().filter(|workload| ask.wants(workload.name())) {
        let frames = Arc::new(generate(workload.events(), ask.events));
        let measured = Conditions { batch: ask.batch, commit: None, read_outputs: false };
        let check = engine::run(workload, &frames, plugins, Conditions { read_outputs: true, ..measured })?.totals;
        let native_check = workload.native(&frames);
        let comparable =
            |totals: sangam_tests::bench::totals::Totals| if workload == Workload::W1 { totals } else { totals.without_bytes() };
        anyhow::ensure!(
            comparable(check) == comparable(native_check),
            "{}: {check} from the engine, {native_check} from the native loop",
            workload.name()
        );
        if let Some((.., expected)) = EXPECTED.iter().find(|(of, events, _)| *of == workload && *events == ask.events) {
            anyhow::ensure!(comparable(check).to_string() == *expected, "{}: {check}, but it should be {expected}", workload.name());
        }
        let (mut native, mut sangam, mut committing) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ask.rounds {
            let start = cpu_ns();
            std::hint::black_box(workload.native(&frames));
            native.push(cpu_ns() - start);
            let measure = |conditions| -> anyhow::Result<u64> {
                let Run { cpu_ns, totals, .. } = engine::run(workload, &frames, plugins, conditions)?;
                anyhow::ensure!(
                    (totals.records, totals.bytes) == (check.records + check.tops, check.bytes),
                    "the outputs differ from run to run"
                );
                Ok(cpu_ns)
            };
            sangam.push(measure(measured)?);
            committing.push(measure(Conditions { commit: Some(Duration::from_millis(200)), ..measured })?);
        }
        let ratio = |times: &[u64]| median(times.iter().zip(&native).map(|(ours, floor)| *ours as f64 / *floor as f64).collect());
        for (engine, times, check) in
            [("native", &native, native_check), ("sangam", &sangam, check), ("sangam+commits", &committing, check)]
        {
            let cpu_ns = median(times.iter().map(|ns| *ns as f64 / ask.events as f64).collect());
            println!(
                "RESULT workload={} engine={engine} events={} cpu_ns={cpu_ns:.0} ratio={:.2} check={check}",
                workload.name(),
                ask.events,
                ratio(times)
            );
        }
    }
    Ok(())
}
