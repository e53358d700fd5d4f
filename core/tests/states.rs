//! Rewards that need the policy's states get them; others do not, and a policy that has none says so.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::{Arc, Mutex};

use common::{Faults, ToyPolicy, alone, changed, config, each, parts, taste, trainer};
use counterpoint::config::{Overlap, TrainerConfig};
use counterpoint::{
    ErrorKind, Learner, LogProbs, Parameters, Policy, Replay, Result, Reward, RewardEnsemble, Sample, Score,
    TokenStates,
};

/// A toy that says how red an image is and how long its prompt, and counts how often it was asked.
struct Seeing {
    inner: ToyPolicy,
    asked: Arc<Mutex<usize>>,
}

impl Policy for Seeing {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        self.inner.log_probs(chunk, parameters)
    }

    fn learner(&mut self) -> &mut dyn Learner {
        self.inner.learner()
    }

    fn wrapped(&self) -> Option<&dyn Policy> {
        Some(&self.inner)
    }

    fn token_states(&self, samples: &[Sample]) -> Result<Vec<TokenStates>> {
        *self.asked.lock().unwrap() += samples.len();
        let red = |sample: &Sample| sample.image.as_ref().unwrap().pixels().map(|p| f32::from(p.0[0])).sum();
        let states = |sample: &Sample| TokenStates {
            width: 1,
            image: vec![red(sample)],
            text: vec![sample.prompt.len() as f32],
        };
        Ok(samples.iter().map(states).collect())
    }
}

/// Scores by what the policy says, and checks that it is of this sample.
struct Asking;

impl Reward for Asking {
    fn name(&self) -> &str {
        "asking"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let score = |sample: &Sample| {
            let states = sample.states.as_ref().expect("states were asked for");
            let red: f32 = sample.image.as_ref().unwrap().pixels().map(|p| f32::from(p.0[0])).sum();
            assert_eq!((states.image[0], states.text[0]), (red, sample.prompt.len() as f32));
            Score::Value(taste(sample))
        };
        Ok(samples.iter().map(score).collect())
    }

    fn needs_states(&self) -> bool {
        true
    }
}

fn run(rewards: RewardEnsemble, overlap_rewards: Overlap) -> (usize, Result<()>) {
    let asked = Arc::new(Mutex::new(0));
    let parts = changed(parts(), |parts| {
        parts.rewards = rewards;
        parts.policy = Box::new(Seeing { inner: ToyPolicy::new(Faults::default()), asked: asked.clone() });
    });
    let mut trainer = trainer(parts, TrainerConfig { overlap_rewards, tasks_per_step: 2, ..config(2) });
    let result = trainer.step().map(|_| ());
    let asked = *asked.lock().unwrap();
    (asked, result)
}

#[test]
fn they_are_there_for_every_finished_image_beside_the_next_rollout_as_well() {
    let group = config(1).group_size;
    for overlap in [Overlap::Never, Overlap::Always] {
        let (asked, result) = run(alone(Box::new(Asking)), overlap);
        result.unwrap();
        assert_eq!(asked, 2 * group, "{overlap:?}");
    }
}

#[test]
fn nobody_asks_where_no_reward_that_counts_needs_them() {
    let plain = || each("plain", |sample| Score::Value(f64::from(u8::from(sample.states.is_none()))));
    assert_eq!(run(alone(plain()), Overlap::Never).0, 0);
    let weights = [("default".to_owned(), [("plain".to_owned(), 1.0), ("asking".to_owned(), 0.0)].into())].into();
    let both = RewardEnsemble::new(vec![plain(), Box::new(Asking)], weights).unwrap();
    assert_eq!(run(both, Overlap::Never).0, 0, "it has no weight");
}

#[test]
fn a_policy_that_gives_none_is_named() {
    let parts = changed(parts(), |parts| parts.rewards = alone(Box::new(Asking)));
    let error = trainer(parts, config(1)).step().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contract);
    let text = format!("{error:#}");
    assert!(text.contains("needs the policy's hidden states") && text.contains("Policy::token_states"), "{text}");
}
