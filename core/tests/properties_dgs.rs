//! Dynamic Group Scaling under any settings and any scores: where the threshold goes, and that the order of candidates does
//! not matter.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/properties.rs"]
mod properties;

use counterpoint::filter::{Damping, ThresholdControl};
use counterpoint::{
    DropZeroVariance, DynamicGroupScaling, DynamicGroupScalingConfig, GroupFilter, GroupOutcome, KeepAll, TopKConfig,
};
use properties::cases;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;

fn configs() -> impl Strategy<Value = DynamicGroupScalingConfig> {
    let control = select(vec![ThresholdControl::Trend, ThresholdControl::Stepped, ThresholdControl::Quantile]);
    let gain = prop_oneof![0.01..1.0_f64, 1.0..50.0_f64];
    // Targets that a group can meet exactly, too.
    let tpr = prop_oneof![0.01..0.99_f64, select(vec![0.25, 0.5, 1.0 / 3.0])];
    let numbers = (tpr, gain, 0.0..0.999_f64, 0.1..20.0_f64, 0.0..1.0_f64, 0.001..0.4_f64, 0.001..0.5_f64);
    (control, select(vec![Damping::Gain, Damping::Momentum]), numbers, -2.0..2.0_f64, 0.1..5.0_f64).prop_map(
        |(control, damping, (tpr, mu, eta, sigma, start, delta, step), low, width)| DynamicGroupScalingConfig {
            control,
            damping,
            tpr,
            mu,
            eta,
            sigma,
            threshold: delta + start * (1.0 - 2.0 * delta),
            delta,
            step,
            range: [low, low + width],
        },
    )
}

/// Surrogate scores: many of them equal, some outside every range, some not numbers.
fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -3.0..3.0_f64,
        3 => select(vec![-1.0, 0.0, 0.25, 0.5, 1.0]),
        1 => select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e6]),
    ]
}

fn waves() -> impl Strategy<Value = Vec<Vec<f64>>> {
    vec(vec(score(), 0..10), 1..30)
}

/// Admits and adapts to one wave; gives what was admitted.
fn turn(filter: &mut dyn GroupFilter, scores: &[f64]) -> Vec<bool> {
    let admitted = filter.admit(scores);
    assert_eq!(admitted.len(), scores.len());
    filter.adapt(&GroupOutcome::new(scores.to_vec(), admitted.iter().filter(|a| **a).count(), scores.len()));
    admitted
}

fn after(config: &DynamicGroupScalingConfig, waves: &[Vec<f64>]) -> DynamicGroupScaling {
    let mut filter = config.clone().init().unwrap();
    waves.iter().for_each(|scores| drop(turn(&mut filter, scores)));
    filter
}

/// One of the numbers in a filter's state.
fn number(filter: &DynamicGroupScaling, key: &str) -> f64 {
    filter.state()["threshold"][key].as_str().unwrap().parse().unwrap()
}

