//! The objective for groups of any shape, weights and options, against a scalar reference in f64.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "common/properties.rs"]
mod properties;

use common::{Decisions, Recorded};
use counterpoint::objective::{Advantage, Kl, Normalization, Ratio, StepSampling};
use counterpoint::{ImagePositions, Objective, SyncGrpoConfig};
use properties::cases;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;

/// Multiples of 2^-10, which f32 holds exactly.
fn exact(range: std::ops::Range<f64>) -> impl Strategy<Value = f64> {
    range.prop_map(|x| (x * 1024.0).round() / 1024.0)
}

/// Log-probabilities of `n` decisions when they were sampled, now and under the reference.
fn log_probs(n: usize) -> impl Strategy<Value = [Vec<f64>; 3]> {
    vec((exact(-6.0..-0.1), exact(-0.6..0.6), exact(-1.0..1.0)), n).prop_map(|rows| {
        let column = |value: fn(&(f64, f64, f64)) -> f64| rows.iter().map(value).collect();
        [column(|r| r.0), column(|r| r.0 + r.1), column(|r| r.0 + r.1 + r.2)]
    })
}

fn candidate(text: std::ops::Range<usize>, per_step: usize) -> impl Strategy<Value = Decisions> {
    (text, 0..4_usize).prop_flat_map(move |(text, steps)| {
        let image = steps * per_step;
        (log_probs(text), log_probs(image), vec(any::<bool>(), image)).prop_map(|(text, image, undecided)| {
            let ([old, current, reference], [image_old, image_current, image_reference]) = (text, image);
            Decisions {
                old: [old, image_old],
                current: [current, image_current],
                reference: [reference, image_reference],
                undecided,
            }
        })
    })
}

/// Groups of 2 to 5 candidates with up to 4 text tokens and up to 3 denoising steps of up to 4 positions each; the first
/// has a text, the others may have nothing at all.
fn groups() -> impl Strategy<Value = Recorded> {
    (1..5_usize, 1..5_usize).prop_flat_map(|(per_step, others)| {
        let candidates = (candidate(1..5, per_step), vec(candidate(0..5, per_step), others));
        (candidates, vec(rewards(), others + 1)).prop_map(move |((first, mut candidates), rewards)| {
            candidates.insert(0, first);
            Recorded { per_step, rewards, candidates }
        })
    })
}

/// Rewards that are often equal.
fn rewards() -> impl Strategy<Value = f64> {
    prop_oneof![3 => -1.0..1.0_f64, 1 => select(vec![0.0, 0.5, 1.0])]
}

fn configs() -> impl Strategy<Value = SyncGrpoConfig> {
    let named = (
        select(vec![Advantage::Centered, Advantage::Standardized]),
        select(vec![
            Normalization::Sum,
            Normalization::LengthMean,
            Normalization::SegmentMean,
            Normalization::TokenMean,
        ]),
        select(vec![Ratio::Token, Ratio::Sequence]),
        select(vec![Kl::K1, Kl::K2, Kl::K3, Kl::None]),
        select(vec![ImagePositions::All, ImagePositions::Masked, ImagePositions::Revealed]),
        prop_oneof![Just(None), (1..5_usize).prop_map(Some)],
        select(vec![StepSampling::Uniform, StepSampling::Stratified]),
    );
    let weight = || prop_oneof![4 => 0.0..2.0, 1 => Just(0.0)];
    let numbers = (0.0..=1.0, 0.0..1.0, weight(), weight(), weight());
    (named, numbers).prop_map(|(named, (clip_low, clip_high, beta, a_und, a_gen))| {
        let (advantage, normalization, ratio, kl, image_positions, denoising_steps, step_sampling) = named;
        SyncGrpoConfig {
            advantage,
            normalization,
            ratio,
            clip_low,
            clip_high,
            kl,
            beta,
            a_und,
            a_gen,
            image_positions,
            denoising_steps,
            step_sampling,
            ..SyncGrpoConfig::default()
        }
    })
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn loss_gradient_and_statistics_are_those_of_the_scalar_reference(
        group in groups(), config in configs(), chunk in 1..9_usize, step in 0..4_u64,
    ) {
        let (replayed, gradient) = group.replay(&config, chunk, step);
        let expected = group.expected(&config, &group.flat(), &group.drawn(&config, step));
        let error = (replayed.all.stats.loss - expected.loss).abs();
        prop_assert!(error <= 5e-6 * expected.magnitude, "{} {expected:?}", replayed.all.stats.loss);
        for (i, (got, wanted)) in gradient.iter().zip(&expected.gradient).enumerate() {
            prop_assert!((got - wanted).abs() <= 5e-6 * expected.weight, "[{i}] {got} {wanted}");
        }
        let (got, wanted) = (&replayed.all.stats, &expected.stats);
        prop_assert_eq!(
            [got.count, got.clipped_low, got.clipped_high],
            [wanted.count, wanted.clipped_low, wanted.clipped_high]
        );
        let sums = [(got.kl, wanted.kl), (got.ratio, wanted.ratio), (got.ratio_max, wanted.ratio_max)];
        let sums_of = wanted.count;
        for (got, wanted) in sums {
            prop_assert!((got - wanted).abs() <= 5e-6 * (1.0 + sums_of), "{got} {wanted}");
        }
    }
    #[test]
    fn advantages_sum_to_zero_and_see_only_differences(
        rewards in vec(rewards(), 1..12), shift in -2.0..2.0_f64, scale in 0.1..10.0_f64, at in any::<u64>(),
    ) {
        let of = |config: SyncGrpoConfig, rewards: &[f64]| config.init().unwrap().advantages(rewards);
        let close = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        let moved: Vec<f64> = rewards.iter().map(|r| r + shift).collect();
        for config in [SyncGrpoConfig::default(), SyncGrpoConfig::grpo()] {
            let advantages = of(config.clone(), &rewards);
            prop_assert!(advantages.iter().sum::<f64>().abs() < 1e-9, "{advantages:?}");
            prop_assert!(close(&of(config.clone(), &moved), &advantages), "shifted by {shift}");
            let turn = at as usize % rewards.len();
            let mut turned = [rewards.clone(), advantages];
            turned.iter_mut().for_each(|values| values.rotate_left(turn));
            prop_assert!(close(&of(config, &turned[0]), &turned[1]), "turned by {turn}");
        }
        let centered = of(SyncGrpoConfig::default(), &rewards);
        let scaled: Vec<f64> = rewards.iter().map(|r| r * scale).collect();
        let expected: Vec<f64> = centered.iter().map(|a| a * scale).collect();
        prop_assert!(close(&of(SyncGrpoConfig::default(), &scaled), &expected), "scaled by {scale}");
        // Standardised ones have a sample standard deviation of 1, but for the 1e-4 that keeps them finite.
        let deviation = |values: &[f64]| {
            (values.iter().map(|v| v * v).sum::<f64>() / (values.len() as f64 - 1.0).max(1.0)).sqrt()
        };
        let before = deviation(&centered);
        let after = deviation(&of(SyncGrpoConfig::grpo(), &rewards));
        prop_assert!((after - before / (before + 1e-4)).abs() < 1e-9, "{after}");
    }
}
