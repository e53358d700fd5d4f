//! A disk that fills up in the middle of a run.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Output;

use counterpoint::checkpoint::Reader;
use counterpoint::{ErrorKind, StopToken, Trainer};

use super::child::child;
use super::common::{listen, stateful, trainer};
use super::{TrainerConfig, assert_equal, finish, logged, newest, resumed, run, tree};

const STEPS: u64 = 8;

/// What a child that ended well printed after `message: `, line by line.
fn messages(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}: {text}", output.status);
    text.lines().filter_map(|line| Some(line.split_once("message: ")?.1.to_owned())).collect()
}

/// Runs until a file cannot be written: its error, which names the file.
fn fails(mut trainer: Trainer, folder: &Path) -> (Trainer, Option<String>) {
    let Err(error) = trainer.run(&StopToken::new()) else { return (trainer, None) };
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.to_string().contains(&format!("{}/", folder.display())), "{error}");
    (trainer, Some(format!("{error:#}")))
}

/// Which of the files an error names.
fn named(message: &str) -> Option<&'static str> {
    [".lock", "metrics.jsonl", "parameters.bpk", "optimizer.bpk", "state.json", "manifest.json"]
        .into_iter()
        .find(|name| message.contains(name))
}

/// Role: the process that may write only small files.
pub(super) fn writes_little(folder: &Path) {
    let (_, message) = fails(resumed(folder, STEPS), folder);
    println!("\nmessage: {}", message.unwrap());
}

#[cfg(unix)]
pub(super) fn files_that_cannot_grow_stop_the_run_by_name_and_it_goes_on_later() {
    let root = tempfile::tempdir().unwrap();
    let whole = root.path().join("whole");
    finish(run(&whole, STEPS));
    let mut seen = BTreeSet::new();
    // In blocks of 512 bytes: the last lets the metrics of the first checkpoint pass, and not its optimizer.
    for blocks in [1, 3, 5, 7] {
        let folder = root.path().join(format!("limit-{blocks}"));
        let mut begun = run(&folder, STEPS);
        begun.step().unwrap();
        begun.save().unwrap();
        drop(begun);
        let before = logged(&folder);

        let limit = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        let output = child(&["sh", "-c", &limit, "sh"], "disk_full::writes_little", &folder).output().unwrap();
        let [message] = messages(&output).try_into().unwrap();
        println!("{message}");
        seen.extend(named(&message));

        assert_eq!(logged(&folder)[..1], before, "{message}");
        Reader::open(&newest(&folder).unwrap()).unwrap();
        finish(resumed(&folder, STEPS));
        assert_equal(&folder, &whole, STEPS);
    }
    assert!(seen.contains("metrics.jsonl") && seen.len() > 1, "{seen:?}");
}

/// Fills the file system of `folder` except for `pages` of 4096 bytes.
fn fill(folder: &Path, pages: usize) {
    let mut ballast = File::create(folder.join("ballast")).unwrap();
    let mut written = 0_u64;
    while ballast.write_all(&[7; 4096]).is_ok() {
        written += 4096;
    }
    ballast.set_len(written.saturating_sub(4096 * pages as u64)).unwrap();
}

/// Role: the process that has a small file system of its own.
pub(super) fn fills_the_disk(disk: &Path) {
    let elsewhere = tempfile::tempdir().unwrap();
    let whole = elsewhere.path().join("whole");
    finish(run(&whole, STEPS));
    for pages in 0..10 {
        let folder = disk.join("run");
        let mut begun = run(&folder, STEPS);
        for _ in 0..3 {
            begun.step().unwrap();
        }
        let before = logged(&folder);
        fill(disk, pages);
        let (mut begun, message) = fails(begun, &folder);
        println!("\nmessage: {}", message.as_deref().unwrap_or("none"));
        assert_eq!(logged(&folder)[..3], before, "{message:?}");
        let newest = newest(&folder).unwrap();
        Reader::open(&newest).unwrap();
        assert!(tree(&folder).iter().all(|p| !p.to_string_lossy().contains(".tmp-")), "{:?}", tree(&folder));
        // It fails again and again, and nothing gets worse.
        if message.is_some() {
            fails(begun, &folder).1.unwrap();
            assert_eq!(logged(&folder)[..3], before);
            begun = resumed(&folder, STEPS);
        }
        fs::remove_file(disk.join("ballast")).unwrap();
        finish(begun);
        assert_equal(&folder, &whole, STEPS);
        fs::remove_dir_all(&folder).unwrap();
    }
}

