//! What a task came to, and its metrics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::metrics::{GROUP_STD, Metrics, mean_std};
use crate::{RewardStatistics, Rollout, Scored, Shares, Task};

/// Sampling steps spent, in candidates x steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Ledger {
    /// On candidates that were finished.
    pub kept: u64,
    /// On drafts that were dropped at the checkpoint step.
    pub dropped: u64,
    /// Not spent, because those drafts were dropped rather than finished.
    pub saved: u64,
}

impl Ledger {
    pub(crate) fn add(&mut self, other: &Self) {
        self.kept += other.kept;
        self.dropped += other.dropped;
        self.saved += other.saved;
    }
}

/// A group that was drawn for a task.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Drawn {
    /// The task's cursor: the key of its random streams.
    pub cursor: u64,
    /// The task.
    pub task: Task,
    /// The candidates that are learned from, two or more; none when the group was dropped.
    pub rollouts: Vec<Rollout>,
    /// Their rewards R_i.
    pub rewards: Vec<f64>,
    /// The same by what their parts judge.
    pub shares: Vec<Shares>,
    /// Scores of all finished candidates, redraws included.
    pub scores: Vec<Scored>,
    /// Whether all rewards of the last draw are equal; `None` when there were fewer than two.
    pub flat: Option<bool>,
    /// Attempts (waves of drafts) made.
    pub attempts: usize,
    /// Candidates that were finished, redraws included.
    pub finished: usize,
    /// Named numbers of these, candidate by candidate ([`Rollout::metrics`]).
    pub measured: Vec<(&'static str, f64)>,
    /// Drafts that the filter decided about: answers, where several images are painted for each.
    pub drafted: usize,
    /// Of which the filter admitted.
    pub admitted: usize,
    /// Sampling steps spent.
    pub ledger: Ledger,
    /// Where several images are painted for each answer, the share of candidates that were left without a sibling: their
    /// images are compared with nothing.
    pub alone: Option<f64>,
    /// Why the group was dropped, if it was.
    pub dropped: Option<String>,
    /// Seconds in which the rollout waited for rewards, previews included.
    pub(crate) waited: f64,
}

impl Drawn {
    pub(super) fn new(cursor: u64, task: Task) -> Self {
        Self {
            cursor,
            task,
            rollouts: Vec::new(),
            rewards: Vec::new(),
            shares: Vec::new(),
            scores: Vec::new(),
            flat: None,
            attempts: 0,
            finished: 0,
            measured: Vec::new(),
            drafted: 0,
            admitted: 0,
            ledger: Ledger::default(),
            alone: None,
            dropped: None,
            waited: 0.0,
        }
    }

    /// The metrics of a step's groups: those under `reward`, `rewards/`, `dgs/` and about groups in [`Metrics`].
    pub fn metrics(drawn: &[Self]) -> Metrics {
        let mut metrics = Metrics::new();
        let scores: Vec<Scored> = drawn.iter().flat_map(|d| d.scores.iter().cloned()).collect();
        let totals: Vec<f64> = scores.iter().filter_map(|s| s.total).collect();
        if let Some((mean, std)) = mean_std(&totals) {
            metrics.insert("reward", mean);
            metrics.insert("reward_std", std);
        }
        for (name, value) in RewardStatistics::of(&scores).iter().flat_map(RewardStatistics::metrics) {
            metrics.insert(name, value);
        }
        let mut measured: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (name, value) in drawn.iter().flat_map(|d| &d.measured) {
            measured.entry(name).or_default().push(*value);
        }
        for (name, spreads) in spreads(drawn) {
            if let Some((mean, _)) = mean_std(&spreads) {
                metrics.insert(format!("rewards/{name}/{GROUP_STD}"), mean);
            }
        }
        let mut mean = |name: &str, values: Vec<f64>| {
            if let Some((mean, _)) = mean_std(&values) {
                metrics.insert(name, mean);
            }
        };
        mean(
            "frac_reward_zero_std",
            drawn.iter().filter_map(|d| d.flat).map(|flat| f64::from(u8::from(flat))).collect(),
        );
        mean("frac_without_sibling", drawn.iter().filter_map(|d| d.alone).collect());
        let drafted = drawn.iter().filter(|d| d.drafted > 0);
        mean("dgs/pass_rate", drafted.map(|d| d.admitted as f64 / d.drafted as f64).collect());
        for (name, values) in measured {
            mean(name, values);
        }
        mean("dgs/attempts", drawn.iter().map(|d| d.attempts as f64).collect());
        let mut sum = |name: &str, of: fn(&Self) -> f64| metrics.insert(name, drawn.iter().map(of).sum());
        sum("groups_dropped", |d| f64::from(u8::from(d.dropped.is_some())));
        sum("dgs/steps_kept", |d| d.ledger.kept as f64);
        sum("dgs/steps_dropped", |d| d.ledger.dropped as f64);
        sum("dgs/steps_saved", |d| d.ledger.saved as f64);
        metrics
    }
}

/// Per reward, the standard deviation of its values in each group that has two or more.
fn spreads(drawn: &[Drawn]) -> BTreeMap<&str, Vec<f64>> {
    let mut spreads: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for group in drawn {
        let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (name, score) in group.scores.iter().flat_map(|scored| &scored.parts) {
            values.entry(name).or_default().extend(score.value());
        }
        for (name, values) in values.into_iter().filter(|(_, values)| values.len() > 1) {
            spreads.entry(name).or_default().extend(mean_std(&values).map(|(_, std)| std));
        }
    }
    spreads
}
