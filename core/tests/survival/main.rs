//! What a run survives: kills, full and read-only disks, other processes, damaged files. Each time the run that goes on
//! equals the uninterrupted one bit for bit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

#[path = "../common/mod.rs"]
mod common;

mod damage;
mod disk_full;
mod kill;
mod lock;
mod read_only;

use std::fs;
use std::path::{Path, PathBuf};

use common::{stateful, trainer, weights};
use counterpoint::checkpoint::latest;
use counterpoint::config::TrainerConfig;
use counterpoint::{StopToken, Trainer};
use serde_json::{Map, Value};

/// A run of `steps` steps in `folder`, of which nothing is written yet, with a checkpoint every two steps.
fn run(folder: &Path, steps: u64) -> Trainer {
    let (parts, config) = stateful();
    trainer(parts, TrainerConfig { steps, checkpoint_every: 2, keep_last: 2, ..config }).with_folder(folder, "")
}

/// The same, gone on from its newest checkpoint, if it has one.
fn resumed(folder: &Path, steps: u64) -> Trainer {
    let mut trainer = run(folder, steps);
    if let Some(newest) = newest(folder) {
        trainer.resume(&newest).unwrap();
    }
    trainer
}

fn newest(folder: &Path) -> Option<PathBuf> {
    latest(&folder.join("checkpoints")).unwrap()
}

fn finish(mut trainer: Trainer) {
    trainer.run(&StopToken::new()).unwrap();
}

/// The lines of the metrics file, timings aside.
fn logged(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let without_timings = |line: &str| {
        let mut line: Map<String, Value> = serde_json::from_str(line).unwrap();
        line.retain(|name, _| !name.starts_with("time/") && !name.starts_with("throughput/"));
        serde_json::to_string(&line).unwrap()
    };
    text.lines().map(without_timings).collect()
}

/// The parameters that a finished run left in its newest checkpoint, and those after two steps more: what the optimizer
/// and the filter knew is in these.
fn trained(folder: &Path, steps: u64) -> [Vec<u32>; 2] {
    let copy = tempfile::tempdir().unwrap();
    let mut trainer = run(copy.path(), steps);
    trainer.resume(&newest(folder).unwrap()).unwrap();
    assert_eq!(trainer.progress().step, steps);
    let now = weights(&mut trainer);
    trainer.step().unwrap();
    trainer.step().unwrap();
    [now, weights(&mut trainer)]
}

/// Paths of all that is below `folder`, sorted.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(folder).unwrap().to_owned());
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

/// That the two finished runs of `steps` steps are the same: their metrics, weights and files.
fn assert_equal(folder: &Path, whole: &Path, steps: u64) {
    assert_eq!(logged(folder), logged(whole));
    assert_eq!(logged(whole).len() as u64, steps);
    assert!(trained(folder, steps) == trained(whole, steps), "the weights differ");
    assert_eq!(tree(folder), tree(whole));
}
