//! What is lost when a part of a recipe is left out: arms against the full recipe, on the same seeds.

use std::fmt;

use counterpoint::{Error, Judged, Result};
use serde::{Deserialize, Serialize};

use crate::cells::{Cells, p_value, percent, seconds, signed};
use crate::metrics::Metrics;
use crate::repeated::by_task;
use crate::statistics::{Change, holm};

/// The scores that are compared, where the evaluator gives them; all that it gives where these are not among them.
const SCORES: [&str; 4] = ["reasoning", "attributes", "joint", "painting/image"];
/// What is compared where it gives none.
const TOTAL: &str = "reward";
/// The splits that are compared when several have a score: those of all tasks.
const SPLITS: [&str; 2] = ["held-out, both", "held-out, all"];

/// Some runs of one variant of a recipe.
#[derive(Debug, Clone, Copy)]
pub struct Arm<'a> {
    /// What was changed, such as `w/o DGS`.
    pub name: &'a str,
    /// The samples of each run, seed by seed.
    pub runs: &'a [&'a [Judged]],
    /// Seconds that a run took, on average.
    pub seconds: f64,
}

/// One score of one arm against the full recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AblationRow {
    /// What was changed.
    pub arm: String,
    /// Such as `reasoning`, `attributes`, `joint` or `painting/image`; `reward` where the rewards alone speak.
    pub score: String,
    /// Mean over runs, 0 to 1.
    pub mean: f64,
    /// Standard deviation over runs.
    pub std: f64,
    /// Mean of arm - full over seeds.
    pub difference: f64,
    /// 95 % bootstrap interval of the difference, over runs and tasks.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Two-sided p of the paired t-test over seeds; `None` for a single seed or equal differences.
    pub p: Option<f64>,
    /// The same after Holm's correction over all arms, score by score.
    pub p_holm: Option<f64>,
    /// Seconds that a run took, on average.
    pub seconds: f64,
}

/// Every arm against the full recipe; prints as a Markdown table, serialises to JSON and CSV.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AblationTable {
    /// Runs of each arm.
    pub runs: usize,
    /// The full recipe first, then arm by arm.
    pub rows: Vec<AblationRow>,
}

impl AblationTable {
    /// `arms` against `full`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when an arm has not the seeds and tasks of `full`.
    pub fn of(full: Arm<'_>, arms: &[Arm<'_>]) -> Result<Self> {
        let mut rows = Vec::new();
        let given = |score: &&str| full.runs.iter().copied().flatten().any(|sample| sample.score(score).is_some());
        let mut compared: Vec<&str> = SCORES.into_iter().filter(given).collect();
        if compared.is_empty() {
            for (name, _) in full.runs.iter().copied().flatten().flat_map(|sample| &sample.scores) {
                if !compared.contains(&name.as_str()) {
                    compared.push(name);
                }
            }
        }
        if compared.is_empty() {
            compared.push(TOTAL);
        }
        for score in compared {
            let reference = scores(full, score)?;
            let mut compared = vec![row(full, score, &reference, &reference)?];
            for &arm in arms {
                compared.push(row(arm, score, &reference, &scores(arm, score)?)?);
            }
            // What cannot be tested is no hypothesis.
            let tested: Vec<usize> = (0..compared.len()).filter(|&i| compared[i].p.is_some()).collect();
            let p: Vec<f64> = tested.iter().filter_map(|&i| compared[i].p).collect();
            for (&i, corrected) in tested.iter().zip(holm(&p)) {
                compared[i].p_holm = Some(corrected);
            }
            rows.push(compared);
        }
        let by_arm =
            (0..=arms.len()).flat_map(|arm| rows.iter().filter_map(move |of_score| of_score.get(arm).cloned()));
        Ok(Self { runs: full.runs.len(), rows: by_arm.collect() })
    }

    /// As text, shares in %.
    pub fn cells(&self) -> Cells {
        let row = |row: &AblationRow| {
            [
                row.arm.clone(),
                row.score.clone(),
                format!("{} ± {}", percent(row.mean), percent(row.std)),
                signed(row.difference),
                format!("{} to {}", signed(row.low), signed(row.high)),
                p_value(row.p),
                p_value(row.p_holm),
                seconds(row.seconds),
            ]
        };
        let header = ["arm", "score", "mean", "against full", "95 % interval", "p", "p (Holm)", "s of steps per run"];
        Cells::new(header, self.rows.iter().map(row))
    }

    /// As comma-separated values with a header.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when it cannot be written so.
    pub fn to_csv(&self) -> Result<String> {
        let cannot = |e: String| Error::data(format!("cannot write the table as CSV: {e}"));
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in &self.rows {
            writer.serialize(row).map_err(|e| cannot(e.to_string()))?;
        }
        let bytes = writer.into_inner().map_err(|e| cannot(e.to_string()))?;
        String::from_utf8(bytes).map_err(|e| cannot(e.to_string()))
    }
}

