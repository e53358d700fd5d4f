//! Several rewards as one: `R = sum_k w_k s_k`, with weights per concept class.

mod member;
mod shares;

pub use shares::Shares;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use self::member::{Member, What};
use crate::config::nearest;
use crate::{Error, ErrorKind, Result, Reward, Sample, Score, Task};

/// Weights by concept class and reward name, such as `{"default": {"tier": 0.4, "ber": 0.3}, "person": {..}}`.
///
/// A class's table stands for itself: what it does not name has weight 0. Classes without a table use `default`.
pub type ClassWeights = BTreeMap<String, BTreeMap<String, f64>>;

/// The table for classes that have none of their own.
const DEFAULT_CLASS: &str = "default";
/// How often a reward that fails as a whole is called again.
const RETRIES: usize = 2;

/// Named rewards and their weights, as one score per sample.
///
/// `R = sum_k w_k s_k`. What abstained is left out and the weights of the others are scaled up to the same sum; a
/// failure drops the sample. A reward is asked only about samples in whose class it has a weight above 0.
pub struct RewardEnsemble {
    members: Arc<[Member]>,
    weights: Arc<ClassWeights>,
    retries: usize,
    /// Nanoseconds that rewards took since they were last read.
    busy: Arc<AtomicU64>,
}

/// What the ensemble says of one sample.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Scored {
    /// R, finite; `None` when a reward failed or all abstained: the sample is dropped from its group.
    pub total: Option<f64>,
    /// R by what its parts judge; all 0 without a total.
    pub shares: Shares,
    /// Name and score of every reward that was asked, in the ensemble's order.
    pub parts: Vec<(String, Score)>,
}

impl Scored {
    /// Why there is no total: the failures, or else the abstentions, by reward. `None` when there is one.
    pub fn reason(&self) -> Option<String> {
        if self.total.is_some() {
            return None;
        }
        let told = |pick: fn(&Score) -> Option<&String>| -> Vec<String> {
            self.parts.iter().filter_map(|(name, s)| pick(s).map(|why| format!("`{name}` ({why})"))).collect()
        };
        let failed = told(|s| if let Score::Fail(why) = s { Some(why) } else { None });
        if !failed.is_empty() {
            return Some(format!("failed: {}", failed.join(", ")));
        }
        let abstained = told(|s| if let Score::Abstain(why) = s { Some(why) } else { None });
        Some(format!("every reward abstained: {}", abstained.join(", ")))
    }
}

impl RewardEnsemble {
    /// The ensemble of `rewards` under `weights`, which calls a failing reward again twice.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when two rewards share a name, a weight names no reward, a weight is negative or not
    /// finite, a class has no positive weight, or there is no `default` class.
    pub fn new(rewards: Vec<Box<dyn Reward>>, weights: ClassWeights) -> Result<Self> {
        let mut names = HashSet::new();
        if let Some(twice) = rewards.iter().map(|r| r.name()).find(|name| !names.insert(*name)) {
            return Err(Error::config(format!("rewards.{twice}: expected one reward of this name, got two")));
        }
        if !weights.contains_key(DEFAULT_CLASS) {
            return Err(Error::config(format!(
                "reward_weights.{DEFAULT_CLASS}: expected a table of weights by reward name, got none"
            )));
        }
        let members = rewards.into_iter().map(Member::new).collect();
        let ensemble = Self { members, weights: weights.into(), retries: RETRIES, busy: Arc::default() };
        for (class, table) in ensemble.weights.iter() {
            for (name, weight) in table {
                ensemble.position(name).map_err(|e| e.at(format!("reward_weights.{class}")))?;
                if !(weight.is_finite() && *weight >= 0.0) {
                    return Err(Error::config(format!(
                        "reward_weights.{class}.{name}: expected a finite number of at least 0, got {weight}"
                    )));
                }
            }
            if table.values().all(|w| *w == 0.0) {
                return Err(Error::config(format!(
                    "reward_weights.{class}: expected at least one weight above 0, got none"
                )));
            }
        }
        Ok(ensemble)
    }

