#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::path::Path;

use serde_json::json;

use super::{Progress, TrainerState};
use crate::ErrorKind;
use crate::checkpoint::{Keep, Reader, Writer};
use crate::config::TrainerConfig;
use crate::rollouts::Ledger;

const KEEP: Keep = Keep { last: 3, best: true };

fn state() -> TrainerState {
    TrainerState {
        seed: u64::MAX,
        filter: json!({ "threshold": 0.1 + 0.2, "momentum": -1.0 / 3.0 * 1e-7 }),
        sampler: json!(null),
        tasks: json!([[1, 2]]),
        behind: true,
        rewards: [("moody".to_owned(), json!([1]))].into(),
        progress: Progress {
            step: 3,
            cursor: 4,
            skipped: 2,
            ledger: Ledger { kept: 50, ..Ledger::default() },
            ..Progress::default()
        },
        policy: "showo".to_owned(),
        trainer: serde_json::to_value(TrainerConfig::default()).unwrap(),
        config: json!({ "run": { "name": "a" }, "objective": { "beta": 0.01 }, "trainer": { "steps": 10 } }),
    }
}

fn commit(state: &TrainerState, root: &Path, step: u64) -> Reader {
    let writer = Writer::begin(root, step).unwrap();
    state.write(writer.dir()).unwrap();
    Reader::open(&writer.commit(KEEP).unwrap()).unwrap()
}

#[test]
fn the_trainers_state_comes_back_equal() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(TrainerState::read(&commit(&state(), root.path(), 3)).unwrap(), state());
}

#[test]
fn floats_in_a_state_come_back_bit_for_bit() {
    // Found by chance with serde_json's fast float parser, which is off by one unit in the last place now and then.
    let root = tempfile::tempdir().unwrap();
    let mut stream = crate::Streams::new(1).stream(crate::Key::task(0, 0), "floats", 0);
    let numbers: Vec<f64> =
        (0..3000).map(|_| f64::from(stream.uniform()).powf(1.0 + 0.12 * f64::from(stream.uniform()))).collect();
    let before = TrainerState { filter: json!(numbers), ..state() };
    let after = TrainerState::read(&commit(&before, root.path(), 3)).unwrap();
    for (before, after) in numbers.iter().zip(after.filter.as_array().unwrap()) {
        assert_eq!(before.to_bits(), after.as_f64().unwrap().to_bits());
    }
}

#[test]
fn a_state_that_does_not_fit_its_checkpoint_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let message = TrainerState::read(&commit(&state(), root.path(), 4)).unwrap_err().to_string();
    assert!(message.contains("expected step 4 as in the manifest, got 3"), "{message}");
    let other = Writer::begin(root.path(), 5).unwrap();
    let other = Reader::open(&other.commit(KEEP).unwrap()).unwrap();
    let message = TrainerState::read(&other).unwrap_err().to_string();
    assert!(message.contains("expected a file `state.json`"), "{message}");
}

#[test]
fn a_foreign_checkpoint_is_refused_with_the_difference() {
    let changed = |change: fn(&mut TrainerState)| {
        let mut now = state();
        change(&mut now);
        state().check_same_run(&now)
    };
    changed(|_| {}).unwrap();
    type Change = fn(&mut TrainerState);
    let cases: [(Change, &str); 6] = [
        (|s| s.policy = "janus".to_owned(), "the policy: expected showo as in the checkpoint, got janus"),
        (|s| s.seed = 1, "the seed: expected 18446744073709551615 as in the checkpoint, got 1"),
        (
            |s| s.config["objective"]["beta"] = json!(0.02),
            "objective.beta: expected 0.01 as in the checkpoint, got 0.02",
        ),
        (
            |s| s.config["objective"]["eps"] = json!(0.2),
            "objective.eps: expected nothing as in the checkpoint, got 0.2",
        ),
        (
            |s| s.trainer["learning_rate"] = json!(0.5),
            "trainer.learning_rate: expected 1e-6 as in the checkpoint, got 0.5",
        ),
        (|s| s.trainer["group_size"] = json!(4), "trainer.group_size: expected 9 as in the checkpoint, got 4"),
    ];
    for (change, expected) in cases {
        let error = changed(change).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Checkpoint);
        assert!(error.to_string().contains(expected), "expected {expected}, got {error}");
    }
}

#[test]
fn how_long_a_run_lasts_and_how_it_is_watched_may_change() {
    let mut now = state();
    now.config["run"]["name"] = json!("b");
    now.config["trainer"]["steps"] = json!(20);
    for (key, value) in [
        ("steps", json!(20)),
        ("warmup_steps", json!(1)),
        ("chunk", json!({ "memory_mib": 64 })),
        ("overlap_rewards", json!(true)),
        ("checkpoint_every", json!(1)),
        ("keep_last", json!(9)),
        ("max_idle", json!(0)),
        ("stop_when", json!(["flat"])),
    ] {
        assert!(now.trainer.get(key).is_some(), "{key} is a key of the trainer");
        now.trainer[key] = value;
    }
    state().check_same_run(&now).unwrap();
}

#[test]
fn data_may_have_moved_and_must_be_of_the_same_kind() {
    let (mut before, mut now) = (state(), state());
    before.config["data"] = json!({ "kind": "unictokens", "root": "old/place" });
    now.config["data"] = json!({ "kind": "unictokens", "root": "new/place" });
    before.check_same_run(&now).unwrap();
    now.config["data"]["kind"] = json!("photographs");
    let error = before.check_same_run(&now).unwrap_err().to_string();
    assert!(error.contains("data.kind: expected \"unictokens\" as in the checkpoint, got \"photographs\""), "{error}");
}

#[test]
fn a_state_with_counters_and_fields_of_a_later_version_is_read() {
    let root = tempfile::tempdir().unwrap();
    let writer = Writer::begin(root.path(), 3).unwrap();
    let mut text = serde_json::to_value(state()).unwrap();
    text["progress"]["moon_phase"] = json!(4);
    text["weather"] = json!("fine");
    text["progress"].as_object_mut().unwrap().remove("idle_in_a_row");
    std::fs::write(writer.dir().join("state.json"), text.to_string()).unwrap();
    let reader = Reader::open(&writer.commit(KEEP).unwrap()).unwrap();
    assert_eq!(TrainerState::read(&reader).unwrap(), state());
}