/// The threshold's rule, as the paper and the released code write it.
fn moved(c: &DynamicGroupScalingConfig, t: f64, trend: f64, error: f64) -> f64 {
    let conflict = trend * error > 0.0;
    let exponent = match (c.control, c.damping) {
        (ThresholdControl::Trend, Damping::Gain) if conflict => 1.0 + c.mu / c.sigma * error,
        (ThresholdControl::Trend, Damping::Momentum) if conflict => 1.0 + c.mu * error - c.sigma * trend,
        _ => 1.0 + c.mu * error,
    };
    let proposed = (exponent * t.ln()).exp();
    let next = match c.control {
        ThresholdControl::Stepped if (proposed - t).abs() <= c.step => return t,
        ThresholdControl::Stepped => t + c.step * (proposed - t).signum(),
        _ => proposed,
    };
    next.min(1.0 - c.delta).max(c.delta)
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn the_threshold_stays_inside_its_range(config in configs(), waves in waves()) {
        let mut filter = config.clone().init().unwrap();
        for scores in &waves {
            turn(&mut filter, scores);
            let t = filter.threshold();
            let inside = match config.control {
                ThresholdControl::Quantile => t.is_finite(),
                _ => (config.delta..=1.0 - config.delta).contains(&t),
            };
            prop_assert!(inside && number(&filter, "trend").is_finite(), "{t} {:?}", filter.state());
        }
    }

    #[test]
    fn the_threshold_moves_by_its_rule_and_against_the_error(config in configs(), waves in waves()) {
        let mut filter = config.clone().init().unwrap();
        for scores in waves.iter().filter(|scores| !scores.is_empty()) {
            let (t, trend) = (filter.threshold(), number(&filter, "trend"));
            let admitted = turn(&mut filter, scores).iter().filter(|a| **a).count();
            let error = config.tpr - admitted as f64 / scores.len() as f64;
            let change = filter.threshold() - t;
            if config.damping == Damping::Gain || config.control != ThresholdControl::Trend {
                prop_assert!(change * error <= 0.0, "with an error of {error} the threshold moved by {change}");
            }
            if config.control != ThresholdControl::Quantile {
                let expected = moved(&config, t, trend, error);
                prop_assert!((filter.threshold() - expected).abs() < 1e-9, "{} {expected}", filter.threshold());
            }
            let expected = config.eta * trend + (1.0 - config.eta) * change;
            prop_assert!((number(&filter, "trend") - expected).abs() <= 1e-12 * (1.0 + expected.abs()));
        }
    }

    #[test]
    fn what_is_admitted_is_what_lies_above_the_threshold(config in configs(), waves in waves(), scores in vec(score(), 1..10)) {
        let mut filter = after(&config, &waves);
        let (t, [low, high]) = (filter.threshold(), config.range);
        let expected: Vec<bool> = scores
            .iter()
            .map(|s| match config.control {
                ThresholdControl::Quantile => *s > t,
                _ => (s - low) / (high - low) > t,
            })
            .collect();
        prop_assert_eq!(filter.admit(&scores), expected, "{}", t);
        prop_assert_eq!(filter.threshold(), t, "admitting changes nothing");
    }

    #[test]
    fn the_order_of_candidates_does_not_matter(
        config in configs(), waves in waves(), (scores, order) in vec(score(), 1..10).prop_flat_map(|scores| {
            let order: Vec<usize> = (0..scores.len()).collect();
            (Just(scores), Just(order).prop_shuffle())
        }),
    ) {
        let mut one = after(&config, &waves);
        let mut other = one.clone();
        let shuffled: Vec<f64> = order.iter().map(|&i| scores[i]).collect();
        let admitted = turn(&mut one, &scores);
        let expected: Vec<bool> = order.iter().map(|&i| admitted[i]).collect();
        prop_assert_eq!(turn(&mut other, &shuffled), expected);
        prop_assert_eq!(one.state(), other.state());
    }

    #[test]
    fn a_restored_filter_is_the_same_filter(config in configs(), before in waves(), later in waves()) {
        let mut one = after(&config, &before);
        let mut other = config.init().unwrap();
        other.restore(&serde_json::from_str(&one.state().to_string()).unwrap()).unwrap();
        for scores in &later {
            prop_assert_eq!(turn(&mut one, scores), turn(&mut other, scores));
            prop_assert_eq!(one.state(), other.state());
        }
    }

    #[test]
    fn other_filters_admit_every_draft(scores in vec(score(), 0..10)) {
        let filters: [Box<dyn GroupFilter>; 3] =
            [Box::new(KeepAll), Box::new(DropZeroVariance), Box::new(TopKConfig::default().init().unwrap())];
        for mut filter in filters {
            prop_assert_eq!(turn(filter.as_mut(), &scores), vec![true; scores.len()]);
            prop_assert_eq!(filter.state(), serde_json::Value::Null);
        }
    }

    #[test]
    fn selections_keep_the_best_whatever_the_order(
        rewards in vec(prop_oneof![-1.0..1.0_f64, select(vec![0.0, 0.5])], 0..12), oversample in 1..4_usize,
        k in prop_oneof![Just(None), (2..6_usize).prop_map(Some)], group_size in 2..6_usize, at in any::<usize>(),
    ) {
        let filter = TopKConfig { oversample, k }.init().unwrap();
        prop_assert_eq!(filter.finish_count(group_size), oversample * group_size);
        let kept = filter.select(&rewards, group_size);
        prop_assert!(kept.is_sorted_by(|a, b| a < b));
        let mut best: Vec<f64> = kept.iter().map(|&i| rewards[i]).collect();
        best.sort_by(f64::total_cmp);
        let mut all = rewards.clone();
        all.sort_by(f64::total_cmp);
        let wanted = k.unwrap_or(group_size).min(rewards.len());
        prop_assert_eq!(&best, &all[all.len() - wanted..]);
        // Turned, the same rewards are kept.
        let mut turned = rewards.clone();
        turned.rotate_left(at.checked_rem(rewards.len()).unwrap_or(0));
        let mut again: Vec<f64> = filter.select(&turned, group_size).into_iter().map(|i| turned[i]).collect();
        again.sort_by(f64::total_cmp);
        prop_assert_eq!(again, best);

        let everything: Vec<usize> = (0..rewards.len()).collect();
        prop_assert_eq!(KeepAll.select(&rewards, group_size), &everything[..]);
        let equal = rewards.iter().all(|r| *r == rewards[0]);
        prop_assert_eq!(DropZeroVariance.select(&rewards, group_size), if equal { Vec::new() } else { everything });
    }
}
