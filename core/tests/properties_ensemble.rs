//! Reward ensembles of any size and weights: abstentions, failures, and the order of rewards and samples.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "common/properties.rs"]
mod properties;

use common::Batchwise;
use counterpoint::{ClassWeights, Reward, RewardEnsemble, RewardStatistics, Sample, Score, Scored, Task};
use properties::cases;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_assume, prop_oneof, proptest};

const NAMES: [&str; 5] = ["tier", "ber", "der", "fer", "clip"];

fn scores() -> impl Strategy<Value = Score> {
    prop_oneof![
        6 => (-10.0..10.0_f64).prop_map(Score::Value),
        3 => Just(Score::Abstain("nothing to compare".into())),
        1 => Just(Score::Fail("unreadable".into())),
    ]
}

/// Weights of which at least one is above 0.
fn weights(n: usize) -> impl Strategy<Value = Vec<f64>> {
    let one = prop_oneof![3 => 0.01..3.0_f64, 1 => Just(0.0)];
    vec(one, n).prop_filter("all 0", |weights| weights.iter().any(|w| *w > 0.0))
}

/// Up to 5 rewards for up to 6 samples: the weights by default and for persons, and `[reward][sample]` scores.
#[derive(Debug, Clone)]
struct Case {
    default: Vec<f64>,
    person: Vec<f64>,
    scores: Vec<Vec<Score>>,
}

fn case() -> impl Strategy<Value = Case> {
    (1..=NAMES.len(), 1..7_usize)
        .prop_flat_map(|(rewards, samples)| (weights(rewards), weights(rewards), vec(vec(scores(), samples), rewards)))
        .prop_map(|(default, person, scores)| Case { default, person, scores })
}

impl Case {
    /// The ensemble of the rewards `order`, which answers from the table.
    fn ensemble(&self, order: &[usize]) -> RewardEnsemble {
        let reward = |&k: &usize| -> Box<dyn Reward> {
            let answers = self.scores[k].clone();
            Box::new(Batchwise(NAMES[k], move |samples: &[Sample]| {
                Ok(samples.iter().map(|s| answers[s.candidate as usize].clone()).collect())
            }))
        };
        let table = |weights: &[f64]| NAMES.iter().zip(weights).map(|(name, w)| ((*name).to_owned(), *w)).collect();
        let weights: ClassWeights =
            [("default".into(), table(&self.default)), ("person".into(), table(&self.person))].into();
        RewardEnsemble::new(order.iter().map(reward).collect(), weights).unwrap()
    }

    fn rewards(&self) -> Vec<usize> {
        (0..self.scores.len()).collect()
    }

    /// Every third sample is of a person, the others of a class without weights of its own.
    fn samples(&self) -> Vec<Sample> {
        let class = |i: u64| if i.is_multiple_of(3) { "person" } else { "animal" };
        let sample = |i: u64| {
            let task = Task::new(0, "").with_class(class(i));
            Sample::new(&task, i, String::new(), String::new(), None)
        };
        (0..self.scores[0].len() as u64).map(sample).collect()
    }

    fn weights(&self, sample: &Sample) -> &[f64] {
        if sample.class == "person" { &self.person } else { &self.default }
    }

    fn score(&self) -> Vec<Scored> {
        self.ensemble(&self.rewards()).score(&self.samples()).unwrap()
    }
}

