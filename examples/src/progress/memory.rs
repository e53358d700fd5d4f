//! How much memory this process holds.

use std::fmt;
use std::fs;

use indicatif::HumanBytes;

/// Resident memory of this process, in bytes; `None` where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Now.
    pub now: Option<u64>,
    /// The most there has been; on Linux.
    pub peak: Option<u64>,
}

impl Memory {
    /// That of this moment.
    pub fn read() -> Self {
        let now = memory_stats::memory_stats().map(|m| m.physical_mem as u64);
        let peak = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(high_water_mark);
        // Linux sums the two up at different times.
        Self { now, peak: peak.map(|peak| peak.max(now.unwrap_or(0))) }
    }
}

/// `VmHWM` of a `/proc/<pid>/status`, in bytes.
fn high_water_mark(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// `memory 812.34 MiB, peak 1.20 GiB`; empty when nothing is known.
impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.now, self.peak) {
            (None, None) => Ok(()),
            (Some(now), None) => write!(f, "memory {}", HumanBytes(now)),
            (None, Some(peak)) => write!(f, "memory peak {}", HumanBytes(peak)),
            (Some(now), Some(peak)) => write!(f, "memory {}, peak {}", HumanBytes(now), HumanBytes(peak)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_peak_is_read_from_the_status_file() {
        let status = "Name:\tsync_r1\nVmPeak:\t  999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(high_water_mark(status), Some(2 << 20));
        assert_eq!(high_water_mark("VmPeak:\t 999 kB\n"), None);
        assert_eq!(high_water_mark("VmHWM:\t a lot kB\n"), None);
    }

    #[test]
    fn memory_grows_with_what_is_held_and_the_peak_is_never_below_it() {
        let before = Memory::read().now.unwrap();
        let held = vec![1_u8; 64 << 20];
        let with = Memory::read();
        assert!(with.now.unwrap() >= before + (32 << 20), "{before} then {with:?}, {}", held[held.len() - 1]);
        assert!(with.peak.is_none_or(|peak| peak >= with.now.unwrap()));
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let text = |now, peak| Memory { now, peak }.to_string();
        assert_eq!(text(Some(3 << 20), Some(1 << 30)), "memory 3.00 MiB, peak 1.00 GiB");
        assert_eq!(text(Some(3 << 20), None), "memory 3.00 MiB");
        assert_eq!(text(None, None), "");
    }
}
