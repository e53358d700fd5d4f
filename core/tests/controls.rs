//! The control tasks on the toy policy, and what they do to a policy that is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Fault, Faults, ToyPolicy, changed, config, parts};
use counterpoint::config::TrainerConfig;
use counterpoint::controls::{Control, Curve, Outcome};
use counterpoint::{Credit, ImagePositions, SyncGrpoConfig};

fn outcome(control: Control, objective: &SyncGrpoConfig, images_per_answer: usize) -> Outcome {
    let trainer =
        TrainerConfig { group_size: 8, images_per_answer, learning_rate: 0.05, tasks_per_step: 2, ..config(15) };
    control.run(parts(), &trainer, objective, '2', 3).unwrap()
}

#[test]
fn easy_rewards_rise_and_what_says_nothing_changes_nothing() {
    let revealed = SyncGrpoConfig {
        image_positions: ImagePositions::Revealed,
        credit: Credit::Causal,
        ..SyncGrpoConfig::default()
    };
    for (objective, images) in [(SyncGrpoConfig::default(), 1), (revealed, 2)] {
        for control in Control::ALL {
            let outcome = outcome(control, &objective, images);
            assert!(outcome.passed(), "{}: {outcome:?}", control.name());
        }
    }
}

#[test]
fn a_policy_that_does_not_learn_fails_them() {
    let still = TrainerConfig { group_size: 8, learning_rate: 1e-9, ..config(15) };
    for control in [Control::Understanding, Control::Generation, Control::Both] {
        let outcome = control.run(parts(), &still, &SyncGrpoConfig::default(), '2', 3).unwrap();
        assert!(!outcome.passed(), "{outcome:?}");
    }
}

#[test]
fn a_wrong_policy_is_refused_before_anything_is_learned() {
    let faults = Faults::default();
    *faults.lock().unwrap() = Some(Fault::Skew { kind: counterpoint::SegmentKind::Generation, step: 1, position: 2 });
    let parts = changed(parts(), |p| p.policy = Box::new(ToyPolicy::new(faults)));
    let error = Control::Both.run(parts, &config(15), &SyncGrpoConfig::default(), '2', 3).unwrap_err();
    assert!(error.to_string().contains("sampling and replay disagree"), "{error}");
}

#[test]
fn a_rise_is_measured_in_standard_errors() {
    let curve = |means: &[f64], deviation: f64| Curve {
        reward: "r".into(),
        means: means.to_vec(),
        deviations: vec![deviation; means.len()],
        candidates: 4,
    };
    // 0.4 above, with a variance of 0.09 (1 + 1 / 3) / 4 of the difference.
    let rise = curve(&[0.1, 0.9, 0.4, 0.5, 0.6], 0.3).rise().unwrap();
    assert!((rise - 0.4 / (0.12_f64 / 4.0).sqrt()).abs() < 1e-12, "{rise}");
    assert_eq!(curve(&[0.1, 0.1, 0.1, 0.1], 0.0).rise(), Some(0.0));
    assert_eq!(curve(&[0.1, 0.2, 0.2], 0.1).rise(), None);
}