/// `score` of every task of every run, in the split that has it.
fn scores(arm: Arm<'_>, score: &str) -> Result<Vec<Vec<f64>>> {
    let of_run = |samples: &&[Judged]| {
        let mut splits = by_task(samples)?;
        splits.retain(|_, tasks| tasks.iter().any(|task| task.get(score).is_some()));
        let all = SPLITS.iter().find_map(|name| splits.remove(*name));
        let split = all.or_else(|| splits.pop_first().map(|(_, tasks)| tasks));
        let of_task = |task: &Metrics| {
            task.get(score).ok_or_else(|| Error::data(format!("{}: expected a `{score}` of every task", arm.name)))
        };
        split.unwrap_or_default().iter().map(of_task).collect()
    };
    arm.runs.iter().map(of_run).collect()
}

fn row(arm: Arm<'_>, score: &str, full: &[Vec<f64>], scores: &[Vec<f64>]) -> Result<AblationRow> {
    let Change { after, difference, p, interval: [low, high], .. } =
        Change::of(full, scores).map_err(|e| e.at(arm.name))?;
    Ok(AblationRow {
        arm: arm.name.to_owned(),
        score: score.to_owned(),
        mean: after.mean,
        std: after.std,
        difference,
        low,
        high,
        p,
        p_holm: None,
        seconds: arm.seconds,
    })
}

