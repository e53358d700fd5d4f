//! Reward ensembles: combination, abstentions, failures, broken contracts, retries.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};

use counterpoint::Score::{Abstain, Fail, Value};
use counterpoint::{
    ClassWeights, Error, ErrorKind, Result, Reward, RewardEnsemble, RewardStatistics, Sample, Score, Task,
};

/// Every batch of candidate numbers that a reward was asked about.
type Calls = Arc<Mutex<Vec<Vec<u64>>>>;

struct Scripted<F> {
    name: &'static str,
    calls: Calls,
    answer: F,
}

impl<F: FnMut(&[Sample]) -> Result<Vec<Score>> + Send> Reward for Scripted<F> {
    fn name(&self) -> &str {
        self.name
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        self.calls.lock().unwrap().push(samples.iter().map(|s| s.candidate).collect());
        (self.answer)(samples)
    }
}

/// A reward that answers from a closure, and the record of its calls.
fn batchwise<F>(name: &'static str, answer: F) -> (Box<dyn Reward>, Calls)
where
    F: FnMut(&[Sample]) -> Result<Vec<Score>> + Send + 'static,
{
    let calls = Calls::default();
    (Box::new(Scripted { name, calls: calls.clone(), answer }), calls)
}

fn each(name: &'static str, answer: fn(u64) -> Score) -> Box<dyn Reward> {
    batchwise(name, move |samples| Ok(samples.iter().map(|s| answer(s.candidate)).collect())).0
}

fn sample(candidate: u64, class: &str) -> Sample {
    Sample::new(&Task::new(0, "").with_class(class), candidate, String::new(), String::new(), None)
}

fn samples(n: u64) -> Vec<Sample> {
    (0..n).map(|i| sample(i, "animal")).collect()
}

fn weights(text: &str) -> ClassWeights {
    toml::from_str(text).unwrap()
}

fn message(result: Result<impl Sized>, kind: ErrorKind) -> String {
    let error: Error = result.err().expect("this should fail");
    assert_eq!(error.kind(), kind, "{error:#}");
    format!("{error:#}")
}

fn assert_close(got: Option<f64>, expected: f64) {
    let got = got.expect("a total");
    assert!((got - expected).abs() < 1e-14, "expected {expected}, got {got}");
}

const PAPER: &str = "
    default = { tier = 0.4, ber = 0.3, der = 0.3, fer = 0 }
    person = { tier = 0.4, ber = 0.2, der = 0.2, fer = 0.2 }
";

#[test]
fn the_total_is_the_weighted_sum_of_the_samples_class() {
    let (fer, fer_calls) = batchwise("fer", |s| Ok(vec![Value(0.9); s.len()]));
    let rewards =
        vec![each("tier", |_| Value(0.5)), each("ber", |c| Value(0.1 * c as f64)), each("der", |_| Value(0.7)), fer];
    let mut ensemble = RewardEnsemble::new(rewards, weights(PAPER)).unwrap();
    assert_eq!(ensemble.names().collect::<Vec<_>>(), ["tier", "ber", "der", "fer"]);

    let scored = ensemble.score(&[sample(1, "animal"), sample(2, "person"), sample(3, "object")]).unwrap();
    assert_close(scored[0].total, 0.4 * 0.5 + 0.3 * 0.1 + 0.3 * 0.7);
    assert_close(scored[1].total, 0.4 * 0.5 + 0.2 * 0.2 + 0.2 * 0.7 + 0.2 * 0.9);
    assert_close(scored[2].total, 0.4 * 0.5 + 0.3 * 0.3 + 0.3 * 0.7);
    let names = |i: usize| scored[i].parts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    assert_eq!(names(0), ["tier", "ber", "der"]);
    assert_eq!(names(1), ["tier", "ber", "der", "fer"]);
    assert_eq!(*fer_calls.lock().unwrap(), [vec![2]], "asked about persons only");

    ensemble.score(&samples(2)).unwrap();
    assert_eq!(fer_calls.lock().unwrap().len(), 1, "not called where it has no weight");
    let alone = ensemble.score_with("fer", &samples(2)).unwrap();
    assert_eq!(alone, [Value(0.9), Value(0.9)], "called by name whatever its weight");
}

#[test]
fn an_abstention_leaves_its_weight_to_the_others() {
    let rewards = vec![
        each("tier", |c| if c == 3 { Abstain("no facts".into()) } else { Value(0.5) }),
        each("ber", |c| if c == 3 { Abstain("no image".into()) } else { Value(0.8) }),
        each("der", |c| if c == 0 { Value(0.2) } else { Abstain("no reference".into()) }),
    ];
    let table = weights("default = { tier = 0.4, ber = 0.3, der = 0.3 }");
    let scored = RewardEnsemble::new(rewards, table).unwrap().score(&samples(4)).unwrap();
    assert_close(scored[0].total, 0.4 * 0.5 + 0.3 * 0.8 + 0.3 * 0.2);
    assert_close(scored[1].total, (0.4 * 0.5 + 0.3 * 0.8) / 0.7);
    assert_eq!(scored[0].reason(), None);
    assert_eq!(scored[3].total, None);
    assert_eq!(
        scored[3].reason().unwrap(),
        "every reward abstained: `tier` (no facts), `ber` (no image), `der` (no reference)"
    );
}

#[test]
fn weights_that_do_not_sum_to_one_keep_their_scale_under_abstention() {
    let rewards =
        vec![each("a", |_| Value(1.0)), each("b", |c| if c == 0 { Value(1.0) } else { Abstain("not here".into()) })];
    let mut ensemble = RewardEnsemble::new(rewards, weights("default = { a = 3, b = 1 }")).unwrap();
    let scored = ensemble.score(&samples(2)).unwrap();
    assert_eq!((scored[0].total, scored[1].total), (Some(4.0), Some(4.0)));
}

#[test]
fn a_failure_drops_the_sample_and_only_it() {
    let rewards = vec![
        each("ber", |_| Value(0.5)),
        each("fer", |c| if c == 1 { Fail("corrupt image".into()) } else { Value(1.0) }),
    ];
    let mut ensemble = RewardEnsemble::new(rewards, weights("default = { ber = 0.5, fer = 0.5 }")).unwrap();
    let scored = ensemble.score(&samples(3)).unwrap();
    assert_eq!(scored.iter().map(|s| s.total).collect::<Vec<_>>(), [Some(0.75), None, Some(0.75)]);
    assert_eq!(scored[1].reason().unwrap(), "failed: `fer` (corrupt image)");
}

#[test]
fn a_score_that_is_not_finite_names_reward_and_candidate() {
    for (value, text) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let (bad, calls) = batchwise("ber", move |s| {
            Ok(s.iter().map(|s| Value(if s.candidate == 3 { value } else { 0.5 })).collect())
        });
        let mut ensemble = RewardEnsemble::new(vec![bad], weights("default = { ber = 1 }")).unwrap();
        let said = message(ensemble.score(&samples(5)), ErrorKind::NonFinite);
        assert_eq!(said, format!("reward `ber`: expected a finite score for candidate 3, got {text}"));
        assert_eq!(calls.lock().unwrap().len(), 1, "no retry would help");
        message(ensemble.score_with("ber", &samples(5)), ErrorKind::NonFinite);
    }
    let huge = vec![each("a", |_| Value(f64::MAX)), each("b", |_| Value(f64::MAX))];
    let mut ensemble = RewardEnsemble::new(huge, weights("default = { a = 1, b = 1 }")).unwrap();
    assert!(message(ensemble.score(&samples(1)), ErrorKind::NonFinite).contains("candidate 0"));
}