    /// The ensemble of one reward with weight 1.
    pub fn single(reward: impl Reward + 'static) -> Self {
        let weights = ClassWeights::from([(DEFAULT_CLASS.to_owned(), [(reward.name().to_owned(), 1.0)].into())]);
        let members = vec![Member::new(Box::new(reward))];
        Self { members: members.into(), weights: weights.into(), retries: RETRIES, busy: Arc::default() }
    }

    /// The same ensemble, which calls a reward that fails as a whole again up to `retries` times. Default 2.
    pub fn with_retries(mut self, retries: usize) -> Self {
        self.retries = retries;
        self
    }

    /// The rewards' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// Whether a reward that has a weight somewhere, or the one called `also`, needs the policy's states.
    pub(crate) fn needs_states(&self, also: Option<&str>) -> bool {
        let weighed =
            |name: &str| self.weights.values().any(|table| table.get(name).is_some_and(|weight| *weight > 0.0));
        self.members
            .iter()
            .any(|m| m.needs_states && (also == Some(m.name.as_str()) || also.is_none() && weighed(&m.name)))
    }

    /// The devices that rewards compute on, as far as they say so.
    pub(crate) fn devices(&self) -> impl Iterator<Item = &String> {
        self.members.iter().filter_map(|member| member.device.as_ref())
    }

    /// The same rewards for another thread. Each reward is called by one thread at a time.
    pub(crate) fn share(&self) -> Self {
        let Self { members, weights, retries, busy } = self;
        Self { members: members.clone(), weights: weights.clone(), retries: *retries, busy: busy.clone() }
    }

    /// What each reward has to remember, by name; those that remember nothing left out.
    pub(crate) fn state(&self) -> BTreeMap<String, Value> {
        let states = self.members.iter().map(|member| (member.name.clone(), member.lock().state()));
        states.filter(|(_, state)| !state.is_null()).collect()
    }

    /// Restores what [`state`](Self::state) returned; a reward that it does not name is given null.
    pub(crate) fn restore(&self, states: &BTreeMap<String, Value>) -> Result<()> {
        for member in self.members.iter() {
            let restored = member.lock().restore(states.get(&member.name).unwrap_or(&Value::Null));
            restored.map_err(|e| e.at(format_args!("reward `{}`", member.name)))?;
        }
        Ok(())
    }

    /// Asks every reward whether it can score `tasks`, as far as it has a weight in their class, and warns of a reward
    /// that has none anywhere and of a table that no task uses.
    pub(crate) fn check(&mut self, tasks: &[Task]) -> Result<()> {
        for member in self.members.iter() {
            if self.weights.values().all(|table| table.get(&member.name).is_none_or(|weight| *weight == 0.0)) {
                tracing::warn!(
                    "rewards.{}: has no weight in any class (reward_weights), so it is no part of the reward",
                    member.name
                );
            }
            let asked = tasks.iter().filter(|task| self.weight(&task.class, &member.name) > 0.0);
            let asked: Vec<Task> = asked.cloned().collect();
            if !asked.is_empty() {
                member.lock().check(&asked).map_err(|e| e.at(format_args!("reward `{}`", member.name)))?;
            }
        }
        let classes: BTreeSet<&str> = tasks.iter().map(|task| task.class.as_str()).collect();
        let unused = |class: &&String| !(classes.is_empty() || classes.contains(class.as_str()));
        for class in self.weights.keys().filter(unused).filter(|class| *class != DEFAULT_CLASS) {
            let known: Vec<&str> = classes.iter().copied().collect();
            let known = known.join("`, `");
            tracing::warn!("reward_weights.{class}: no task is of this class (classes of the data: `{known}`)");
        }
        Ok(())
    }

