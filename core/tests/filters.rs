//! Group filters: what they admit and keep, how the DGS threshold moves, what state and settings they take.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use counterpoint::filter::{Damping, ThresholdControl};
use counterpoint::registry::{self, BuildContext};
use counterpoint::{
    DropZeroVariance, DynamicGroupScaling, DynamicGroupScalingConfig, Error, ErrorKind, GroupFilter, GroupOutcome,
    KeepAll, Key, Streams, TopKConfig,
};

fn group(admitted: usize, drafted: usize) -> GroupOutcome {
    GroupOutcome::new(vec![0.0; drafted], admitted, drafted)
}

fn build(name: &str, toml: &str) -> Result<Box<dyn GroupFilter>, Error> {
    let context = BuildContext::new(burn::tensor::Device::flex(), ".");
    registry::filter(name, &toml::from_str(toml).unwrap(), &context)
}

/// What a filter may not accept, and what the message has to say.
fn refused<T>(result: Result<T, Error>, says: &[&str]) {
    let error = result.err().expect("this should be refused");
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(says.iter().all(|s| text.contains(s)), "{text:?} should say {says:?}");
}

#[test]
fn keep_all_keeps_all() {
    let mut filter = KeepAll;
    assert_eq!(filter.admit(&[0.0, -1.0, f64::NAN]), [true; 3]);
    assert_eq!(filter.select(&[3.0, 1.0, 1.0], 2), [0, 1, 2]);
    assert_eq!(filter.finish_count(9), 9);
    assert!(!filter.needs_preview());
    assert!(filter.gauges().is_empty());
    assert_eq!(filter.state(), serde_json::Value::Null);
}

#[test]
fn top_k_finishes_more_and_keeps_the_best_in_candidate_order() {
    let filter = TopKConfig { oversample: 3, k: None }.init().unwrap();
    assert_eq!(filter.finish_count(2), 6);
    assert_eq!(filter.select(&[0.1, 0.9, 0.3, 0.8, -2.0, 0.2], 2), [1, 3]);
    assert_eq!(filter.select(&[0.5, 0.9, 0.5, 0.5], 2), [0, 1], "of equal rewards the lower candidate wins");
    assert_eq!(filter.select(&[0.5], 2), [0]);
    let filter = TopKConfig { oversample: 2, k: Some(3) }.init().unwrap();
    assert_eq!(filter.select(&[0.1, 0.9, 0.3, 0.8], 2), [1, 2, 3]);
}

#[test]
fn a_group_of_equal_rewards_is_dropped() {
    let filter = DropZeroVariance;
    assert!(filter.select(&[0.7, 0.7, 0.7], 3).is_empty());
    assert!(filter.select(&[0.7], 1).is_empty());
    assert_eq!(filter.select(&[0.7, 0.7, 0.7000001], 3), [0, 1, 2]);
    assert_eq!(filter.select(&[1.0, 0.0, 1.0], 3), [0, 1, 2]);
}

#[test]
fn dgs_admits_above_the_threshold_of_the_mapped_range() {
    let mut filter = DynamicGroupScalingConfig { range: [-1.0, 1.0], ..Default::default() }.init().unwrap();
    assert!(filter.needs_preview());
    assert_eq!(filter.admit(&[0.0, 0.001, -0.5, 7.0, f64::NAN]), [false, true, false, true, false]);
    let mut filter = DynamicGroupScalingConfig { control: ThresholdControl::Quantile, ..Default::default() };
    filter.threshold = -4.0;
    assert_eq!(filter.init().unwrap().admit(&[-3.9, -4.0, 1e9, f64::NAN]), [true, false, true, false]);
}

/// Thresholds after groups with PR = 1, 3/4, 1/8, 0, 1/2; the trend turns against the error in the third and fourth.
fn thresholds(config: DynamicGroupScalingConfig) -> Vec<f64> {
    let mut filter = config.init().unwrap();
    let step = |(admitted, drafted)| {
        filter.adapt(&group(admitted, drafted));
        filter.threshold()
    };
    [(8, 8), (6, 8), (1, 8), (0, 8), (4, 8)].map(step).to_vec()
}

fn close(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    assert!(got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-14), "got {got:?}, expected {expected:?}");
}

