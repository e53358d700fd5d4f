//! The objective over a whole group, chunked replay included: against torch, against a scalar reference in f64, and
//! against itself cut into other chunks. The policy under test is a table of log-probabilities, so that its
//! gradient is the objective's own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::tensor::{Device, Tensor};
use common::{Recorded, TablePolicy, trajectory};
use counterpoint::objective::{Advantage, Kl, Normalization, Ratio, StepSampling};
use counterpoint::updater::{Replayed, accumulate};
use counterpoint::{
    Error, ErrorKind, Group, GroupShape, ImagePositions, Loss, LossStats, Objective, Result, Scope, SyncGrpoConfig,
    Terms,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    #[serde(flatten)]
    group: Recorded,
    cases: Vec<Case>,
}

/// Made by `fixtures/objective.py`.
#[derive(Deserialize)]
struct Case {
    name: String,
    config: SyncGrpoConfig,
    loss: f64,
    gradient: Vec<f64>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/objective.json")).unwrap()
}

/// Loss statistics and gradient of the whole group.
fn run(fixture: &Fixture, config: &SyncGrpoConfig, chunk: usize, step: u64) -> (Replayed, Vec<f64>) {
    fixture.group.replay(config, chunk, step)
}

#[track_caller]
fn assert_close(got: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    let scale = expected.iter().fold(0.0_f64, |m, e| m.max(e.abs()));
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= tolerance * scale, "{what}: [{i}] expected {e}, got {g} (largest {scale})");
    }
}

#[test]
fn losses_and_gradients_are_those_of_torch() {
    let fixture = fixture();
    for case in &fixture.cases {
        let (replayed, gradient) = run(&fixture, &case.config, 2, 0);
        assert_close(&[replayed.all.stats.loss], &[case.loss], 5e-6, &case.name);
        assert_close(&gradient, &case.gradient, 5e-6, &case.name);
    }
}

#[test]
fn presets_are_the_published_ones() {
    let fixture = fixture();
    let presets = [
        ("sync_grpo", SyncGrpoConfig::default()),
        ("grpo", SyncGrpoConfig::grpo()),
        ("dr_grpo", SyncGrpoConfig::dr_grpo()),
        ("dapo", SyncGrpoConfig::dapo()),
        ("gspo", SyncGrpoConfig::gspo()),
    ];
    for (name, preset) in presets {
        assert_eq!(preset.clone().init().unwrap().config(), &preset, "{name}");
        assert_eq!(fixture.cases.iter().find(|c| c.name == name).unwrap().config, preset, "{name}");
    }
}

/// Central differences; the inputs stay away from the kinks of the clip.
fn scalar_gradient(group: &Recorded, config: &SyncGrpoConfig, steps: &[Vec<(usize, f64)>]) -> Vec<f64> {
    let at = group.flat();
    let moved = |i: usize, by: f64| {
        let mut at = at.clone();
        at[i] += by;
        group.expected(config, &at, steps).loss
    };
    (0..at.len()).map(|i| (moved(i, 1e-5) - moved(i, -1e-5)) / 2e-5).collect()
}

#[test]
fn every_combination_of_options_agrees_with_a_scalar_reference() {
    let fixture = fixture();
    for number in 0..2 * 2 * 3 * 4 * 4 * 3 * 3 * 2 {
        let mut rest = number;
        let mut pick = |n: usize| {
            let digit = rest % n;
            rest /= n;
            digit
        };
        let [clip_low, clip_high] = [[0.2, 0.2], [0.1, 0.35]][pick(2)];
        let ratio = [Ratio::Token, Ratio::Sequence][pick(2)];
        // The token-wise gradient of a sequence's ratio is that of the objective itself when all decisions weigh the
        // same; with other weights torch is the judge, above.
        let [a_und, a_gen] = if ratio == Ratio::Token { [0.4, 0.6] } else { [0.7, 0.7] };
        let config = SyncGrpoConfig {
            advantage: [Advantage::Centered, Advantage::Standardized, Advantage::LeaveOneOut][pick(3)],
            normalization: match (pick(4), ratio) {
                (0, _) => Normalization::Sum,
                (1, _) => Normalization::LengthMean,
                (2, Ratio::Token) => Normalization::SegmentMean,
                _ => Normalization::TokenMean,
            },
            ratio,
            clip_low,
            clip_high,
            kl: [Kl::K1, Kl::K2, Kl::K3, Kl::None][pick(4)],
            beta: 0.3,
            a_und,
            a_gen,
            image_positions: [ImagePositions::All, ImagePositions::Masked, ImagePositions::Revealed][pick(3)],
            denoising_steps: [None, Some(2), Some(9)][pick(3)],
            step_sampling: [StepSampling::Uniform, StepSampling::Stratified][pick(2)],
            ..SyncGrpoConfig::default()
        };
        let what = format!("{config:?}");
        let (replayed, gradient) = run(&fixture, &config, 4, 1);
        let group = &fixture.group;
        let steps = group.drawn(&config, 1);
        let loss = group.expected(&config, &group.flat(), &steps).loss;
        assert!((replayed.all.stats.loss - loss).abs() < 5e-6, "{what}: {loss} {replayed:?}");
        assert_close(&gradient, &scalar_gradient(group, &config, &steps), 1e-5, &what);
    }
}

