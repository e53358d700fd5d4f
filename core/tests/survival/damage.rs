//! Every file of a trainer's checkpoint truncated and flipped in turn.

use std::fs;

use counterpoint::{ErrorKind, Journal};

use super::common::weights;
use super::{assert_equal, finish, logged, newest, run, trained, tree};

const STEPS: u64 = 8;

pub(super) fn every_damaged_file_of_a_checkpoint_is_refused_and_the_trainer_unchanged() {
    let root = tempfile::tempdir().unwrap();
    let [whole, folder, own] = ["whole", "damaged", "own"].map(|name| root.path().join(name));
    let mut made = run(&folder, STEPS);
    for _ in 0..4 {
        made.step().unwrap();
    }
    drop(made);
    let dir = newest(&folder).unwrap();
    let previous = folder.join("checkpoints/step-000002");

    // In the middle of a run of its own: it is to go on as if nothing had happened.
    let mut trainer = run(&own, STEPS);
    trainer.step().unwrap();
    let before = (weights(&mut trainer), *trainer.progress(), trainer.rollouts().filter().state());
    let mut names: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["manifest.json", "optimizer.bpk", "parameters.bpk", "state.json"]);
    for name in &names {
        let path = dir.join(name);
        let good = fs::read(&path).unwrap();
        let cut = [0, 1, good.len() / 2, good.len() - 1].map(|length| good[..length].to_vec());
        let flips = (0..24).map(|n| {
            let mut bad = good.clone();
            let at = (good.len() - 1) * n / 23;
            bad[at] ^= 1 << (n % 8);
            bad
        });
        for bad in cut.into_iter().chain(flips).chain([[good.as_slice(), b"\n"].concat()]) {
            fs::write(&path, &bad).unwrap();
            let error = trainer.resume(&dir).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Checkpoint, "{error}");
            let message = error.to_string();
            assert!(message.contains(&path.display().to_string()), "expected {name} in: {message}");
            let offer = format!("the previous intact checkpoint is {};", previous.display());
            assert!(message.contains(&offer), "{message}");
            let now = (weights(&mut trainer), *trainer.progress(), trainer.rollouts().filter().state());
            assert!(now == before, "the trainer changed with {name}: {message}");
        }
        fs::write(&path, good).unwrap();
    }
    finish(trainer);
    finish(run(&whole, STEPS));
    assert_equal(&own, &whole, STEPS);

    // Nothing is damaged any more.
    let mut healed = run(&folder, STEPS);
    healed.resume(&dir).unwrap();
    finish(healed);
    assert_equal(&folder, &whole, STEPS);
}

pub(super) fn a_run_goes_on_from_the_previous_checkpoint_and_the_damaged_one_no_longer_counts() {
    let root = tempfile::tempdir().unwrap();
    let [whole, folder] = ["whole", "damaged"].map(|name| root.path().join(name));
    let mut made = run(&folder, STEPS);
    for _ in 0..5 {
        made.step().unwrap();
    }
    drop(made);
    let dir = newest(&folder).unwrap();
    fs::write(dir.join("optimizer.bpk"), "").unwrap();
    let mut trainer = run(&folder, STEPS);
    trainer.resume(&dir).unwrap_err();
    trainer.resume(&folder.join("checkpoints/step-000002")).unwrap();
    // Killed after one step, before it has a checkpoint of its own.
    trainer.step().unwrap();
    drop(trainer);
    assert_eq!(newest(&folder).unwrap(), folder.join("checkpoints/step-000002"));
    let mut trainer = run(&folder, STEPS);
    trainer.resume(&newest(&folder).unwrap()).unwrap();
    finish(trainer);
    finish(run(&whole, STEPS));
    assert_equal(&folder, &whole, STEPS);
}

pub(super) fn a_used_folder_is_refused_or_its_run_kept_aside() {
    let root = tempfile::tempdir().unwrap();
    let [whole, folder] = ["whole", "reused"].map(|name| root.path().join(name));
    finish(run(&folder, STEPS));
    let before = tree(&folder);
    let error = run(&folder, STEPS).step().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checkpoint);
    assert!(error.to_string().contains("holds a run already"), "{error}");
    assert_eq!(tree(&folder), before, "and left alone");

    let anew = || run(&folder, STEPS).with_journal(Journal::new(&folder).overwriting());
    anew().step().unwrap();
    assert_eq!(newest(&folder), None, "the metrics begin anew, so must the checkpoints");
    finish(anew());
    finish(run(&whole, STEPS));
    assert_equal(&folder, &whole, STEPS);
    // The first run, and the one that was left after a step.
    let first = folder.join("superseded");
    assert_eq!(logged(&first), logged(&whole));
    assert_eq!(trained(&first, STEPS), trained(&whole, STEPS));
    assert_eq!(logged(&folder.join("superseded-2")).len(), 1);
}
