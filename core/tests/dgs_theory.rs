//! Dynamic Group Scaling against its theory, by simulation.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::f64::consts::PI;

use counterpoint::filter::{Damping, ThresholdControl};
use counterpoint::{DynamicGroupScaling, DynamicGroupScalingConfig, GroupFilter, GroupOutcome, Key, Stream, Streams};
use rand_distr::{Distribution, StandardNormal};

/// Drafts per group in the closed loops: G = 9 at TPR = 1/4.
const DRAFTED: usize = 36;

/// A standard normal.
fn normal(stream: &mut Stream) -> f64 {
    StandardNormal.sample(stream)
}

/// One group in the closed loop: admit and adapt. Gives the pass rate.
fn turn(filter: &mut DynamicGroupScaling, scores: Vec<f64>) -> f64 {
    let admitted = filter.admit(&scores).iter().filter(|a| **a).count();
    let outcome = GroupOutcome::new(scores.clone(), admitted, scores.len());
    filter.adapt(&outcome);
    outcome.pass_rate()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// R and s bivariate normal with correlation rho; of the drafts the filter admits the top share p by s. Then
/// Var[R | s > t] = sd^2 (1 - rho^2 (1 - v_p)) with v_p = 1 + t lambda_p - lambda_p^2, and the mean of R moves by
/// rho sd lambda_p with lambda_p = phi(t) / p.
#[test]
fn selection_by_the_surrogate_shrinks_variance_and_shifts_the_mean_as_predicted() {
    let (centre, sd, drafts) = (0.6, 0.2, 200_000);
    let mut stream = Streams::new(11).stream(Key::task(0, 0), "bivariate normal", 0);
    for rho in [0.0, 0.4, 0.8, 0.95] {
        for (p, t) in [(0.5, 0.0), (0.25, 0.6744897501960817), (0.1, 1.2815515655446004)] {
            let config = DynamicGroupScalingConfig {
                control: ThresholdControl::Quantile,
                tpr: p,
                threshold: t,
                ..Default::default()
            };
            let mut filter = config.init().unwrap();
            let (scores, rewards): (Vec<f64>, Vec<f64>) = (0..drafts)
                .map(|_| {
                    let (s, e) = (normal(&mut stream), normal(&mut stream));
                    (s, centre + sd * (rho * s + (1.0 - rho * rho).sqrt() * e))
                })
                .unzip();
            let admitted = filter.admit(&scores);
            let kept: Vec<f64> = rewards.iter().zip(&admitted).filter(|(_, a)| **a).map(|(r, _)| *r).collect();
            let n = kept.len() as f64;

            let lambda = (-0.5 * t * t).exp() / (2.0 * PI).sqrt() / p;
            let v = 1.0 + t * lambda - lambda * lambda;
            let variance_expected = sd * sd * (1.0 - rho * rho * (1.0 - v));
            let mean_expected = centre + rho * sd * lambda;

            let m = mean(&kept);
            let moment = |k: i32| mean(&kept.iter().map(|r| (r - m).powi(k)).collect::<Vec<_>>());
            let variance = moment(2);
            let mean_error = (variance / n).sqrt();
            let variance_error = ((moment(4) - variance * variance) / n).sqrt();
            let rate_error = (p * (1.0 - p) / drafts as f64).sqrt();
            let case = format!("rho {rho}, p {p}");
            assert!((n / drafts as f64 - p).abs() < 3.0 * rate_error, "{case}: pass rate {}", n / drafts as f64);
            assert!((m - mean_expected).abs() < 3.0 * mean_error, "{case}: mean {m}, expected {mean_expected}");
            assert!(
                (variance - variance_expected).abs() < 3.0 * variance_error,
                "{case}: variance {variance}, expected {variance_expected}"
            );
        }
    }
}

/// Mean pass rate over groups 100 to 1000 while the surrogate's mean rises from 0.4 to 0.7, as a policy that learns.
fn pass_rate_under_drift(config: DynamicGroupScalingConfig, scale: f64) -> f64 {
    let mut filter = config.init().unwrap();
    let rates: Vec<f64> = (0..1000)
        .map(|i| {
            let mut stream = Streams::new(13).stream(Key::task(i, 0), "drift", 0);
            let centre = 0.4 + 0.3 * i as f64 / 1000.0;
            turn(&mut filter, (0..DRAFTED).map(|_| scale * (centre + 0.1 * normal(&mut stream))).collect())
        })
        .collect();
    mean(&rates[100..])
}

#[test]
fn the_pass_rate_is_held_at_its_target_under_a_drifting_surrogate() {
    let base = DynamicGroupScalingConfig::default();
    for tpr in [0.15, 0.25, 0.5] {
        for damping in [Damping::Gain, Damping::Momentum] {
            let rate = pass_rate_under_drift(DynamicGroupScalingConfig { tpr, damping, ..base.clone() }, 1.0);
            assert!((rate - tpr).abs() < 0.05, "trend, {damping:?}, TPR {tpr}: {rate}");
        }
        let mapped = DynamicGroupScalingConfig { tpr, range: [0.0, 10.0], ..base.clone() };
        let rate = pass_rate_under_drift(mapped, 10.0);
        assert!((rate - tpr).abs() < 0.05, "trend, mapped range, TPR {tpr}: {rate}");
        let control = ThresholdControl::Quantile;
        let rate = pass_rate_under_drift(DynamicGroupScalingConfig { tpr, control, ..base.clone() }, 10.0);
        assert!((rate - tpr).abs() < 0.05, "quantile, TPR {tpr}: {rate}");
    }
}

/// Inside its dead zone, |mu Delta T ln T| <= step, the stepped control does nothing: it promises no more than that.
#[test]
fn the_stepped_control_brings_the_pass_rate_into_its_dead_zone() {
    let config = DynamicGroupScalingConfig { control: ThresholdControl::Stepped, ..Default::default() };
    let mut filter = config.clone().init().unwrap();
    let mut pass_rate = 0.0;
    for _ in 0..400 {
        pass_rate = expected_turn(&mut filter, |t| 1.0 - t);
    }
    let t = filter.threshold();
    let dead_zone = config.step / (config.mu * t * t.ln().abs());
    assert!(pass_rate > 0.25 && pass_rate - 0.25 < 1.05 * dead_zone, "{pass_rate}, dead zone {dead_zone}");
}

/// One group in the noise-free loop: the pass rate is the expected one, P(s > T). Gives it.
fn expected_turn(filter: &mut DynamicGroupScaling, survival: impl Fn(f64) -> f64) -> f64 {
    let drafted = 1_000_000_000;
    let admitted = (survival(filter.threshold()) * drafted as f64).round() as usize;
    let outcome = GroupOutcome::new(Vec::new(), admitted, drafted);
    filter.adapt(&outcome);
    outcome.pass_rate()
}

/// Deviations from the fixed point over the last 20 of 2000 noise-free groups, without damping (sigma = 1), begun close
/// to it.
fn late_deviations(mu: f64, fixed_point: f64, survival: fn(f64) -> f64) -> Vec<f64> {
    let config = DynamicGroupScalingConfig { mu, sigma: 1.0, threshold: fixed_point + 0.01, ..Default::default() };
    let mut filter = config.init().unwrap();
    let deviations: Vec<f64> = (0..2000)
        .map(|_| {
            expected_turn(&mut filter, survival);
            filter.threshold() - fixed_point
        })
        .collect();
    deviations[1980..].to_vec()
}

#[test]
fn the_loop_is_stable_exactly_below_the_linear_bound() {
    // Survival function and density of surrogates on [0, 1]: uniform, Beta(2, 2), Beta(2, 1).
    type Function = fn(f64) -> f64;
    let surrogates: [(Function, Function); 3] = [
        (|x| 1.0 - x, |_| 1.0),
        (|x| 1.0 - x * x * (3.0 - 2.0 * x), |x| 6.0 * x * (1.0 - x)),
        (|x| 1.0 - x * x, |x| 2.0 * x),
    ];
    for (i, (survival, density)) in surrogates.into_iter().enumerate() {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if survival(middle) > 0.25 { low = middle } else { high = middle }
        }
        let fixed_point: f64 = low;
        // 0 < mu f(T*) T* |ln T*| < 2
        let bound = 2.0 / (density(fixed_point) * fixed_point * fixed_point.ln().abs());

        let calm = late_deviations(0.95 * bound, fixed_point, survival);
        assert!(calm.iter().all(|d| d.abs() < 1e-7), "surrogate {i}, below the bound: {calm:?}");

        let wild = late_deviations(1.05 * bound, fixed_point, survival);
        assert!(wild.iter().all(|d| d.abs() > 0.01), "surrogate {i}, above the bound: {wild:?}");
        assert!(wild.windows(2).all(|w| w[0] * w[1] < 0.0), "surrogate {i}, above the bound: {wild:?}");
    }
}

#[test]
fn the_quantile_control_finds_the_quantile_of_any_normal_surrogate() {
    // The 0.75 quantile of N(3, 2) (mean 3, standard deviation 2).
    let expected = 3.0 + 2.0 * 0.6744897501960817;
    for start in [0.5, -50.0, 1e4] {
        let config =
            DynamicGroupScalingConfig { control: ThresholdControl::Quantile, threshold: start, ..Default::default() };
        let mut filter = config.init().unwrap();
        let mut thresholds = Vec::new();
        for i in 0..2500 {
            let mut stream = Streams::new(17).stream(Key::task(i, 0), "quantile", 0);
            turn(&mut filter, (0..DRAFTED).map(|_| 3.0 + 2.0 * normal(&mut stream)).collect());
            thresholds.push(filter.threshold());
        }
        let late = &thresholds[500..];
        assert!((mean(late) - expected).abs() < 0.03, "from {start}: {} instead of {expected}", mean(late));
        let furthest = late.iter().map(|t| (t - expected).abs()).fold(0.0, f64::max);
        assert!(furthest < 0.5, "from {start}: up to {furthest} away");
    }
}