#[test]
fn a_wrong_number_of_scores_breaks_the_contract() {
    let (short, calls) = batchwise("der", |s| Ok(vec![Value(0.5); s.len() - 1]));
    let mut ensemble = RewardEnsemble::new(vec![short], weights("default = { der = 1 }")).unwrap();
    let said = message(ensemble.score(&samples(4)), ErrorKind::Contract);
    assert_eq!(said, "reward `der`: expected 4 scores, one per sample, got 3");
    assert_eq!(calls.lock().unwrap().len(), 1);
}

#[test]
fn a_reward_that_fails_as_a_whole_is_called_again_then_stops_the_run_with_its_name() {
    let flaky = |failures: usize| {
        let mut left = failures;
        batchwise("tier", move |s| {
            if left > 0 {
                left -= 1;
                return Err(Error::new(ErrorKind::Io, "connection lost"));
            }
            Ok(vec![Value(0.5); s.len()])
        })
    };
    let table = || weights("default = { tier = 1 }");

    let (reward, calls) = flaky(2);
    let scored = RewardEnsemble::new(vec![reward], table()).unwrap().score(&samples(2)).unwrap();
    assert_eq!((scored[1].total, calls.lock().unwrap().len()), (Some(0.5), 3));

    let (reward, calls) = flaky(3);
    let said = message(RewardEnsemble::new(vec![reward], table()).unwrap().score(&samples(2)), ErrorKind::Reward);
    assert_eq!(
        (said.as_str(), calls.lock().unwrap().len()),
        ("reward `tier` failed 3 times in a row: connection lost", 3)
    );

    let (reward, calls) = flaky(1);
    let mut ensemble = RewardEnsemble::new(vec![reward], table()).unwrap().with_retries(0);
    message(ensemble.score(&samples(2)), ErrorKind::Reward);
    assert_eq!(calls.lock().unwrap().len(), 1);
}

