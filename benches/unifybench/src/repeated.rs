//! The held-out table over several runs: how much changed, and how surely.

use std::collections::BTreeMap;
use std::fmt;

use counterpoint::{Error, Judged, Result};
use serde::{Deserialize, Serialize};

use crate::cells::{Cells, number, p_value, percent};
use crate::metrics::{Metrics, splits};
use crate::statistics::{Change, Moments, holm};

/// The main claims, as split and score: what is corrected together. Every other row describes and claims nothing.
pub const CLAIMS: [(&str, &str); 5] = [
    ("held-out, painting", "painting/image"),
    ("held-out, both", "image"),
    ("held-out, both", "joint"),
    // Of evaluations of two tasks at once, as CoRL's.
    ("held-out, all", "answer"),
    ("held-out, all", "image"),
];

/// One score of one split over several runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RepeatedRow {
    /// Which items, such as `held-out, textual`.
    pub split: String,
    /// Which score, such as `reasoning`.
    pub score: String,
    /// Before, after, and how sure the difference is.
    #[serde(flatten)]
    pub change: Change,
    /// For one of the [`CLAIMS`], its p after Holm's correction over those that there are.
    #[serde(default)]
    pub p_holm: Option<f64>,
}

/// Every score of every split over several runs; prints as a Markdown table, serialises to JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatedTable {
    /// Number of runs.
    pub runs: usize,
    /// Whether the scores are shares, shown in %, and not rewards.
    pub shares: bool,
    /// The rows: split by split, score by score.
    pub rows: Vec<RepeatedRow>,
}

impl RepeatedTable {
    /// From the evaluations of each run before and after.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when the evaluations are not of the same pathways and tasks.
    pub fn of(runs: &[(&[Judged], &[Judged])]) -> Result<Self> {
        let before = runs.iter().map(|(before, _)| by_task(before)).collect::<Result<Vec<_>>>()?;
        let after = runs.iter().map(|(_, after)| by_task(after)).collect::<Result<Vec<_>>>()?;
        let splits = before.first().map(|run| run.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        let mut rows = Vec::new();
        for split in splits {
            let tasks = || before.iter().chain(&after).filter_map(|run| run.get(&split)).flatten();
            let first = tasks().next().map(|task| task.scores.clone()).unwrap_or_default();
            // A reward that abstained from a whole task has no mean there.
            for (score, _) in first.iter().filter(|(name, _)| tasks().all(|task| task.get(name).is_some())) {
                let of = |runs: &[ByTask]| {
                    let scores = |run: &ByTask| run.get(&split)?.iter().map(|m| m.get(score)).collect();
                    runs.iter().map(scores).collect::<Option<Vec<Vec<f64>>>>()
                };
                let both = of(&before).zip(of(&after));
                let (before, after) =
                    both.ok_or_else(|| Error::data(format!("expected the split `{split}` in every evaluation")))?;
                let change = Change::of(&before, &after).map_err(|e| e.at(&split))?;
                rows.push(RepeatedRow { split: split.clone(), score: score.to_owned(), change, p_holm: None });
            }
        }
        correct(&mut rows);
        let shares = runs.iter().any(|(before, _)| before.iter().any(|sample| !sample.scores.is_empty()));
        Ok(Self { runs: runs.len(), shares, rows })
    }
}

/// Corrects the p of the claims among `rows`; what cannot be tested is no hypothesis.
fn correct(rows: &mut [RepeatedRow]) {
    let claims = rows.iter_mut().filter(|row| CLAIMS.contains(&(row.split.as_str(), row.score.as_str())));
    let (claims, p): (Vec<_>, Vec<f64>) = claims.filter_map(|row| row.change.p.map(|p| (row, p))).unzip();
    for (row, corrected) in claims.into_iter().zip(holm(&p)) {
        row.p_holm = Some(corrected);
    }
}

/// The scores of each split's tasks.
pub(crate) type ByTask = BTreeMap<String, Vec<Metrics>>;

pub(crate) fn by_task(samples: &[Judged]) -> Result<ByTask> {
    let tasks = |samples: Vec<&Judged>| {
        let mut tasks: BTreeMap<u64, Vec<&Judged>> = BTreeMap::new();
        for sample in samples {
            tasks.entry(sample.task).or_default().push(sample);
        }
        tasks.into_values().map(Metrics::of).collect::<Result<Vec<_>>>()
    };
    splits(samples).into_iter().map(|(name, samples)| Ok((name, tasks(samples)?))).collect()
}

impl RepeatedTable {
    /// As text: shares in %, rewards as they are.
    pub fn cells(&self) -> Cells {
        let row = |RepeatedRow { split, score, change, p_holm }: &RepeatedRow| {
            let show = |value| if self.shares { percent(value) } else { number(value) };
            let signed = |value: f64| format!("{}{}", if value >= 0.0 { "+" } else { "" }, show(value));
            let moments = |of: Moments| format!("{} ± {}", show(of.mean), show(of.std));
            let [low, high] = change.interval;
            [
                split.clone(),
                score.clone(),
                moments(change.before),
                moments(change.after),
                signed(change.difference),
                format!("{} to {}", signed(low), signed(high)),
                p_value(change.p),
                p_value(*p_holm),
            ]
        };
        let header = ["split", "score", "before", "after", "change", "95 % interval", "p", "p (Holm)"];
        Cells::new(header, self.rows.iter().map(row))
    }
}

impl fmt::Display for RepeatedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cells().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::judged::Right;