#[test]
fn the_fixture_clips_on_both_sides_and_counts_it() {
    let fixture = fixture();
    let config = SyncGrpoConfig { image_positions: ImagePositions::Masked, ..SyncGrpoConfig::default() };
    let (replayed, _) = run(&fixture, &config, 3, 0);
    let [mut count, mut low, mut high, mut sum, mut largest, mut kl] = [0.0; 6];
    let advantages = config.clone().init().unwrap().advantages(&fixture.group.rewards);
    for (c, advantage) in fixture.group.candidates.iter().zip(advantages) {
        for half in 0..2 {
            for j in (0..c.old[half].len()).filter(|&j| half == 0 || c.undecided[j]) {
                let ratio = (c.current[half][j] - c.old[half][j]).exp();
                let d = c.reference[half][j] - c.current[half][j];
                count += 1.0;
                sum += ratio;
                kl += d.exp() - d - 1.0;
                largest = ratio.max(largest);
                low += f64::from(ratio < 0.8 && advantage < 0.0);
                high += f64::from(ratio > 1.2 && advantage > 0.0);
            }
        }
    }
    assert!(low > 0.0 && high > 0.0, "the inputs should reach both clips: {low} {high}");
    let stats = &replayed.all.stats;
    assert_eq!([stats.count, stats.clipped_low, stats.clipped_high], [count, low, high]);
    assert_close(&[stats.ratio, stats.ratio_max, stats.kl], &[sum, largest, kl], 1e-6, "statistics");
}

#[test]
fn gradients_do_not_depend_on_the_chunks() {
    let fixture = fixture();
    let subset = SyncGrpoConfig { denoising_steps: Some(2), ..SyncGrpoConfig::gspo() };
    for config in [SyncGrpoConfig::default(), SyncGrpoConfig::gspo(), SyncGrpoConfig::dapo(), subset] {
        let (whole, expected) = run(&fixture, &config, usize::MAX, 0);
        for chunk in [1, 2, 3] {
            let (replayed, gradient) = run(&fixture, &config, chunk, 0);
            assert_close(&gradient, &expected, 1e-5, &format!("chunk {chunk} of {config:?}"));
            assert_close(&[replayed.all.stats.loss], &[whole.all.stats.loss], 1e-5, "loss");
            assert_eq!(replayed.all.stats.count, whole.all.stats.count);
        }
    }
}

#[test]
fn the_average_over_all_subsets_of_steps_is_the_whole_gradient() {
    let fixture = fixture();
    let all = SyncGrpoConfig { image_positions: ImagePositions::Masked, ..SyncGrpoConfig::grpo() };
    let (_, expected) = run(&fixture, &all, 4, 0);
    // Of three steps {0, 1}, {0, 2} and {1, 2}; or {0} and one of {1, 2}.
    for (step_sampling, subsets) in [(StepSampling::Uniform, 3), (StepSampling::Stratified, 2)] {
        let some = SyncGrpoConfig { denoising_steps: Some(2), step_sampling, ..all.clone() };
        // The gradient of each candidate under each subset.
        let mut seen = std::collections::BTreeMap::new();
        for step in 0..40 {
            let (_, gradient) = run(&fixture, &some, 4, step);
            let mut rest = &gradient[..];
            for (i, (c, drawn)) in fixture.group.candidates.iter().zip(fixture.group.drawn(&some, step)).enumerate() {
                let (mine, others) = rest.split_at(c.old[0].len() + c.old[1].len());
                let steps: Vec<usize> = drawn.into_iter().map(|(step, _)| step).collect();
                seen.insert((i, steps), mine.to_vec());
                rest = others;
            }
        }
        assert_eq!(
            seen.len(),
            subsets * fixture.group.candidates.len(),
            "every subset of every candidate should have been drawn"
        );
        let mean: Vec<f64> = (0..fixture.group.candidates.len())
            .flat_map(|i| {
                let of: Vec<&Vec<f64>> = seen.iter().filter(|((j, _), _)| *j == i).map(|(_, g)| g).collect();
                (0..of[0].len()).map(|k| of.iter().map(|g| g[k]).sum::<f64>() / of.len() as f64).collect::<Vec<_>>()
            })
            .collect();
        assert_close(&mean, &expected, 1e-6, "average");
    }
}

