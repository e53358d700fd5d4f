//! Signs that a run goes wrong while every number is finite.

use serde::{Deserialize, Serialize};

use super::streaks::{STEPS, Streaks};
use crate::metrics::Metrics;

/// Mean entropy below which a half decides nothing any more, in nats.
const DECIDED: f64 = 0.01;
/// KL of a decision, in nats, beyond which a half has left its reference.
const FAR: f64 = 1.0;
/// Share of its best value below which a score of the evaluation has fallen.
const FALLEN: f64 = 0.8;

/// A **sign** that a run goes wrong, named in `trainer.stop_when` where it is to end the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Sign {
    /// A half decides nothing any more: its mean entropy was below 0.01 nats for 10 steps in a row.
    Collapsed,
    /// In no group of 10 steps in a row did rewards differ.
    Flat,
    /// A half left its reference: its mean KL per decision was above 1 nat for 10 steps in a row.
    Drifted,
    /// The reward is outwitted: the evaluation's score (`evaluation.best`) fell below 0.8 of its best while the training reward is
    /// higher than it was then.
    Outwitted,
}

/// Counts signs; of each that is new it says what was seen.
#[derive(Debug, Default)]
pub(super) struct Health {
    streaks: Streaks,
    /// The best score of the evaluation, and the training reward when it was seen.
    best: Option<(f64, f64)>,
    reward: f64,
    outwitted: bool,
}

impl Health {
    /// Sees the metrics of a step; `score` names the evaluation's score, higher being better.
    pub(super) fn see(&mut self, metrics: &Metrics, score: Option<&str>) -> Vec<(Sign, String)> {
        let mut signs = Vec::new();
        // A step without the number says nothing.
        let mut count = |sign: Sign, half: &str, seen: Option<bool>, what: String| {
            if seen.is_some_and(|seen| self.streaks.completes(&format!("{sign:?}{half}"), seen)) {
                signs.push((sign, what));
            }
        };
        for half in ["understanding", "generation"] {
            let entropy = metrics.get(&format!("entropy/{half}"));
            let what = format!(
                "the entropy of {half} was below {DECIDED} nats for {STEPS} steps in a row: it decides nothing any more, and groups \
                 have nothing to compare; lower trainer.learning_rate, or raise the temperature or objective.beta"
            );
            count(Sign::Collapsed, half, entropy.map(|entropy| entropy < DECIDED), what);
            let kl = metrics.get(&format!("kl/{half}"));
            let what = format!(
                "the KL of {half} was above {FAR} nat a decision for {STEPS} steps in a row: it has left its reference; lower \
                 trainer.learning_rate or raise objective.beta"
            );
            count(Sign::Drifted, half, kl.map(|kl| kl > FAR), what);
        }
        let what = format!(
            "rewards differed in no group of {STEPS} steps in a row, so that nothing is learned; look at \
              the rewards, or at tasks that are too easy or too hard"
        );
        count(Sign::Flat, "", metrics.get("frac_reward_zero_std").map(|flat| flat >= 1.0), what);
        self.reward = metrics.get("reward").unwrap_or(self.reward);
        signs.extend(score.and_then(|name| self.outwitted(name, metrics.get(name)?)));
        signs
    }

    fn outwitted(&mut self, name: &str, score: f64) -> Option<(Sign, String)> {
        let (best, reward) = *self.best.get_or_insert((score, self.reward));
        if score >= best {
            self.best = Some((score, self.reward));
            return None;
        }
        if self.outwitted || score >= FALLEN * best || self.reward <= reward {
            return None;
        }
        self.outwitted = true;
        let what = format!(
            "{name} fell from {best:.3} to {score:.3} while the reward rose from {reward:.3} to {:.3}: it is outwitted; \
             go back to the best checkpoint, and mend the reward",
            self.reward
        );
        Some((Sign::Outwitted, what))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn metrics(numbers: &[(&str, f64)]) -> Metrics {
        let mut metrics = Metrics::new();
        numbers.iter().for_each(|(name, value)| metrics.insert(*name, *value));
        metrics
    }

    /// In which step each sign is seen.
    fn seen(steps: impl Iterator<Item = Metrics>, score: Option<&str>) -> Vec<(usize, Sign)> {
        let mut health = Health::default();
        let of_step = |(step, metrics): (usize, Metrics)| {
            health.see(&metrics, score).into_iter().map(move |(sign, _)| (step, sign)).collect::<Vec<_>>()
        };
        steps.enumerate().flat_map(of_step).collect()
    }

    #[test]
    fn a_sign_is_ten_steps_in_a_row_and_told_once() {
        let healthy = [("entropy/understanding", 0.5), ("kl/generation", 0.2), ("frac_reward_zero_std", 0.5)];
        assert_eq!(seen((0..40).map(|_| metrics(&healthy)), None), []);
        let broken = |step: usize| {
            let well = step == 5;
            let low = if well { 0.02 } else { 0.001 };
            metrics(&[
                ("entropy/understanding", low),
                ("entropy/generation", 1.0),
                ("kl/understanding", 1.5),
                ("frac_reward_zero_std", f64::from(u8::from(step != 2))),
            ])
        };
        let signs = seen((0..40).map(broken), None);
        assert_eq!(signs, [(9, Sign::Drifted), (12, Sign::Flat), (15, Sign::Collapsed)]);
    }

    #[test]
    fn steps_without_the_number_do_not_count() {
        let some =
            |step: usize| if step.is_multiple_of(2) { metrics(&[("frac_reward_zero_std", 1.0)]) } else { metrics(&[]) };
        assert_eq!(seen((0..40).map(some), None), [(18, Sign::Flat)]);
    }

    #[test]
    fn a_score_that_falls_while_the_reward_rises_is_a_sign() {
        let run = |scores: [f64; 4], rewards: [f64; 4]| {
            let steps = scores
                .into_iter()
                .zip(rewards)
                .map(|(score, reward)| metrics(&[("eval/image", score), ("reward", reward)]));
            seen(steps, Some("eval/image"))
        };
        assert_eq!(run([0.5, 0.6, 0.5, 0.4], [0.1, 0.2, 0.3, 0.4]), [(3, Sign::Outwitted)]);
        assert_eq!(run([0.5, 0.6, 0.5, 0.4], [0.1, 0.2, 0.2, 0.1]), [], "the reward fell too");
        assert_eq!(run([0.5, 0.6, 0.5, 0.6], [0.1, 0.2, 0.3, 0.4]), [], "not far enough");
        assert_eq!(run([0.6, 0.3, 0.3, 0.3], [0.1, 0.2, 0.3, 0.4]), [(1, Sign::Outwitted)], "once");
    }
}