#[test]
fn statistics_count_what_each_reward_said() {
    let rewards = vec![
        each("ber", |c| Value([0.2, 0.4, 0.9][c as usize])),
        each("fer", |c| if c == 0 { Abstain("no face".into()) } else { Fail("corrupt image".into()) }),
    ];
    let mut ensemble = RewardEnsemble::new(rewards, weights("default = { ber = 0.5, fer = 0.5 }")).unwrap();
    let statistics = RewardStatistics::of(&ensemble.score(&samples(3)).unwrap());
    assert_eq!(statistics.len(), 2);
    let metrics: Vec<(String, f64)> = statistics.iter().flat_map(|s| s.metrics()).collect();
    let names: Vec<&str> = metrics.iter().map(|(name, _)| name.as_str()).collect();
    let ber = ["rewards/ber/mean", "rewards/ber/std", "rewards/ber/abstained", "rewards/ber/failed"];
    assert_eq!(names, [&ber[..], &["rewards/fer/abstained", "rewards/fer/failed"]].concat());
    let values: Vec<f64> = metrics.iter().map(|(_, value)| *value).collect();
    let expected = [0.5, (0.26_f64 / 3.0).sqrt(), 0.0, 0.0, 1.0, 2.0];
    assert!(values.iter().zip(expected).all(|(v, e)| (v - e).abs() < 1e-14), "{values:?}");
    assert!(RewardStatistics::of(&[]).is_empty());
}

#[test]
fn no_samples_need_no_scores() {
    let (reward, calls) = batchwise("tier", |_| Err(Error::new(ErrorKind::Io, "never called")));
    let mut ensemble = RewardEnsemble::new(vec![reward], weights("default = { tier = 1 }")).unwrap();
    assert!(ensemble.score(&[]).unwrap().is_empty());
    assert!(calls.lock().unwrap().is_empty());
}

#[test]
fn weights_that_make_no_sense_are_refused() {
    let refused = |table: &str, says: &str| {
        let rewards = vec![each("tier", |_| Value(0.0)), each("ber", |_| Value(0.0))];
        let said = message(RewardEnsemble::new(rewards, weights(table)), ErrorKind::Config);
        assert!(said.contains(says), "{said:?} should say {says:?}");
    };
    refused(
        "default = { tier = -0.1 }",
        "reward_weights.default.tier: expected a finite number of at least 0, got -0.1",
    );
    refused("default = { tier = nan }", "got NaN");
    refused("default = { tier = 0 }", "reward_weights.default: expected at least one weight above 0");
    refused("default = {}", "at least one weight above 0");
    refused("person = { tier = 1 }", "reward_weights.default: expected a table");
    refused("default = { tire = 1 }", "did you mean `tier`?");
    refused("default = { tier = 1 }\nperson = { clip_score = 1 }", "reward_weights.person");

    let twice = vec![each("tier", |_| Value(0.0)), each("tier", |_| Value(0.0))];
    let said = message(RewardEnsemble::new(twice, weights("default = { tier = 1 }")), ErrorKind::Config);
    assert!(said.contains("rewards.tier"), "{said}");

    let mut ensemble =
        RewardEnsemble::new(vec![each("tier", |_| Value(0.0))], weights("default = { tier = 1 }")).unwrap();
    assert!(message(ensemble.score_with("teir", &samples(1)), ErrorKind::Config).contains("did you mean `tier`?"));
}
