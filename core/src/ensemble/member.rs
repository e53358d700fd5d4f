//! One reward of an ensemble, with the lock that makes its callers take turns.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Error, ErrorKind, Judges, Result, Reward, Sample, Score};

/// What a reward is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Finished candidates.
    Finals,
    /// Half-made ones, as the surrogate of a filter.
    Previews,
}

pub(super) struct Member {
    pub(super) name: String,
    pub(super) device: Option<String>,
    pub(super) judges: Judges,
    pub(super) needs_states: bool,
    reward: Mutex<Box<dyn Reward>>,
}

impl Member {
    pub(super) fn new(reward: Box<dyn Reward>) -> Self {
        let (name, device, judges) = (reward.name().to_owned(), reward.device(), reward.judges());
        let needs_states = reward.needs_states();
        Self { name, device, judges, needs_states, reward: Mutex::new(reward) }
    }

    /// Calls the reward when it is free, up to `retries` times more if it fails, and checks what comes back. Also says how
    /// long it took, the wait for a turn aside.
    pub(super) fn ask(&self, samples: &[Sample], what: What, retries: usize) -> (Result<Vec<Score>>, Duration) {
        if samples.is_empty() {
            return (Ok(Vec::new()), Duration::ZERO);
        }
        let mut reward = self.lock();
        let started = Instant::now();
        let answer = self.answer(reward.as_mut(), samples, what, retries);
        (answer, started.elapsed())
    }

    /// The reward, once it is free. One that panicked is asked again by whoever goes on after that: it has seen the panic.
    pub(super) fn lock(&self) -> MutexGuard<'_, Box<dyn Reward>> {
        self.reward.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, reward: &mut dyn Reward, samples: &[Sample], what: What, retries: usize) -> Result<Vec<Score>> {
        let name = &self.name;
        let mut call = || match what {
            What::Finals => reward.score(samples),
            What::Previews => reward.preview(samples),
        };
        let mut result = call();
        for attempt in 1..=retries {
            let Err(error) = &result else { break };
            if error.kind() == ErrorKind::Stopped {
                break;
            }
            tracing::warn!(reward = name, attempt, error = %format_args!("{error:#}"), "reward failed, calling it again");
            result = call();
        }
        let scores = result.map_err(|e| match e.kind() {
            ErrorKind::Stopped => e.at(format!("reward `{name}`")),
            _ => Error::new(ErrorKind::Reward, format!("reward `{name}` failed {} times in a row", retries + 1))
                .with_source(e),
        })?;
        if scores.len() != samples.len() {
            return Err(Error::contract(format!(
                "reward `{name}`: expected {} scores, one per sample, got {}",
                samples.len(),
                scores.len()
            )));
        }
        for (sample, score) in samples.iter().zip(&scores) {
            if let Score::Value(value) = score
                && !value.is_finite()
            {
                return Err(Error::new(
                    ErrorKind::NonFinite,
                    format!("reward `{name}`: expected a finite score for candidate {}, got {value}", sample.candidate),
                ));
            }
        }
        Ok(scores)
    }
}
