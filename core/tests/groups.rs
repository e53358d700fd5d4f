//! From drafts to a group: waves, attempts, the ledger, and samples without a score.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::{Arc, Mutex};

use common::{STEPS, alone, changed, config, each, listen, parts, taste, trainer, weights};
use counterpoint::config::TrainerConfig;
use counterpoint::{DropZeroVariance, ErrorKind, GroupFilter, GroupOutcome, Parts, Score, Trainer};

#[test]
fn a_sample_that_cannot_be_scored_is_dropped_and_counted() {
    let reward = each("taste", |s| match s.candidate {
        1 => Score::Fail("unreadable".into()),
        _ => Score::Value(taste(s)),
    });
    let mut trainer = trainer(changed(parts(), |p| p.rewards = alone(reward)), config(3));
    let log = listen(&mut trainer);
    let report = trainer.step().unwrap();
    assert!(report.updated);
    assert_eq!(report.metrics.get("rewards/taste/failed"), Some(1.0));
    assert_eq!(log.lock().unwrap()[1], "group [0, 1, 2, 3] kept [0, 2, 3]");
}

#[test]
fn a_group_without_two_scores_is_drawn_again_and_dropped_at_the_cap() {
    let reward = each("taste", |s| match s.candidate % 4 {
        0 => Score::Value(taste(s)),
        _ => Score::Fail("unreadable".into()),
    });
    let parts = changed(parts(), |p| p.rewards = alone(reward));
    let mut trainer = trainer(parts, TrainerConfig { max_attempts: 2, ..config(3) });
    let log = listen(&mut trainer);
    let before = weights(&mut trainer);
    let report = trainer.step().unwrap();
    assert!(!report.updated);
    assert_eq!(report.metrics.get("groups_dropped"), Some(1.0));
    assert_eq!(report.metrics.get("rewards/taste/failed"), Some(6.0));
    assert_eq!(weights(&mut trainer), before);
    let expected = [
        "drafted 1 4/4",
        "group [0, 1, 2, 3] kept [0]",
        "drafted 2 4/4",
        "group [4, 5, 6, 7] kept [4]",
        "dropped no group worth learning from after 2 attempts: failed: `taste` (unreadable)",
        "step 0",
    ];
    let expected = expected.map(|line| line.replace("kept [4]", "kept [0]"));
    assert_eq!(*log.lock().unwrap(), expected);
    assert_eq!(trainer.progress().ledger.kept, 8 * STEPS as u64);
}

/// Admits what `decide` says of a wave, and keeps the preview scores it saw.
struct Scripted {
    seen: Arc<Mutex<Vec<f64>>>,
    decide: fn(usize) -> bool,
}

impl GroupFilter for Scripted {
    fn admit(&mut self, scores: &[f64]) -> Vec<bool> {
        let mut seen = self.seen.lock().unwrap();
        let first = seen.len();
        seen.extend(scores);
        (first..seen.len()).map(self.decide).collect()
    }

    fn adapt(&mut self, group: &GroupOutcome) {
        assert_eq!(group.scores, *self.seen.lock().unwrap());
    }

    fn needs_preview(&self) -> bool {
        true
    }
}

fn scripted(decide: fn(usize) -> bool) -> (Parts, Arc<Mutex<Vec<f64>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let filter = Scripted { seen: seen.clone(), decide };
    (
        changed(parts(), |p| {
            p.filter = Box::new(filter);
            p.surrogate = Some("taste".into());
        }),
        seen,
    )
}

/// Steps kept, dropped and saved.
fn spent(trainer: &Trainer) -> [u64; 3] {
    let ledger = trainer.progress().ledger;
    [ledger.kept, ledger.dropped, ledger.saved]
}

#[test]
fn at_the_cap_of_attempts_the_best_drafts_fill_the_group() {
    let (parts, seen) = scripted(|draft| draft == 6);
    let mut trainer = trainer(parts, TrainerConfig { max_attempts: 3, ..config(1) });
    let log = listen(&mut trainer);
    let report = trainer.step().unwrap();
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 12);
    // The admitted one and the three best of the others, ties to the lower number, in candidate order.
    let mut others: Vec<usize> = (0..12).filter(|&i| i != 6).collect();
    others.sort_by(|&a, &b| seen[b].total_cmp(&seen[a]));
    let mut expected = vec![6, others[0], others[1], others[2]];
    expected.sort_unstable();
    let lines = [
        "drafted 1 0/4".into(),
        "drafted 2 1/4".into(),
        "drafted 3 0/4".into(),
        "exhausted 3 3".into(),
        format!("group {expected:?} kept [0, 1, 2, 3]"),
        "step 0".into(),
    ];
    assert_eq!(*log.lock().unwrap(), lines);
    assert_eq!(spent(&trainer), [4 * STEPS as u64, 8, 8 * (STEPS as u64 - 1)]);
    assert!((report.metrics.get("dgs/pass_rate").unwrap() - 1.0 / 12.0).abs() < 1e-12);
    assert_eq!(report.metrics.get("dgs/attempts"), Some(3.0));
}

#[test]
fn waves_are_drawn_until_the_group_is_full_and_surplus_drafts_are_dropped() {
    let (parts, _) = scripted(|draft| draft % 4 != 0);
    let mut trainer = trainer(parts, config(1));
    let log = listen(&mut trainer);
    trainer.step().unwrap();
    let expected = ["drafted 1 3/4", "drafted 2 3/4", "group [1, 2, 3, 5] kept [0, 1, 2, 3]", "step 0"];
    assert_eq!(*log.lock().unwrap(), expected);
    assert_eq!(spent(&trainer), [4 * STEPS as u64, 4, 4 * (STEPS as u64 - 1)]);
}

#[test]
fn a_filter_that_needs_previews_needs_a_surrogate_that_is_a_reward() {
    for (surrogate, says) in [
        (
            None,
            "filter.surrogate: this filter needs the name of a reward that scores previews, got none (rewards: taste)",
        ),
        (Some("tast"), "filter.surrogate: expected the name of a reward, got `tast`; did you mean `taste`?"),
    ] {
        let (parts, _) = scripted(|_| true);
        let parts = changed(parts, |p| p.surrogate = surrogate.map(str::to_owned));
        let Err(error) = Trainer::new(parts, config(1), 7) else { panic!("was accepted") };
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn a_group_of_equal_rewards_is_drawn_again_under_dynamic_sampling() {
    let reward = each("taste", |s| Score::Value(if s.candidate < 4 { 0.5 } else { taste(s) }));
    let parts = changed(parts(), |p| {
        p.rewards = alone(reward);
        p.filter = Box::new(DropZeroVariance);
    });
    let mut trainer = trainer(parts, config(1));
    let log = listen(&mut trainer);
    assert!(trainer.step().unwrap().updated);
    let expected = [
        "drafted 1 4/4",
        "group [0, 1, 2, 3] kept []",
        "drafted 2 4/4",
        "group [4, 5, 6, 7] kept [0, 1, 2, 3]",
        "step 0",
    ];
    assert_eq!(*log.lock().unwrap(), expected);
}
