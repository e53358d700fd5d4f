//! What the process has before and after many calls.

use std::time::{Duration, Instant};

use rustix::param::page_size;

use super::file::only_on_linux;
use crate::instance::{Prepared, Raw};
use crate::job::pass;
use crate::layout::Layout;
use crate::subject::Call;
use crate::{Job, Outcome};

const WARM_UP: usize = 100;
const ROUNDS: usize = 900;
/// Most bytes that the process may grow by in [`ROUNDS`] rounds.
const LIMIT: usize = 4 << 20;

/// What a process has of each.
#[derive(Debug, Clone, Copy)]
struct Use {
    memory: usize,
    files: usize,
    threads: usize,
}

impl Use {
    fn now() -> Result<Self, String> {
        let count = |path: &str| match std::fs::read_dir(path) {
            Ok(entries) => Ok(entries.count()),
            Err(error) => Err(format!("cannot read {path}: {error}")),
        };
        let text = std::fs::read_to_string("/proc/self/statm").map_err(|e| format!("cannot read /proc: {e}"))?;
        let pages =
            text.split(' ').nth(1).and_then(|n| n.parse::<usize>().ok()).ok_or("cannot read /proc/self/statm")?;
        Ok(Self { memory: pages * page_size(), files: count("/proc/self/fd")?, threads: count("/proc/self/task")? })
    }
}

pub(super) fn instances(job: &Job) -> Outcome {
    let raw = Raw::open(job)?;
    many(&raw, || {
        drop(raw.instance()?);
        Ok(())
    })
}

pub(super) fn calls(job: &Job) -> Outcome {
    let raw = Raw::open(job)?;
    let mut instance = raw.instance()?;
    let samples = raw.kit.samples(2);
    let mut prepared = Prepared::new(&samples, &Call::default(), &Layout::default(), raw.manifest.outputs.len())
        .map_err(|e| e.to_string())?;
    many(&raw, || {
        let code = instance.call(&mut prepared);
        prepared.answers(code)?;
        Ok(())
    })
}

/// As many rounds of `once` as half of the check's time allows.
fn many(raw: &Raw, mut once: impl FnMut() -> Result<(), String>) -> Outcome {
    if !cfg!(target_os = "linux") {
        return only_on_linux();
    }
    let begin = Instant::now();
    let limit = Duration::from_secs_f64(raw.timeout / 2.0);
    let mut warm_up = 0;
    while warm_up < WARM_UP && (warm_up < 2 || begin.elapsed() < limit / 4) {
        once()?;
        warm_up += 1;
    }
    let before = Use::now()?;
    let mut rounds = 0;
    while rounds < ROUNDS && (rounds < 2 || begin.elapsed() < limit) {
        once()?;
        rounds += 1;
    }
    let after = Use::now()?;
    // Fewer rounds may leave less, but an allocator's first steps are not a leak.
    let allowed = (LIMIT * rounds / ROUNDS).max(1 << 20);
    let grown = after.memory.saturating_sub(before.memory);
    if grown > allowed {
        return Err(format!(
            "expected at most {} KiB more after {rounds} rounds, got {} KiB",
            allowed >> 10,
            grown >> 10
        ));
    }
    for (what, before, after) in [("files", before.files, after.files), ("threads", before.threads, after.threads)] {
        if after > before {
            return Err(format!("expected no more open {what} than {before} after {rounds} rounds, got {after}"));
        }
    }
    pass(format!("{} rounds, {} KiB more in the last {rounds}", warm_up + rounds, grown >> 10))
}
