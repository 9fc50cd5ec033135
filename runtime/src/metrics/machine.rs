//! What the system says of this process: its memory, the network, its name. Linux only; elsewhere nothing is known.
//!
//! It reads what the kernel keeps anyway, a few files, and so is for now and then.

use std::fs::read_to_string;
use std::path::Path;
use std::process;

/// Memory that the process has and may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes that are resident.
    pub used: u64,
    /// Bytes that it may have: the limit of its control group, else all of the machine's.
    pub most: u64,
}

/// The limit of the control group that a container sees as its own; `max` where there is none.
const GROUP_LIMIT: &str = "/sys/fs/cgroup/memory.max";

/// Memory of this process, where it is known.
pub fn memory() -> Option<Memory> {
    let used = kilobytes("/proc/self/status", "VmRSS:")?;
    let machine = kilobytes("/proc/meminfo", "MemTotal:")?;
    let group = read_to_string(GROUP_LIMIT).ok().and_then(|limit| limit.trim().parse().ok());
    Some(Memory { used, most: group.unwrap_or(machine).min(machine) })
}

/// Bytes that have come and gone over the network since the machine, or the container, has started; without those to itself.
pub fn network_bytes() -> Option<u64> {
    read_to_string("/proc/self/net/dev").ok().map(|text| sum_of_devices(&text))
}

/// Bytes of a file; 0 where there is none.
pub fn file_bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// A name for this process among those of all machines: `HOST:PID`.
pub fn instance() -> String {
    let host = read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "localhost" } else { host.trim() };
    format!("{host}:{}", process::id())
}

/// The number behind a name in a file of lines such as `VmRSS:  1234 kB`, in bytes.
fn kilobytes(file: &str, name: &str) -> Option<u64> {
    let text = read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// Each line is a device, then eight numbers of what came in and eight of what went out, the bytes first.
fn sum_of_devices(text: &str) -> u64 {
    let devices = text.lines().filter_map(|line| line.split_once(':')).filter(|(device, _)| device.trim() != "lo");
    let both = devices.map(|(_, counts)| {
        let counts: Vec<u64> = counts.split_whitespace().map(|count| count.parse().unwrap_or(0)).collect();
        counts.first().unwrap_or(&0) + counts.get(8).unwrap_or(&0)
    });
    both.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_devices_got_and_sent_adds_up_but_for_the_loopback() {
        let text = "Inter-|   Receive |  Transmit\n face |bytes packets|bytes packets\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  \
                    eth0: 100 2 0 0 0 0 0 0 30 1 0 0 0 0 0 0\n  eth1:7 2 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n";
        assert_eq!(sum_of_devices(text), 138);
        assert_eq!(sum_of_devices(""), 0);
    }

    #[test]
    fn this_process_has_memory_and_not_more_than_there_is() {
        if let Some(memory) = memory() {
            assert!(memory.used > 0 && memory.used < memory.most, "{memory:?}");
        }
    }
}
