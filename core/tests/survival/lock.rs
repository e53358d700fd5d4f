//! Two writers in one folder.

use std::fs;
use std::path::Path;
use std::time::Duration;

use counterpoint::checkpoint::Writer;
use counterpoint::{ErrorKind, Result};

use super::child::child;
use super::common::listen;
use super::{assert_equal, finish, newest, resumed, run};

const STEPS: u64 = 6;

/// Role: the process that holds the folder.
pub(super) fn holds(folder: &Path) {
    let mut trainer = run(folder, STEPS);
    for _ in 0..3 {
        trainer.step().unwrap();
    }
    fs::write(folder.join("held"), "").unwrap();
    std::thread::sleep(Duration::from_secs(60));
    panic!("was not killed");
}

fn refused<T>(result: Result<T>) -> String {
    let Err(error) = result else { panic!("was let in") };
    assert_eq!(error.kind(), ErrorKind::Checkpoint);
    error.to_string()
}

pub(super) fn a_second_process_is_refused_by_name_until_the_first_is_killed() {
    let root = tempfile::tempdir().unwrap();
    let [whole, folder] = ["whole", "held"].map(|name| root.path().join(name));
    fs::create_dir(&folder).unwrap();
    let mut holder = child(&[], "lock::holds", &folder).spawn().unwrap();
    while !folder.join("held").exists() {
        assert!(holder.try_wait().unwrap().is_none(), "the child ended");
        std::thread::sleep(Duration::from_millis(2));
    }
    fs::remove_file(folder.join("held")).unwrap();

    let metrics = fs::read(folder.join("metrics.jsonl")).unwrap();
    let mut second = run(&folder, STEPS);
    let log = listen(&mut second);
    let newest = newest(&folder).unwrap();
    let checkpoints = folder.join("checkpoints");
    for message in [
        refused(second.step()),
        refused(second.save()),
        refused(second.resume(&newest)),
        refused(Writer::begin(&checkpoints, 9)),
    ] {
        let by = format!("{} is in use by process {}", checkpoints.display(), holder.id());
        assert!(message.contains(&by) && message.contains("since 20"), "{message}");
        assert!(message.ends_with("stop it first, or give each run a folder of its own"), "{message}");
    }
    assert!(log.lock().unwrap().is_empty() && second.progress().step == 0);
    assert_eq!(fs::read(folder.join("metrics.jsonl")).unwrap(), metrics);

    holder.kill().unwrap();
    holder.wait().unwrap();
    second.resume(&newest).unwrap();
    finish(second);
    finish(run(&whole, STEPS));
    assert_equal(&folder, &whole, STEPS);
}

pub(super) fn a_second_trainer_of_the_same_process_is_refused_until_the_first_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = run(folder.path(), STEPS);
    let mut second = run(folder.path(), STEPS);
    second.step().unwrap();
    let message = refused(first.step());
    assert!(message.contains("which is this one; drop its other trainer or writer first"), "{message}");
    second.step().unwrap();
    let checkpoint = newest(folder.path()).unwrap();
    refused(first.resume(&checkpoint));
    drop(second);
    first.resume(&checkpoint).unwrap();
    first.step().unwrap();
    // Given back with the parts, too.
    first.into_parts();
    finish(resumed(folder.path(), STEPS));
}

pub(super) fn a_trainer_reads_the_checkpoints_of_another_without_their_lock() {
    let [folder, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut first = run(folder.path(), STEPS);
    first.step().unwrap();
    first.step().unwrap();
    let mut second = run(other.path(), STEPS);
    second.resume(&newest(folder.path()).unwrap()).unwrap();
    second.step().unwrap();
    first.step().unwrap();
}