#[test]
fn several_groups_are_averaged() {
    let fixture = fixture();
    let config = SyncGrpoConfig::default();
    let objective = config.clone().init().unwrap();
    let tables: Vec<_> = fixture.group.candidates.iter().map(|c| c.current.clone()).collect();
    let mut policy = TablePolicy::new(&tables, &tables);
    let group = |of: [usize; 2], advantages: [f64; 2]| {
        let trajectories = of.map(|i| {
            let c = &fixture.group.candidates[i];
            trajectory(i as u64, &c.old, c.undecided.clone(), fixture.group.per_step)
        });
        Group::new(0, trajectories.into(), advantages.into())
    };
    let groups = [group([0, 1], [0.5, -0.5]), group([1, 2], [0.25, -0.25])];
    let mut gradient = |groups: &[Group]| {
        accumulate(&mut policy, &objective, groups, 8, None).unwrap();
        let gradient = policy.gradient();
        counterpoint::Policy::learner(&mut policy).discard();
        gradient
    };
    let both = gradient(&groups);
    let [first, second] = [gradient(&groups[..1]), gradient(&groups[1..])];
    let mean: Vec<f64> = first.iter().zip(&second).map(|(a, b)| (a + b) / 2.0).collect();
    assert_close(&both, &mean, 1e-6, "two groups");
}

/// One decision at this log-probability, sampled at -1, as a chunk of its own.
fn single(current: f32, reference: f32, advantage: f32) -> Terms {
    let device = Device::flex().autodiff();
    let constant = |value: f32| Tensor::<2>::from_data([[value]], &device);
    let (log_probs, old) = (constant(current).require_grad(), constant(-1.0));
    let mut terms = Terms::new(log_probs, old, constant(advantage), constant(1.0));
    terms.reference = Some(constant(reference));
    terms
}

#[test]
fn far_off_log_probs_stay_finite() {
    let objective = SyncGrpoConfig::default().init().unwrap();
    for (current, reference) in [(-200.0, -1.0), (-1.0, -200.0), (-1e-6, -1000.0)] {
        for advantage in [-1.0, 1.0] {
            let terms = single(current, reference, advantage);
            let input = terms.log_probs.clone();
            let loss = objective.loss(terms).unwrap();
            assert!(loss.stats.loss.is_finite(), "{current} {reference}: {:?}", loss.stats);
            let gradient = input.grad(&loss.loss.backward()).unwrap().into_scalar::<f32>();
            assert!(gradient.is_finite(), "{current} {reference}: {gradient}");
        }
    }
}

#[test]
fn a_kl_term_without_weight_needs_no_reference_and_measures_none() {
    for (kl, beta, needed) in [(Kl::K3, 0.1, true), (Kl::K3, 0.0, false), (Kl::None, 0.1, false)] {
        let objective = SyncGrpoConfig { kl, beta, ..SyncGrpoConfig::default() }.init().unwrap();
        assert_eq!(objective.needs_reference(), needed, "{kl:?} {beta}");
        let mut terms = single(-1.0, -2.0, 1.0);
        if !needed {
            terms.reference = None;
        }
        assert_eq!(objective.loss(terms).unwrap().stats.kl > 0.0, needed, "{kl:?} {beta}");
    }
}

#[test]
fn a_ratio_beyond_the_limit_keeps_its_gradient_where_it_is_not_clipped() {
    let objective = SyncGrpoConfig { beta: 0.0, ..SyncGrpoConfig::default() }.init().unwrap();
    let gradient = |mut terms: Terms| {
        terms.old = terms.old - 39.0; // a log-ratio of 39
        let input = terms.log_probs.clone();
        input.grad(&objective.loss(terms).unwrap().loss.backward()).unwrap().into_scalar::<f32>()
    };
    assert!(gradient(single(-1.0, -1.0, -1.0)) > 1e8, "a bad answer that became likely is pushed down");
    assert_eq!(gradient(single(-1.0, -1.0, 1.0)), 0.0, "a good one is clipped");

    let objective = SyncGrpoConfig { beta: 1.0, ..SyncGrpoConfig::default() }.init().unwrap();
    let terms = single(-40.0, -1.0, 0.0);
    let input = terms.log_probs.clone();
    let gradient = input.grad(&objective.loss(terms).unwrap().loss.backward()).unwrap().into_scalar::<f32>();
    assert!(gradient < -1e8, "what the reference finds likely is pulled back: {gradient}");
}