#[test]
fn trend_control_moves_as_computed_by_hand() {
    // 0.5^(1 - 0.12 * 0.75), then ^(1 - 0.12 * 0.5), then damped: ^(1 + 0.06 * 0.125), ^(1 + 0.06 * 0.25), then free.
    close(
        &thresholds(DynamicGroupScalingConfig::default()),
        &[0.5321850912266799, 0.552712061091274, 0.5502596705018626, 0.545351106985115, 0.5553616837893252],
    );
    // Damped exponents: 1 + 0.12 * 0.125 - 2 tau, 1 + 0.12 * 0.25 - 2 tau.
    close(
        &thresholds(DynamicGroupScalingConfig { damping: Damping::Momentum, ..Default::default() }),
        &[0.5321850912266799, 0.552712061091274, 0.5538635370651352, 0.5490637090803019, 0.5590286390084517],
    );
}

#[test]
fn stepped_control_moves_by_its_step_or_not_at_all() {
    let config = DynamicGroupScalingConfig { control: ThresholdControl::Stepped, ..Default::default() };
    close(&thresholds(config.clone()), &[0.505, 0.51, 0.505, 0.5, 0.505]);
    let mut filter = config.init().unwrap();
    filter.adapt(&group(1, 5)); // 0.5^(1 + 0.12 * 0.05) is 0.0021 away
    assert_eq!(filter.threshold(), 0.5);
}

#[test]
fn quantile_control_moves_as_computed_by_hand() {
    let mut filter =
        DynamicGroupScalingConfig { control: ThresholdControl::Quantile, ..Default::default() }.init().unwrap();
    let groups = [vec![3.0, 4.0, 5.0, 6.0], vec![1.0, 2.0, 3.0, 4.0], vec![2.0, 2.5]];
    let moved = groups.map(|scores| {
        let admitted = filter.admit(&scores).iter().filter(|a| **a).count();
        filter.adapt(&GroupOutcome::new(scores.clone(), admitted, scores.len()));
        filter.threshold()
    });
    close(&moved, &[3.6149839485942783, 3.6149839485942783, 3.311780093181863]);
}

#[test]
fn the_threshold_keeps_its_distance_from_zero_and_one() {
    let mut pass_rates = Streams::new(3).stream(Key::task(0, 0), "pass rates", 0);
    for (control, damping, mu) in [
        (ThresholdControl::Trend, Damping::Gain, 0.12),
        (ThresholdControl::Trend, Damping::Gain, 50.0),
        (ThresholdControl::Trend, Damping::Momentum, 50.0),
        (ThresholdControl::Stepped, Damping::Gain, 50.0),
    ] {
        let config = DynamicGroupScalingConfig { control, damping, mu, ..Default::default() };
        let mut filter = config.init().unwrap();
        let mut reached = (1.0_f64, 0.0_f64);
        // Long runs of none and all, which drive it into the clamp, then anything.
        for i in 0..3000 {
            let admitted = if i < 2000 { 100 * (i / 500 % 2) } else { pass_rates.below(101) };
            filter.adapt(&group(admitted, 100));
            reached = (reached.0.min(filter.threshold()), reached.1.max(filter.threshold()));
        }
        assert_eq!(reached, (0.01, 0.99), "{control:?} {damping:?} {mu}");
    }
}

#[test]
fn a_group_without_drafts_changes_nothing() {
    let mut filter = DynamicGroupScalingConfig::default().init().unwrap();
    let before = filter.state();
    filter.adapt(&group(0, 0));
    assert_eq!(filter.state(), before);
    assert_eq!(filter.gauges(), [("dgs/threshold", 0.5)]);
    filter.adapt(&group(3, 4));
    assert_ne!(filter.threshold(), 0.5);
    assert_eq!(filter.gauges(), [("dgs/threshold", filter.threshold())]);
}

fn exercised(config: DynamicGroupScalingConfig, groups: u64) -> DynamicGroupScaling {
    let mut filter = config.init().unwrap();
    go_on(&mut filter, 0..groups);
    filter
}

fn go_on(filter: &mut DynamicGroupScaling, groups: std::ops::Range<u64>) {
    for i in groups {
        let scores: Vec<f64> =
            Streams::new(5).stream(Key::task(i, 0), "score", 0).uniforms(7).iter().map(|&u| u.into()).collect();
        let admitted = filter.admit(&scores).iter().filter(|a| **a).count();
        filter.adapt(&GroupOutcome::new(scores, admitted, 7));
    }
}

