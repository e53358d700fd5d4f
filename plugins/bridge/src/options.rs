//! How a child process is treated.

use std::path::PathBuf;
use std::time::Duration;

use counterpoint_host::{Error, ErrorKind, Result, Runner};
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
    /// Most seconds of a processor's time that it may take in its life, 1 or more; none without it. It is killed then, and started again
    /// as after any other end. Processes that it starts have the same limit each.
    pub cpu_s: Option<u64>,
    /// Most bytes of a file that it writes, in MiB, 1 or more; none without it.
    pub file_mib: Option<u64>,
    /// Most files, pipes and sockets that it may have open at once, 16 or more; none without it.
    pub open_files: Option<u64>,
    /// Most processes and threads that its user may have, 1 or more, as the kernel counts them: all of that user's, and none of root's. None
    /// without it.
    pub processes: Option<u64>,
    /// Environment variables that it is given besides those that every child has ([`contain`](counterpoint_host::contain)), by name, or a
    /// family such as `HF_*`. None.
    pub environment: Vec<String>,
    /// What of the file system and the network it may use; without it everything that this process may. Linux only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Sandbox>,
    /// Largest body of a frame in MiB, 1 to 2^20: the pixels of a call. 4096.
    pub max_frame_mib: u64,
    /// The program that sets limits and sandbox and then becomes the plugin's. What [`Runner::find`] finds.
    #[serde(skip)]
    pub runner: Option<Runner>,
}

/// What a confined process may use, by the kernel's Landlock (Linux 5.13; its network since 6.7): files of the system to read and run
/// (`/usr`, `/lib`, `/etc`, `/proc`, `/dev` and their like), the program's own installation, the folder that it starts in and the
/// plugin's own, and what is named here. No TCP. What it does not keep in: other sockets than TCP's, signals to processes of the same user, and
/// whatever it had open before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sandbox {
    /// More files and folders that it may read and run.
    pub read: Vec<PathBuf>,
    /// Files and folders that it may read and change.
    pub write: Vec<PathBuf>,
    /// Whether it may use TCP.
    pub network: bool,
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
            cpu_s: None,
            file_mib: None,
            open_files: None,
            processes: None,
            environment: Vec::new(),
            sandbox: None,
            max_frame_mib: 4096,
            runner: None,
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
        let limits = [
            ("cpu_s", self.cpu_s, 1),
            ("file_mib", self.file_mib, 1),
            ("open_files", self.open_files, 16),
            ("processes", self.processes, 1),
        ];
        for (name, limit, least) in limits {
            if let Some(limit) = limit
                && !(least..=1 << 40).contains(&limit)
            {
                return Err(Error::new(ErrorKind::Config, format!("{name}: expected {least} to 2^40, got {limit}")));
            }
        }
        if let Some(name) = self.environment.iter().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
            let message = format!("environment: expected names of variables, got {name:?}");
            return Err(Error::new(ErrorKind::Config, message));
        }
        for (name, asked) in [("memory_mib", self.memory_mib.is_some()), ("sandbox", self.sandbox.is_some())] {
            if asked && !cfg!(target_os = "linux") {
                let message = format!("{name}: expected none, as only Linux has it");
                return Err(Error::new(ErrorKind::Config, message));
            }
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