#[test]
fn a_log_prob_that_is_not_finite_is_never_clamped_away() {
    let without = SyncGrpoConfig { kl: Kl::None, ..SyncGrpoConfig::default() }.init().unwrap();
    for objective in [SyncGrpoConfig::default().init().unwrap(), without] {
        for (current, advantage) in [(f32::NAN, 1.0), (f32::NAN, -1.0), (f32::NEG_INFINITY, 1.0)] {
            let stats = objective.loss(single(current, -1.0, advantage)).unwrap().stats;
            assert!(!stats.loss.is_finite(), "{stats:?}");
        }
    }
}

#[test]
fn what_an_objective_needs_and_lacks_is_an_error() {
    let mut terms = single(-1.0, -1.0, 1.0);
    terms.reference = None;
    let error = SyncGrpoConfig::default().init().unwrap().loss(terms.clone()).unwrap_err();
    assert!(error.to_string().contains("reference"), "{error}");
    let error = SyncGrpoConfig { kl: Kl::None, ..SyncGrpoConfig::gspo() }.init().unwrap().loss(terms).unwrap_err();
    assert!(error.to_string().contains("sequence ratio"), "{error}");
}

#[test]
fn only_what_is_needed_is_computed() {
    let needs = |config: SyncGrpoConfig| {
        let objective = config.init().unwrap();
        (objective.needs_reference(), objective.needs_sequence_ratio())
    };
    assert_eq!(needs(SyncGrpoConfig::default()), (true, false));
    assert_eq!(needs(SyncGrpoConfig::dapo()), (false, false));
    assert_eq!(needs(SyncGrpoConfig::gspo()), (true, true));
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    type Change = fn(&mut SyncGrpoConfig);
    let changes: [(&str, Change); 8] = [
        ("objective.clip_high: expected a number of at least 0, got -0.1", |c| c.clip_high = -0.1),
        ("objective.clip_high: expected a number of at least 0, got inf", |c| c.clip_high = f64::INFINITY),
        ("objective.beta: expected a number of at least 0, got NaN", |c| c.beta = f64::NAN),
        ("objective.a_und: expected a number of at least 0, got -1", |c| c.a_und = -1.0),
        ("objective.a_gen:", |c| c.a_gen = -1.0),
        ("objective.clip_low: expected a number in [0, 1], got 1.1", |c| c.clip_low = 1.1),
        ("objective.clip_low:", |c| c.clip_low = f64::NAN),
        ("objective.denoising_steps: expected at least 1, got 0", |c| c.denoising_steps = Some(0)),
    ];
    for (expected, change) in changes {
        let mut config = SyncGrpoConfig::default();
        change(&mut config);
        let error = config.init().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().starts_with(expected), "expected {expected}, got {error}");
    }
    let widest = SyncGrpoConfig { clip_low: 1.0, clip_high: 0.0, beta: 0.0, a_und: 0.0, ..SyncGrpoConfig::default() };
    assert!(widest.validate().is_ok());
}

/// An objective of which only the required methods are written.
struct Bare;

impl Objective for Bare {
    fn advantages(&self, rewards: &[f64]) -> Vec<f64> {
        rewards.to_vec()
    }

    fn weight(&self, _group: &GroupShape, _candidate: usize, _segment: usize) -> f64 {
        1.0
    }

    fn loss(&self, _terms: Terms) -> Result<Loss> {
        Err(Error::contract("never called"))
    }
}

#[test]
fn an_objective_that_says_nothing_else_scores_everything_against_the_reference() {
    assert_eq!(Bare.scope(), Scope::default());
    assert!(Bare.needs_reference() && !Bare.needs_sequence_ratio());
}

#[test]
fn means_are_taken_per_scored_decision() {
    let stats = |[count, loss, kl, ratio, ratio_max, clipped_low, clipped_high]: [f64; 7]| {
        let mut stats = LossStats::default();
        (stats.count, stats.loss, stats.kl) = (count, loss, kl);
        (stats.ratio, stats.ratio_max) = (ratio, ratio_max);
        (stats.clipped_low, stats.clipped_high) = (clipped_low, clipped_high);
        stats
    };
    let mut sum = stats([1.0, 0.5, 0.25, 2.0, 2.0, 1.0, 3.0]);
    sum.add(&stats([4.0, -1.0, 2.0, 5.0, 1.5, 1.0, 0.0]));
    assert_eq!(sum, stats([5.0, -0.5, 2.25, 7.0, 2.0, 2.0, 3.0]));
    assert_eq!((sum.mean(sum.kl), LossStats::default().mean(3.0)), (0.45, 0.0));
}