impl fmt::Display for AblationTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cells().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::judged::Right;

    /// Ten tasks with one sample each, of which `right` have the right reasoning.
    fn run(right: u64) -> Vec<Judged> {
        let sample = |task| Judged {
            split: "textual".to_owned(),
            task,
            scores: Right { reasoning: task < right, concept: true, place: true, accessory: true, colour: true }
                .scores(),
            ..Judged::default()
        };
        (0..10).map(sample).collect()
    }

    fn runs(right: [u64; 3]) -> Vec<Vec<Judged>> {
        right.into_iter().map(run).collect()
    }

    #[test]
    fn arms_are_compared_seed_by_seed_and_corrected_together() {
        let (full, worse, same) = (runs([6, 7, 8]), runs([2, 4, 3]), runs([7, 6, 8]));
        let samples: Vec<Vec<&[Judged]>> =
            [&full, &worse, &same].into_iter().map(|runs| runs.iter().map(Vec::as_slice).collect()).collect();
        let arm = |name, i: usize| Arm { name, runs: &samples[i], seconds: 10.0 };
        let table = AblationTable::of(arm("full", 0), &[arm("worse", 1), arm("same", 2)]).unwrap();
        assert_eq!((table.runs, table.rows.len()), (3, 9));
        let row = &table.rows[3];
        assert_eq!((row.arm.as_str(), row.score.as_str()), ("worse", "reasoning"));
        assert!((row.difference + 0.4).abs() < 1e-12, "{row:?}");
        let (p, corrected) = (row.p.unwrap(), row.p_holm.unwrap());
        assert!(p < 0.05 && (corrected - 2.0 * p).abs() < 1e-12, "two arms were tested: {row:?}");
        assert_eq!(table.rows[6].p_holm, Some(1.0), "{:?}", table.rows[6]);
        assert_eq!(table.rows[4].p, None, "the same in every run");

        let text = table.to_string();
        assert!(text.contains("| worse | reasoning | 30.0 ± 10.0 | -40.0 |"), "{text}");
        let csv = table.to_csv().unwrap();
        assert_eq!(csv.lines().count(), 10);
        let header = "arm,score,mean,std,difference,low,high,p,p_holm,seconds\n";
        assert!(csv.starts_with(&format!("{header}full,reasoning,{},", table.rows[0].mean)), "{csv}");
        assert_eq!(serde_json::from_str::<AblationTable>(&serde_json::to_string(&table).unwrap()).unwrap(), table);
    }

    #[test]
    fn an_evaluator_of_another_world_is_compared_by_all_of_its_scores_over_all_splits() {
        let run = |right: u64| -> Vec<Judged> {
            let sample = |task: u64| Judged {
                split: ["counting", "colours", "position"][task as usize % 3].to_owned(),
                task,
                scores: vec![("answer".to_owned(), 1.0), ("image".to_owned(), f64::from(u8::from(task < right)))],
                ..Judged::default()
            };
            (0..9).map(sample).collect()
        };
        let (full, worse) = ([run(6), run(7)], [run(3), run(5)]);
        let [full, worse] = [&full, &worse].map(|runs| runs.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let arm = |name, runs| Arm { name, runs, seconds: 1.0 };
        let table = AblationTable::of(arm("full", &full), &[arm("worse", &worse)]).unwrap();
        let scores: Vec<&str> = table.rows.iter().map(|row| row.score.as_str()).collect();
        assert_eq!(scores, ["answer", "image", "answer", "image"]);
        assert!((table.rows[3].difference + 2.5 / 9.0).abs() < 1e-12, "{:?}", table.rows[3]);
    }

    #[test]
    fn an_arm_with_other_seeds_is_refused_by_name() {
        let (full, fewer) = (runs([6, 7, 8]), runs([2, 4, 3]));
        let full: Vec<&[Judged]> = full.iter().map(Vec::as_slice).collect();
        let fewer: Vec<&[Judged]> = fewer.iter().take(2).map(Vec::as_slice).collect();
        let error = AblationTable::of(
            Arm { name: "full", runs: &full, seconds: 1.0 },
            &[Arm { name: "w/o DGS", runs: &fewer, seconds: 1.0 }],
        );
        assert!(error.unwrap_err().to_string().contains("w/o DGS"));
    }

    #[test]
    fn painting_is_compared_in_the_split_that_has_it() {
        let with_painting = |right: u64| {
            let mut samples = run(5);
            let all = Right { reasoning: true, concept: true, place: true, accessory: true, colour: true };
            samples.extend((10..20).map(|task| Judged {
                split: "painting".to_owned(),
                task,
                scores: Right { colour: task < 10 + right, ..all }.painting(),
                ..Judged::default()
            }));
            samples
        };
        let [full, arm] = [[2, 3, 4], [1, 1, 0]].map(|right| right.map(with_painting));
        let [full, arm] = [&full, &arm].map(|runs| runs.each_ref().map(Vec::as_slice));
        let arm = Arm { name: "arm", runs: &arm, seconds: 1.0 };
        let table = AblationTable::of(Arm { name: "full", runs: &full, seconds: 1.0 }, &[arm]).unwrap();
        let means: Vec<(&str, f64)> =
            table.rows[4..].iter().map(|r| (r.score.as_str(), (r.mean * 30.0).round())).collect();
        assert_eq!(means, [("reasoning", 15.0), ("attributes", 30.0), ("joint", 15.0), ("painting/image", 2.0)]);
        assert!((table.rows[7].difference + 7.0 / 30.0).abs() < 1e-12, "{:?}", table.rows[7]);
    }
}
