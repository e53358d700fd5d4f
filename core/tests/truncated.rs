//! Texts that ended at the sampler's limit, left out of the loss.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};

use common::{Faults, ToyPolicy, config, parts, trainer};
use counterpoint::objective::Normalization;
use counterpoint::updater::accumulate;
use counterpoint::{Event, Group, Policy, SegmentKind, SyncGrpoConfig, Trajectory};

/// Four candidates of the toy, text and image.
fn drawn() -> Vec<Trajectory> {
    let mut trainer = trainer(parts(), config(1));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let group = seen.clone();
    trainer.on_event(move |event| {
        if let Event::Group { rollouts, .. } = event {
            group.lock().unwrap().extend(rollouts.iter().map(|r| r.trajectory.clone()));
        }
    });
    trainer.step().unwrap();
    std::mem::take(&mut *seen.lock().unwrap())
}

/// Scored decisions and the gradient of a group.
fn learned(config: &SyncGrpoConfig, trajectories: Vec<Trajectory>) -> (f64, Vec<f64>) {
    let mut policy = ToyPolicy::new(Faults::default());
    let group = Group::new(0, trajectories, vec![1.0, -0.5, 0.25, -0.75]);
    let replayed = accumulate(&mut policy, &config.clone().init().unwrap(), &[group], 3, None).unwrap();
    let gradients = policy.gradients();
    policy.learner().discard();
    (replayed.all.stats.count, gradients)
}

fn close(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6)
}

#[test]
fn a_text_that_was_cut_off_counts_as_if_it_were_not_there_and_its_image_stays() {
    let drawn = drawn();
    assert_eq!(drawn.len(), 4);
    let mut cut = drawn.clone();
    cut[1].segments[0] = cut[1].segments[0].clone().with_truncated(true);
    let mut without = drawn.clone();
    without[1].segments.remove(0);
    assert!(without[1].segments.iter().all(|s| s.kind == SegmentKind::Generation));
    for normalization in [Normalization::Sum, Normalization::LengthMean, Normalization::TokenMean] {
        let config = SyncGrpoConfig { normalization, ..SyncGrpoConfig::default() };
        let masking = SyncGrpoConfig { mask_truncated: true, ..config.clone() };
        let (count, gradient) = learned(&masking, cut.clone());
        let (expected_count, expected) = learned(&config, without.clone());
        assert_eq!(count, expected_count, "{normalization:?}");
        assert!(close(&gradient, &expected), "{normalization:?}");
        let whole = learned(&config, cut.clone());
        assert_eq!(whole, learned(&config, drawn.clone()), "nothing is left out by default");
        assert!(!close(&whole.1, &expected), "{normalization:?}: there is something to leave out");
        assert_eq!(learned(&masking, drawn.clone()), whole, "nothing was cut off");
    }
}