#[test]
fn a_restored_filter_goes_on_bit_by_bit_as_the_one_that_never_stopped() {
    use ThresholdControl::{Quantile, Stepped, Trend};
    for (control, damping) in
        [(Trend, Damping::Gain), (Trend, Damping::Momentum), (Stepped, Damping::Gain), (Quantile, Damping::Gain)]
    {
        let config = DynamicGroupScalingConfig { control, damping, ..Default::default() };
        let mut whole = exercised(config.clone(), 50);
        let text = whole.state().to_string();
        let mut resumed = config.init().unwrap();
        resumed.restore(&serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(resumed.state(), whole.state());
        assert_eq!(resumed.gauges(), whole.gauges());
        go_on(&mut whole, 50..150);
        go_on(&mut resumed, 50..150);
        assert_eq!(resumed.threshold().to_bits(), whole.threshold().to_bits(), "{control:?} {damping:?}");
        assert_eq!(resumed.state(), whole.state());
    }
}

#[test]
fn a_state_without_drafts_has_no_pass_rate() {
    let config = DynamicGroupScalingConfig { mu: 0.2, ..Default::default() };
    let mut filter = exercised(config.clone(), 3);
    assert_eq!(filter.config(), &config);
    let mut state = filter.state();
    state["last"] = serde_json::json!([0, 0]);
    filter.restore(&state).unwrap();
    assert_eq!(filter.gauges(), [("dgs/threshold", filter.threshold())]);
}

#[test]
fn a_foreign_state_is_refused_and_changes_nothing() {
    let mut filter = exercised(DynamicGroupScalingConfig::default(), 3);
    let before = filter.state();
    let quantile = DynamicGroupScalingConfig { control: ThresholdControl::Quantile, ..Default::default() };
    let mut outside = before.clone();
    outside["threshold"]["value"] = "1.5".into();
    let mut nan = before.clone();
    nan["threshold"]["trend"] = "NaN".into();
    for state in [serde_json::json!(null), serde_json::json!({"T": 1}), exercised(quantile, 3).state(), outside, nan] {
        let error = filter.restore(&state).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Checkpoint, "{error}");
        assert_eq!(filter.state(), before);
    }
}

#[test]
fn every_filter_is_registered_by_name() {
    for name in ["keep_all", "top_k", "drop_zero_variance", "dgs"] {
        assert!(registry::filters().contains(&name), "{name}");
        let previews = build(name, "").unwrap().needs_preview();
        assert_eq!(previews, name == "dgs", "{name}");
    }
    let filter = build("dgs", "control = 'stepped'\nthreshold = 0.3\nsigma = 2\nrange = [-1, 1]").unwrap();
    assert_eq!(filter.gauges(), [("dgs/threshold", 0.3)]);
    assert_eq!(build("top_k", "oversample = 4\nk = 3").unwrap().finish_count(2), 8);
}

#[test]
fn settings_out_of_range_are_refused_with_key_range_and_value() {
    refused(build("dgs", "tpr = 1.5"), &["filter.tpr: expected a number in (0, 1), got 1.5"]);
    refused(build("dgs", "tpr = nan"), &["filter.tpr", "NaN"]);
    refused(build("dgs", "mu = 0"), &["filter.mu", "above 0", "got 0"]);
    refused(build("dgs", "mu = inf"), &["filter.mu"]);
    refused(build("dgs", "eta = 1.0"), &["filter.eta", "[0, 1)"]);
    refused(build("dgs", "sigma = -1.0"), &["filter.sigma", "got -1"]);
    refused(build("dgs", "delta = 0.5"), &["filter.delta", "(0, 0.5)"]);
    refused(build("dgs", "step = 0.0"), &["filter.step"]);
    refused(build("dgs", "threshold = 0.995"), &["filter.threshold", "[0.01, 0.99]", "0.995"]);
    refused(build("dgs", "control = 'quantile'\nthreshold = inf"), &["filter.threshold", "finite"]);
    assert!(build("dgs", "control = 'quantile'\nthreshold = 12.0").is_ok());
    refused(build("dgs", "range = [1.0, 1.0]"), &["filter.range", "[1, 1]"]);
    refused(build("dgs", "tpr_ = 0.2"), &["tpr_"]);
    refused(build("dgs", "damping = 'gian'"), &["gian"]);
    refused(build("keep_all", "k = 1"), &["k"]);
    refused(build("drop_zero_variance", "k = 1"), &["k"]);
    refused(build("top_k", "oversample = 0"), &["filter.oversample", "at least 1"]);
    refused(build("top_k", "k = 1"), &["filter.k", "at least 2", "got 1"]);
}
