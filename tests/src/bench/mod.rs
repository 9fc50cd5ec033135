//! The benchmark's four workloads: the events, a hand-written loop over them, the engine over the same bytes, and totals to compare.

pub mod engine;
pub mod frames;
pub mod generate;
pub mod native;
pub mod totals;

use frames::{Events, Frames};

/// One of the workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Decode all fields, keep payments above 10 000, emit three fields.
    W1,
    /// Count and sum per sender and minute.
    W2,
    /// The last hour of each sender, with every payment.
    W3,
    /// Count and revenue per city, category and minute; the ten best of each minute.
    W4,
}

impl Workload {
    /// All of them.
    pub const ALL: [Workload; 4] = [Workload::W1, Workload::W2, Workload::W3, Workload::W4];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Workload::W1 => "W1",
            Workload::W2 => "W2",
            Workload::W3 => "W3",
            Workload::W4 => "W4",
        }
    }

    /// Which events it reads.
    pub fn events(self) -> Events {
        match self {
            Workload::W1 | Workload::W2 => Events::PAYMENTS,
            // 2.2 hours in 4 000 000 events, so that the hour does expire.
            Workload::W3 => Events::SLOW_PAYMENTS,
            Workload::W4 => Events::ORDERS,
        }
    }

    /// The native loop over the frames.
    pub fn native(self, frames: &Frames) -> totals::Totals {
        match self {
            Workload::W1 => native::w1(frames),
            Workload::W2 => native::w2(frames),
            Workload::W3 => native::w3(frames),
            Workload::W4 => native::w4(frames),
        }
    }
}

/// Nanoseconds of processor time, user and system, that all threads of this process have used.
pub fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, which is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Bytes of memory that this process has in use, as the system counts them.
pub fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    // SAFETY: the call has no conditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let resident = pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    resident.unwrap_or_default() * page.max(0) as u64
}