    /// Refuses the name of a reward that is not in the ensemble.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with the names that are.
    pub(crate) fn check_name(&self, name: &str) -> Result<()> {
        self.position(name).map(|_| ())
    }

    /// Seconds that rewards took on all threads since this was last asked.
    pub(crate) fn take_busy(&self) -> f64 {
        Duration::from_nanos(self.busy.swap(0, Ordering::Relaxed)).as_secs_f64()
    }

    /// Scores `samples`: one [`Scored`] per sample, in order.
    ///
    /// # Errors
    /// [`ErrorKind::Reward`] with the reward's name when it failed as a whole, retries included; [`ErrorKind::Stopped`] when it
    /// asked not to be called again;
    /// [`ErrorKind::Contract`] when it returned another number of scores; [`ErrorKind::NonFinite`] naming reward and
    /// candidate when a score is NaN or infinite.
    pub fn score(&mut self, samples: &[Sample]) -> Result<Vec<Scored>> {
        self.judge(samples)
    }

    /// As [`score`](RewardEnsemble::score), from any thread.
    pub(crate) fn judge(&self, samples: &[Sample]) -> Result<Vec<Scored>> {
        let mut scored = vec![Scored::default(); samples.len()];
        for member in self.members.iter() {
            let weighed = (0..samples.len()).filter(|&i| self.weight(&samples[i].class, &member.name) > 0.0);
            let (withheld, asked): (Vec<usize>, Vec<usize>) = weighed.partition(|&i| samples[i].withheld.is_some());
            for i in withheld {
                let why = samples[i].withheld.clone().unwrap_or_default();
                scored[i].parts.push((member.name.clone(), Score::Abstain(why)));
            }
            let scores = if asked.len() == samples.len() {
                self.ask(member, samples, What::Finals)?
            } else {
                let some: Vec<Sample> = asked.iter().map(|&i| samples[i].clone()).collect();
                self.ask(member, &some, What::Finals)?
            };
            for (i, score) in asked.into_iter().zip(scores) {
                scored[i].parts.push((member.name.clone(), score));
            }
        }
        for (sample, item) in samples.iter().zip(&mut scored) {
            (item.total, item.shares) = self.combine(&sample.class, &item.parts);
            if item.total.is_some_and(|total| !total.is_finite()) {
                return Err(Error::new(
                    ErrorKind::NonFinite,
                    format!(
                        "the weighted sum of rewards overflows for candidate {}: {:?}",
                        sample.candidate, item.parts
                    ),
                ));
            }
        }
        Ok(scored)
    }

    /// Scores `samples` with the reward called `name` alone, whatever its weight.
    ///
    /// # Errors
    /// As [`score`](RewardEnsemble::score); [`ErrorKind::Config`] when there is no such reward.
    pub fn score_with(&mut self, name: &str, samples: &[Sample]) -> Result<Vec<Score>> {
        let k = self.position(name)?;
        self.ask(&self.members[k], samples, What::Finals)
    }

    /// Scores half-made candidates with the reward called `name` alone, the surrogate, whatever its weight: by
    /// [`Reward::preview`].
    ///
    /// # Errors
    /// As [`score_with`](RewardEnsemble::score_with).
    pub fn preview_with(&mut self, name: &str, previews: &[Sample]) -> Result<Vec<Score>> {
        self.judge_previews(name, previews)
    }

    /// As [`preview_with`](RewardEnsemble::preview_with), from any thread.
    pub(crate) fn judge_previews(&self, name: &str, previews: &[Sample]) -> Result<Vec<Score>> {
        let k = self.position(name)?;
        self.ask(&self.members[k], previews, What::Previews)
    }

    fn position(&self, name: &str) -> Result<usize> {
        self.members.iter().position(|member| member.name == name).ok_or_else(|| {
            let hint = nearest(name, self.names()).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            let known = self.names().collect::<Vec<_>>().join(", ");
            Error::config(format!("expected the name of a reward, got `{name}`{hint} (rewards: {known})"))
        })
    }

