//! What a run survives: kills, full and read-only disks, other processes, damaged files. Each time the run that goes on
//! equals the uninterrupted one bit for bit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

#[path = "../common/mod.rs"]
mod common;

mod child;
mod damage;
mod disk_full;
mod kill;
mod lock;
mod read_only;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use common::{stateful, trainer, weights};
use counterpoint::checkpoint::latest;
use counterpoint::config::TrainerConfig;
use counterpoint::{StopToken, Trainer};
use libtest_mimic::{Arguments, Trial};
use serde_json::{Map, Value};

/// What a process of its own does with a folder.
type Role = fn(&Path);

/// Functions with their paths.
macro_rules! named {
    ($($(#[$when:meta])* $path:path,)*) => { [$($(#[$when])* (stringify!($path), $path)),*] };
}

fn main() -> ExitCode {
    if let Some((role, folder)) = child::role() {
        let roles: &[(&str, Role)] = &named![
            disk_full::writes_little,
            disk_full::fills_the_disk,
            disk_full::fills_the_disk_and_the_same_trainer_goes_on,
            kill::trains,
            lock::holds,
            read_only::reads_only,
        ];
        let (_, play) = roles.iter().find(|(name, _)| *name == role).expect("a role of this program");
        play(&folder);
        return ExitCode::SUCCESS;
    }
    let tests: &[(&str, fn())] = &named![
        damage::every_damaged_file_of_a_checkpoint_is_refused_and_the_trainer_unchanged,
        damage::a_run_goes_on_from_the_previous_checkpoint_and_the_damaged_one_no_longer_counts,
        damage::a_used_folder_is_refused_or_its_run_kept_aside,
        #[cfg(unix)]
        disk_full::files_that_cannot_grow_stop_the_run_by_name_and_it_goes_on_later,
        #[cfg(target_os = "linux")]
        disk_full::a_full_disk_stops_the_run_by_name_and_it_goes_on_later,
        #[cfg(target_os = "linux")]
        disk_full::a_full_disk_stops_the_run_and_the_same_trainer_goes_on,
        kill::a_run_that_is_killed_twenty_times_equals_the_uninterrupted_one,
        lock::a_second_process_is_refused_by_name_until_the_first_is_killed,
        lock::a_second_trainer_of_the_same_process_is_refused_until_the_first_is_dropped,
        lock::a_trainer_reads_the_checkpoints_of_another_without_their_lock,
        read_only::a_file_where_a_folder_should_be,
        read_only::a_folder_where_the_metrics_should_be,
        #[cfg(target_os = "linux")]
        read_only::file_systems_that_not_even_root_writes_to,
        #[cfg(target_os = "linux")]
        read_only::a_read_only_file_system,
    ];
    let trial = |&(name, test): &(&str, fn())| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    libtest_mimic::run(&Arguments::from_args(), tests.iter().map(trial).collect()).exit_code()
}

/// A run of `steps` steps in `folder`, of which nothing is written yet, with a checkpoint every two steps.
fn run(folder: &Path, steps: u64) -> Trainer {
    let (parts, config) = stateful();
    trainer(parts, TrainerConfig { steps, checkpoint_every: 2, keep_last: 2, ..config }).with_folder(folder)
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
    // What a kill or a damaged file made obsolete is kept aside.
    let current = |folder| tree(folder).into_iter().filter(|path| !path.to_string_lossy().contains("superseded"));
    assert_eq!(current(folder).collect::<Vec<_>>(), current(whole).collect::<Vec<_>>());
}