    /// Four samples of each of two tasks, of which `right` have the right reasoning.
    fn evaluation(right: usize) -> Vec<Judged> {
        let sample = |i: usize| Judged {
            split: "textual".to_owned(),
            task: (i % 2) as u64,
            scores: Right { reasoning: i < right, concept: true, place: true, accessory: true, colour: false }.scores(),
            ..Judged::default()
        };
        (0..8).map(sample).collect()
    }

    #[test]
    fn every_score_of_every_split_has_a_row() {
        let [two, four, six] = [2, 4, 6].map(evaluation);
        let runs = [(two.as_slice(), six.as_slice()), (two.as_slice(), four.as_slice())];
        let table = RepeatedTable::of(&runs).unwrap();
        assert_eq!((table.runs, table.rows.len()), (2, 8));
        let change = table.rows[0].change;
        assert_eq!((change.before.mean, change.after.mean, change.difference), (0.25, 0.625, 0.375));
        assert!(table.to_string().contains("| held-out, textual | reasoning | 25.0 ± 0.0 | 62.5 ± 17.7 | +37.5 |"));
        assert_eq!(serde_json::from_str::<RepeatedTable>(&serde_json::to_string(&table).unwrap()).unwrap(), table);
    }

    #[test]
    fn evaluations_of_other_tasks_are_refused() {
        let all = evaluation(2);
        let fewer: Vec<_> = all.iter().filter(|sample| sample.task == 0).cloned().collect();
        let error = RepeatedTable::of(&[(&all, &fewer)]).unwrap_err();
        assert!(error.to_string().contains("the same runs and tasks"), "{error}");
    }

    /// Of each split two tasks with one sample each; of the first `own` and `painted` of these the colour is right.
    fn of_all_splits(own: usize, painted: usize) -> Vec<Judged> {
        let all = Right { reasoning: true, concept: true, place: true, accessory: true, colour: true };
        let parts = ["textual", "textual", "visual", "visual", "painting", "painting"].iter().enumerate();
        let sample = |(i, split): (usize, &&str)| Judged {
            split: (*split).to_owned(),
            task: i as u64,
            scores: match *split {
                "painting" => Right { colour: i - 4 < painted, ..all }.painting(),
                _ => Right { reasoning: i < 2, colour: i < own, ..all }.scores(),
            },
            ..Judged::default()
        };
        parts.map(sample).collect()
    }

    #[test]
    fn the_main_claims_are_corrected_together_and_nothing_else_is() {
        let before = of_all_splits(0, 0);
        let after = [of_all_splits(3, 1), of_all_splits(4, 2), of_all_splits(3, 1)];
        let runs = after.each_ref().map(|after| (before.as_slice(), after.as_slice()));
        let table = RepeatedTable::of(&runs).unwrap();
        let find =
            |split: &str, score: &str| table.rows.iter().find(|row| row.split == split && row.score == score).unwrap();
        // Both went up in every run, joint by the same in all: it cannot be tested.
        let [painting, image, joint] = [CLAIMS[0], CLAIMS[1], CLAIMS[2]].map(|(split, score)| find(split, score));
        assert_eq!((joint.change.difference, joint.change.p, joint.p_holm), (0.5, None, None));
        let expected = holm(&[painting.change.p.unwrap(), image.change.p.unwrap()]);
        assert_eq!([painting.p_holm, image.p_holm], [Some(expected[0]), Some(expected[1])]);
        assert!(image.p_holm > image.change.p, "{image:?}");
        assert_eq!(table.rows.iter().filter(|row| row.p_holm.is_some()).count(), 2);
        let other = find("held-out, visual", "image");
        assert!(other.change.p.is_some(), "{other:?}");

        let cells = table.cells();
        let line = |row: &RepeatedRow| &cells.rows[table.rows.iter().position(|r| r == row).unwrap()];
        assert_eq!(cells.header[6..], ["p", "p (Holm)"]);
        assert_eq!(line(other)[7], "-");
        assert_eq!(line(image)[7], p_value(image.p_holm));
        assert_eq!(serde_json::from_str::<RepeatedTable>(&serde_json::to_string(&table).unwrap()).unwrap(), table);
    }
}