    fn weight(&self, class: &str, name: &str) -> f64 {
        let table = self.weights.get(class).or_else(|| self.weights.get(DEFAULT_CLASS));
        table.and_then(|t| t.get(name)).copied().unwrap_or(0.0)
    }

    /// R and its shares; no total where a reward failed or all abstained.
    fn combine(&self, class: &str, parts: &[(String, Score)]) -> (Option<f64>, Shares) {
        let (mut sum, mut present, mut all) = (0.0, 0.0, 0.0);
        let mut shares = Shares::default();
        for (name, score) in parts {
            let weight = self.weight(class, name);
            all += weight;
            match score {
                Score::Value(value) => {
                    sum += weight * value;
                    present += weight;
                    let judges = self.members.iter().find(|member| member.name == *name).map(|member| member.judges);
                    *shares.of_mut(judges.unwrap_or_default()) += weight * value;
                }
                Score::Abstain(_) => {}
                Score::Fail(_) => return (None, Shares::default()),
            }
        }
        if present <= 0.0 {
            return (None, Shares::default());
        }
        // Without abstentions the sum is taken as it is, not rounded once more by a factor of 1.
        let scale = all / present;
        match present == all {
            true => (Some(sum), shares),
            false => (Some(sum * scale), shares.scaled(scale)),
        }
    }

    fn ask(&self, member: &Member, samples: &[Sample], what: What) -> Result<Vec<Score>> {
        let (scores, took) = member.ask(samples, what, self.retries);
        self.busy.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        scores
    }
}

/// One reward's scores over many samples.
#[derive(Debug, Clone, PartialEq)]
pub struct RewardStatistics {
    /// The reward's name.
    pub reward: String,
    /// Mean of its values; `None` when it gave none.
    pub mean: Option<f64>,
    /// Standard deviation of its values (division by their number); `None` when it gave none.
    pub std: Option<f64>,
    /// How many samples it abstained from.
    pub abstained: usize,
    /// How many samples it failed on.
    pub failed: usize,
}

impl RewardStatistics {
    /// The statistics of every reward that occurs in `scored`, in order of first occurrence.
    pub fn of(scored: &[Scored]) -> Vec<Self> {
        let mut seen = HashSet::new();
        let parts = || scored.iter().flat_map(|s| &s.parts);
        let names = parts().map(|(name, _)| name).filter(|name| seen.insert(*name)).collect::<Vec<_>>();
        let of = |name: &String| {
            let scores: Vec<&Score> = parts().filter(|(n, _)| n == name).map(|(_, score)| score).collect();
            let values: Vec<f64> = scores.iter().filter_map(|s| s.value()).collect();
            let mean_of = |v: &[f64]| (!v.is_empty()).then(|| v.iter().sum::<f64>() / v.len() as f64);
            let mean = mean_of(&values);
            let variance = mean.and_then(|m| mean_of(&values.iter().map(|v| (v - m).powi(2)).collect::<Vec<_>>()));
            Self {
                reward: name.clone(),
                mean,
                std: variance.map(f64::sqrt),
                abstained: scores.iter().filter(|s| matches!(s, Score::Abstain(_))).count(),
                failed: scores.iter().filter(|s| matches!(s, Score::Fail(_))).count(),
            }
        };
        names.into_iter().map(of).collect()
    }

    /// The same as metrics: `rewards/<name>/mean`, `std` (both only with values), `abstained` and `failed`.
    pub fn metrics(&self) -> impl Iterator<Item = (String, f64)> {
        let Self { reward, mean, std, abstained, failed } = self;
        [("mean", *mean), ("std", *std), ("abstained", Some(*abstained as f64)), ("failed", Some(*failed as f64))]
            .into_iter()
            .filter_map(move |(what, value)| Some((format!("rewards/{reward}/{what}"), value?)))
    }
}
