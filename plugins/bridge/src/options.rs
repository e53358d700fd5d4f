//! How a child process is treated.

use std::time::Duration;

use counterpoint_host::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::frame::BODY_LIMIT;

/// Settings of the bridge. Times are in seconds, above 0 and at most a million; each has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BridgeOptions {
    /// Time from the start of the process until its instance is made; Python programs import their packages in it. 60.
    pub startup_timeout_s: f64,
    /// Time of a call that has no deadline of its own. A restart before the call is not part of it. 60.
    pub call_timeout_s: f64,
    /// Time between the request to end a call (or the process) and the kill. 1.
    pub grace_s: f64,
    /// How many restarts in a row may end without an answered call before the expert is given up: further calls are errors of
    /// the kind [`ErrorKind::Call`], and start nothing. 5.
    pub restarts: u32,
    /// Pause before the first restart, from the end of the process; it doubles with each restart in a row. 0.1.
    pub backoff_s: f64,
    /// Longest such pause. 10.
    pub backoff_max_s: f64,
    /// Most memory of the process in MiB (2^20 bytes), 1 or more; none without it. Linux only: the limit `RLIMIT_DATA`,
    /// which counts private writable memory (heap, stacks, anonymous mappings), touched or not, and not files, shared memory
    /// or a GPU's. Allocations beyond it fail. Processes that it starts have the same limit each.
    pub memory_mib: Option<u64>,
    /// Largest body of a frame in MiB, 1 to 2^20: the pixels of a call. 4096.
    pub max_frame_mib: u64,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self {
            startup_timeout_s: 60.0,
            call_timeout_s: 60.0,
            grace_s: 1.0,
            restarts: 5,
            backoff_s: 0.1,
            backoff_max_s: 10.0,
            memory_mib: None,
            max_frame_mib: 4096,
        }
    }
}

impl BridgeOptions {
    /// Looks at every range.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the setting, its range and what it is.
    pub fn check(&self) -> Result<()> {
        let times = [
            ("startup_timeout_s", self.startup_timeout_s),
            ("call_timeout_s", self.call_timeout_s),
            ("grace_s", self.grace_s),
            ("backoff_s", self.backoff_s),
            ("backoff_max_s", self.backoff_max_s),
        ];
        for (name, seconds) in times {
            if !(seconds > 0.0 && seconds <= 1e6) {
                let message = format!("{name}: expected seconds above 0 and at most 1000000, got {seconds}");
                return Err(Error::new(ErrorKind::Config, message));
            }
        }
        let most = BODY_LIMIT >> 20;
        let sizes = [("max_frame_mib", self.max_frame_mib), ("memory_mib", self.memory_mib.unwrap_or(1))];
        for (name, size) in sizes {
            if !(1..=most).contains(&size) {
                return Err(Error::new(ErrorKind::Config, format!("{name}: expected 1 to {most}, got {size}")));
            }
        }
        if self.memory_mib.is_some() && !cfg!(target_os = "linux") {
            let message = "memory_mib: expected none, as only Linux limits the memory of a process";
            return Err(Error::new(ErrorKind::Config, message));
        }
        Ok(())
    }

    /// The pause before the next start after `failures` in a row, 1 or more.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let doubled = self.backoff_s * 2f64.powi(failures.min(64) as i32 - 1);
        Duration::from_secs_f64(doubled.min(self.backoff_max_s))
    }

    pub(crate) fn grace(&self) -> Duration {
        Duration::from_secs_f64(self.grace_s)
    }

    pub(crate) fn startup_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.startup_timeout_s)
    }

    pub(crate) fn call_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.call_timeout_s)
    }

    /// Bytes.
    pub(crate) fn body_limit(&self) -> u64 {
        self.max_frame_mib << 20
    }
}