/// Role: the process that has a small file system of its own.
pub(super) fn fills_the_disk_and_the_same_trainer_goes_on(disk: &Path) {
    let elsewhere = tempfile::tempdir().unwrap();
    let whole = elsewhere.path().join("whole");
    // Its one checkpoint comes last: it is the metrics that fail.
    let make = |folder: &Path| {
        let (parts, config) = stateful();
        trainer(parts, TrainerConfig { steps: 40, ..config }).with_folder(folder)
    };
    let mut uninterrupted = make(&whole);
    let expected = listen(&mut uninterrupted);
    finish(uninterrupted);
    let folder = disk.join("run");
    let mut trainer = make(&folder);
    let log = listen(&mut trainer);
    trainer.step().unwrap();
    fill(disk, 1);
    let (mut trainer, message) = fails(trainer, &folder);
    let message = message.unwrap();
    assert_eq!(named(&message), Some("metrics.jsonl"), "{message}");
    let done = trainer.progress().step;
    assert_eq!(logged(&folder).len() as u64, done - 1, "the line of the last step is missing, and all of it");
    assert!(trainer.step().is_err() && trainer.save().is_err() && newest(&folder).is_none());
    assert_eq!(trainer.progress().step, done, "no step is done while the last cannot be written down");
    fs::remove_file(disk.join("ballast")).unwrap();
    assert_eq!(trainer.step().unwrap().step, done - 1);
    assert_eq!(trainer.progress().step, done);
    finish(trainer);
    assert_eq!(*log.lock().unwrap(), *expected.lock().unwrap());
    assert_equal(&folder, &whole, 40);
    println!("\nmessage: {message}");
}

/// A command that gives what follows a file system of 96 KiB at `dir`, or `None` where that is not allowed.
#[cfg(target_os = "linux")]
pub(super) fn small_disk(dir: &Path) -> Option<Vec<String>> {
    let mount = "mount -t tmpfs -o size=96k tmpfs \"$FOLDER_OF_TEST\" && exec \"$@\"";
    let command: Vec<String> = ["unshare", "-rm", "sh", "-c", mount, "sh"].map(str::to_owned).into();
    let tried = std::process::Command::new(&command[0])
        .args(&command[1..])
        .arg("true")
        .env("FOLDER_OF_TEST", dir)
        .output()
        .is_ok_and(|output| output.status.success());
    if !tried {
        eprintln!("skipped: mounting a file system is not allowed here");
    }
    tried.then_some(command)
}

#[cfg(target_os = "linux")]
fn on_a_small_disk(test: &str) -> Option<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let command = small_disk(dir.path())?;
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    Some(messages(&child(&command, test, dir.path()).output().unwrap()))
}

#[cfg(target_os = "linux")]
pub(super) fn a_full_disk_stops_the_run_by_name_and_it_goes_on_later() {
    let Some(messages) = on_a_small_disk("disk_full::fills_the_disk") else { return };
    println!("{messages:#?}");
    let seen: BTreeSet<_> = messages.iter().filter_map(|m| named(m)).collect();
    assert!(messages.len() == 10 && seen.len() >= 3 && seen.contains("metrics.jsonl"), "{seen:?}");
}

#[cfg(target_os = "linux")]
pub(super) fn a_full_disk_stops_the_run_and_the_same_trainer_goes_on() {
    let Some(messages) = on_a_small_disk("disk_full::fills_the_disk_and_the_same_trainer_goes_on") else { return };
    assert_eq!(messages.len(), 1);
}
