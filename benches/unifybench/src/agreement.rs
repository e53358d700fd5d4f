//! How well each reward agrees with the truth: does it rank right samples above wrong ones?

use std::collections::BTreeSet;
use std::fmt;

use counterpoint::Judged;
use serde::{Deserialize, Serialize};

use crate::cells::Cells;

/// Scores of 0 or 1 that rewards are compared with.
const TRUTHS: [&str; 4] = ["reasoning", "image", "joint", "painting/image"];

/// One reward against one truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreementRow {
    /// Name of the reward.
    pub reward: String,
    /// `reasoning`, `image`, `joint` or `painting/image`.
    pub truth: String,
    /// Samples that are right.
    pub right: usize,
    /// Samples that are wrong.
    pub wrong: usize,
    /// Area under the ROC curve, 0 to 1; 0.5 is chance. `None` when all samples are right, or all wrong.
    pub auc: Option<f64>,
}

/// Every reward against every truth; prints as a Markdown table, serialises to JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreementTable {
    /// The rows: reward by reward.
    pub rows: Vec<AgreementRow>,
}

impl AgreementTable {
    /// Over all of `samples`; a sample that a reward gave no score does not count for that reward.
    pub fn of<'a>(samples: impl Iterator<Item = &'a Judged> + Clone) -> Self {
        let names: BTreeSet<&str> = samples.clone().flat_map(|s| s.rewards.keys().map(String::as_str)).collect();
        let row = |reward: &str, truth: &str| {
            let scored = samples.clone().filter_map(|s| Some((*s.rewards.get(reward)?, s.score(truth)? == 1.0)));
            let (right, wrong): (Vec<_>, Vec<_>) = scored.partition(|(_, right)| *right);
            let scores = |of: &[(f64, bool)]| of.iter().map(|(score, _)| *score).collect::<Vec<_>>();
            AgreementRow {
                reward: reward.to_owned(),
                truth: truth.to_owned(),
                right: right.len(),
                wrong: wrong.len(),
                auc: auc(&scores(&right), &scores(&wrong)),
            }
        };
        let truths = TRUTHS.into_iter().filter(|truth| samples.clone().any(|sample| sample.score(truth).is_some()));
        let truths: Vec<&str> = truths.collect();
        Self { rows: names.iter().flat_map(|name| truths.iter().map(|truth| row(name, truth))).collect() }
    }
}

/// Share of pairs of a right and a wrong sample in which the right one scores higher; ties count half (Mann-Whitney).
pub fn auc(right: &[f64], wrong: &[f64]) -> Option<f64> {
    let pairs = right.len() * wrong.len();
    let won = |a: f64, b: f64| {
        if a > b {
            1.0
        } else if a == b {
            0.5
        } else {
            0.0
        }
    };
    let wins: f64 = right.iter().flat_map(|&a| wrong.iter().map(move |&b| won(a, b))).sum();
    (pairs > 0).then(|| wins / pairs as f64)
}

impl AgreementTable {
    /// As text.
    pub fn cells(&self) -> Cells {
        let row = |row: &AgreementRow| {
            let auc = row.auc.map_or("-".to_owned(), |auc| format!("{auc:.3}"));
            [row.reward.clone(), row.truth.clone(), row.right.to_string(), row.wrong.to_string(), auc]
        };
        Cells::new(["reward", "against", "right", "wrong", "AUC"], self.rows.iter().map(row))
    }
}

impl fmt::Display for AgreementTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cells().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::judged::Right;

    /// `scipy.stats.mannwhitneyu([.9, .4, .4], [.1, .4, .35, .8]).statistic / 12`, scipy 1.17.1; two ties.
    #[test]
    fn the_area_is_that_of_scipy() {
        assert_eq!(auc(&[0.9, 0.4, 0.4], &[0.1, 0.4, 0.35, 0.8]), Some(0.75));
        assert_eq!(auc(&[0.9], &[]), None);
    }

    #[test]
    fn a_reward_is_judged_by_the_samples_it_scored() {
        let sample = |score: Option<f64>, reasoning| Judged {
            scores: Right { reasoning, concept: true, place: true, accessory: true, colour: true }.scores(),
            rewards: score.map(|score| ("tier".to_owned(), score)).into_iter().collect(),
            ..Judged::default()
        };
        let samples = [sample(Some(0.9), true), sample(Some(0.2), false), sample(None, false), sample(Some(0.1), true)];
        let table = AgreementTable::of(samples.iter());
        assert_eq!(table.rows.len(), 3);
        let row = &table.rows[0];
        assert_eq!((row.right, row.wrong, row.auc), (2, 1, Some(0.5)));
        assert_eq!(table.rows[1].auc, None, "every image is right");
        assert!(table.to_string().contains("| tier | reasoning | 2 | 1 | 0.500 |"), "{table}");
    }

    #[test]
    fn paintings_are_a_truth_of_their_own() {
        let sample = |score, colour, painted| {
            let right = Right { reasoning: true, concept: true, place: true, accessory: true, colour };
            let scores = if painted { right.painting() } else { right.scores() };
            Judged { scores, rewards: [("ber".to_owned(), score)].into(), ..Judged::default() }
        };
        let samples =
            [sample(0.1, true, true), sample(0.9, false, true), sample(0.9, true, false), sample(0.1, false, false)];
        let rows = AgreementTable::of(samples.iter()).rows;
        let auc = |truth: &str| rows.iter().find(|row| row.truth == truth).unwrap().auc;
        assert_eq!((auc("image"), auc("painting/image"), rows.len()), (Some(1.0), Some(0.0), 4));
    }
}
