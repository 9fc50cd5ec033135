//! The metrics as a scraper gets them, with what is read off at that moment.

use super::View;
use crate::metrics::RunNow;
use crate::pipeline::Phase;
use crate::time::{Clock, SystemClock, WATERMARK_MAX, WATERMARK_MIN};

impl View {
    /// All metrics in the OpenMetrics text format.
    pub fn exposition(&self) -> String {
        self.metrics.run.show(&self.now());
        self.metrics.render()
    }

    fn now(&self) -> RunNow {
        let health = self.control.health();
        let stream = |index: usize| self.topology.streams.get(index).map_or_else(String::new, |stream| stream.name.clone());
        let standings = self.control.standings();
        let lag = standings.sources.iter().filter_map(|((index, partition), source)| Some((stream(*index), *partition, source.lag?)));
        let held = standings.sources.iter().map(|((index, partition), source)| (stream(*index), *partition, source.buffered));
        let clock = SystemClock.now();
        // The gauge stands at 0 until the first event has moved it; at the end of time nothing is behind.
        let moved = self.topology.operators.iter().map(|node| (node.name.to_string(), node.metrics.watermark_ms.get()));
        let moved = moved.filter(|(_, watermark)| ![0, WATERMARK_MIN, WATERMARK_MAX].contains(watermark));
        let builds = self.builds.lock();
        RunNow {
            pipeline: self.topology.name.clone(),
            running: health.phase() == Phase::Running,
            uptime: self.started.elapsed().as_secs_f64(),
            commit_age: health.commit_age().unwrap_or_else(|| self.started.elapsed()).as_secs_f64(),
            restored: health.restored(),
            standby: health.standby(),
            lag: lag.collect(),
            buffered: held.map(|(stream, partition, held)| (stream, partition, held.records, held.bytes)).collect(),
            watermark_lag: moved.map(|(name, watermark)| (name, clock.saturating_sub(watermark) as f64 / 1e3)).collect(),
            plugins: builds.iter().map(|(name, build)| (name.clone(), build.version.clone(), build.sha256.clone())).collect(),
        }
    }

    /// What was read and is not committed, as `stream/partition OFFSET..OFFSET`; what came in within the last moment may be missing.
    pub fn uncommitted(&self) -> Vec<String> {
        let health = self.control.health();
        let sources = self.control.standings().sources;
        let open = sources.iter().filter_map(|((stream, partition), source)| {
            let name = &self.topology.streams.get(*stream)?.name;
            match health.position(*stream, *partition) {
                _ if source.next < 0 => None,
                Some(committed) if committed >= source.next => None,
                Some(committed) => Some(format!("{name}/{partition} {committed}..{}", source.next)),
                None => Some(format!("{name}/{partition} ..{}", source.next)),
            }
        });
        open.collect()
    }
}