fn close(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * (1.0 + b.abs()),
        (a, b) => a == b,
    }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn the_total_is_the_weighted_mean_of_those_present_times_all_weight(case in case()) {
        for (i, (sample, scored)) in case.samples().iter().zip(case.score()).enumerate() {
            let weights = case.weights(sample);
            let asked: Vec<usize> = case.rewards().into_iter().filter(|&k| weights[k] > 0.0).collect();
            let said: Vec<(String, Score)> =
                asked.iter().map(|&k| (NAMES[k].to_owned(), case.scores[k][i].clone())).collect();
            prop_assert_eq!(&scored.parts, &said, "only rewards with a weight are asked");

            let values: Vec<(f64, f64)> =
                asked.iter().filter_map(|&k| Some((weights[k], case.scores[k][i].value()?))).collect();
            let failed = said.iter().any(|(_, score)| matches!(score, Score::Fail(_)));
            if failed || values.is_empty() {
                prop_assert_eq!(scored.total, None);
                let reason = scored.reason().unwrap();
                prop_assert_eq!(reason.starts_with("failed: "), failed);
                for (name, score) in &said {
                    let told = matches!((score, failed), (Score::Fail(_), true) | (Score::Abstain(_), false));
                    prop_assert_eq!(reason.contains(&format!("`{name}`")), told, "{}", reason);
                }
                continue;
            }
            prop_assert_eq!(scored.reason(), None);
            let all: f64 = asked.iter().map(|&k| weights[k]).sum();
            let present: f64 = values.iter().map(|(w, _)| w).sum();
            let mean = values.iter().map(|(w, s)| w * s).sum::<f64>() / present;
            prop_assert!(close(scored.total, Some(all * mean)), "{:?} {}", scored.total, all * mean);
            let low = values.iter().map(|(_, s)| *s).fold(f64::INFINITY, f64::min);
            let high = values.iter().map(|(_, s)| *s).fold(f64::NEG_INFINITY, f64::max);
            let got = scored.total.unwrap() / all;
            prop_assert!(low - 1e-9 <= got && got <= high + 1e-9, "{got} is outside [{low}, {high}]");
        }
    }

    #[test]
    fn a_constant_in_all_weights_is_a_constant_in_all_totals(case in case(), factor in 0.1..20.0_f64) {
        let times = |weights: &[f64]| weights.iter().map(|w| w * factor).collect();
        let scaled = Case { default: times(&case.default), person: times(&case.person), ..case.clone() };
        for (one, other) in case.score().into_iter().zip(scaled.score()) {
            prop_assert!(close(other.total, one.total.map(|total| total * factor)), "{one:?} {other:?}");
        }
    }

    #[test]
    fn neither_the_order_of_rewards_nor_that_of_samples_matters(case in case()) {
        let samples = case.samples();
        let order: Vec<usize> = case.rewards().into_iter().rev().collect();
        let backwards: Vec<Sample> = samples.iter().rev().cloned().collect();
        let mut other = case.ensemble(&order).score(&backwards).unwrap();
        other.reverse();
        for (one, mut other) in case.score().into_iter().zip(other) {
            prop_assert!(close(one.total, other.total), "{one:?} {other:?}");
            other.parts.reverse();
            prop_assert_eq!(one.parts, other.parts);
        }
    }

    #[test]
    fn a_failure_takes_away_its_own_sample_and_no_other(case in case(), reward in 0..5_usize, at in 0..6_usize) {
        let (reward, at) = (reward % case.scores.len(), at % case.scores[0].len());
        let samples = case.samples();
        prop_assume!(case.weights(&samples[at])[reward] > 0.0);
        let mut failing = case.clone();
        failing.scores[reward][at] = Score::Fail("unreadable".into());
        for (i, (one, other)) in case.score().into_iter().zip(failing.score()).enumerate() {
            prop_assert_eq!(other.total, if i == at { None } else { one.total });
        }
    }

    #[test]
    fn statistics_are_those_of_what_was_said(case in case()) {
        let scored = case.score();
        let statistics = RewardStatistics::of(&scored);
        let said = |name: &str| -> Vec<Score> {
            scored.iter().flat_map(|s| &s.parts).filter(|(n, _)| n == name).map(|(_, score)| score.clone()).collect()
        };
        for one in &statistics {
            let all = said(&one.reward);
            let values: Vec<f64> = all.iter().filter_map(Score::value).collect();
            prop_assert_eq!(one.abstained + one.failed + values.len(), all.len());
            prop_assert_eq!(one.failed, all.iter().filter(|s| matches!(s, Score::Fail(_))).count());
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            // The other formula for the variance.
            let variance = values.iter().map(|v| v * v).sum::<f64>() / n - mean * mean;
            let some = |value: f64| (n > 0.0).then_some(value);
            prop_assert!(close(one.mean, some(mean)), "{one:?} {mean}");
            prop_assert!(close(one.std.map(|s| s * s + 100.0), some(variance + 100.0)), "{one:?} {variance}");
        }
        let spoken = NAMES.iter().filter(|name| !said(name).is_empty()).count();
        prop_assert_eq!(statistics.len(), spoken);
    }
}
