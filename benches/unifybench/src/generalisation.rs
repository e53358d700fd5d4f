//! How far what was learned carries: tasks about what a training went without, apart from the others.

use std::fmt;

use counterpoint::{Judged, Result};
use counterpoint_unictokens::mentions;
use serde::{Deserialize, Serialize};

use crate::ablation::{AblationRow, AblationTable, Arm};
use crate::cells::{Cells, p_value, percent, signed};

/// What one training went without, and its runs.
#[derive(Debug, Clone, Copy)]
pub struct Without<'a> {
    /// Names of concepts and words of facts (`data.without`).
    pub words: &'a [String],
    /// The runs.
    pub arm: Arm<'a>,
}

/// One score of one training against none, on some of the tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneralisationRow {
    /// What the training that is compared went without, such as `kit, eve`.
    pub without: String,
    /// Whether the tasks are about that, or about all else.
    pub about_it: bool,
    /// How many tasks.
    pub tasks: usize,
    /// The score; `difference`, interval and p are against no training.
    #[serde(flatten)]
    pub row: AblationRow,
}

/// No training, the full training and each one without something, on what was left out and on the rest. Prints as Markdown,
/// serialises to JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GeneralisationTable {
    /// The rows; p is corrected (Holm) over the full training and the one without, for each score and group of tasks.
    pub rows: Vec<GeneralisationRow>,
}

impl GeneralisationTable {
    /// `untrained` and `full` have the same seeds and tasks as every training of `without`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when they have not.
    pub fn of(untrained: Arm<'_>, full: Arm<'_>, without: &[Without<'_>]) -> Result<Self> {
        let mut rows = Vec::new();
        for Without { words, arm } in without {
            for about_it in [true, false] {
                let arms = [untrained, full, *arm];
                let parts = arms.map(|arm| arm.runs.iter().map(|run| part(run, words, about_it)).collect::<Vec<_>>());
                let tasks = parts[0].first().map_or(0, |run| run.chunk_by(|a, b| a.task == b.task).count());
                if tasks == 0 {
                    continue;
                }
                let runs = parts.each_ref().map(|runs| runs.iter().map(Vec::as_slice).collect::<Vec<_>>());
                let of = |i: usize| Arm { runs: &runs[i], ..arms[i] };
                for row in AblationTable::of(of(0), &[of(1), of(2)])?.rows {
                    rows.push(GeneralisationRow { without: words.join(", "), about_it, tasks, row });
                }
            }
        }
        Ok(Self { rows })
    }

    /// As text, shares in %.
    pub fn cells(&self) -> Cells {
        let row = |GeneralisationRow { without, about_it, tasks, row }: &GeneralisationRow| {
            let which = if *about_it { "about it" } else { "the others" };
            [
                without.clone(),
                format!("{which} ({tasks})"),
                row.arm.clone(),
                row.score.clone(),
                format!("{} ± {}", percent(row.mean), percent(row.std)),
                signed(row.difference),
                format!("{} to {}", signed(row.low), signed(row.high)),
                p_value(row.p_holm),
            ]
        };
        let header = ["left out", "tasks", "training", "score", "mean", "against none", "95 % interval", "p (Holm)"];
        Cells::new(header, self.rows.iter().map(row))
    }
}

impl fmt::Display for GeneralisationTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cells().fmt(f)
    }
}

/// The samples of tasks whose prompt or right answer has one of `words`, or of all others.
fn part(run: &[Judged], words: &[String], about_it: bool) -> Vec<Judged> {
    let about = |sample: &&Judged| mentions(&sample.prompt, words) || mentions(&sample.answer, words);
    run.iter().filter(|sample| about(sample) == about_it).cloned().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Two tasks about kit, one about a hat and one about neither, all with the same share of right answers.
    fn run(right: [f64; 4]) -> Vec<Judged> {
        let asked = [
            ("<kit>", "park red kite."),
            ("<kit>", "city blue ball."),
            ("<ada>", "park red hat."),
            ("<ada>", "city pink kite."),
        ];
        let sample = |(task, ((concept, answer), right)): (usize, ((&str, &str), f64))| Judged {
            split: "textual".to_owned(),
            task: task as u64,
            prompt: format!("a photo of {concept}, what is it?"),
            answer: answer.to_owned(),
            scores: vec![("reasoning".to_owned(), right)],
            ..Judged::default()
        };
        asked.into_iter().zip(right).enumerate().map(sample).collect()
    }

    #[test]
    fn what_was_left_out_is_compared_apart_from_the_rest() {
        let untrained = [run([0.0; 4]), run([0.0; 4])];
        let full = [run([1.0, 1.0, 1.0, 1.0]), run([1.0, 1.0, 0.5, 1.0])];
        let without = [run([0.0, 0.5, 1.0, 1.0]), run([0.0, 0.25, 1.0, 1.0])];
        let [untrained, full, without] =
            [&untrained, &full, &without].map(|runs| runs.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let arm = |name, runs| Arm { name, runs, seconds: 1.0 };
        let words = ["<Kit>", "hat"].map(str::to_owned);
        let of = |words| {
            let without = [Without { words, arm: arm("without", &without) }];
            GeneralisationTable::of(arm("none", &untrained), arm("full", &full), &without).unwrap()
        };
        let table = of(&words[..1]);
        let means: Vec<(bool, usize, &str, f64)> =
            table.rows.iter().map(|r| (r.about_it, r.tasks, r.row.arm.as_str(), r.row.mean)).collect();
        let expected = [
            (true, 2, "none", 0.0),
            (true, 2, "full", 1.0),
            (true, 2, "without", 0.1875),
            (false, 2, "none", 0.0),
            (false, 2, "full", 0.875),
            (false, 2, "without", 1.0),
        ];
        assert_eq!(means, expected);
        assert!(
            table.to_string().contains("| <Kit> | about it (2) | without | reasoning | 18.8 ± 8.8 | +18.8 |"),
            "{table}"
        );
        assert_eq!(
            serde_json::from_str::<GeneralisationTable>(&serde_json::to_string(&table).unwrap()).unwrap(),
            table
        );
        // A word of an answer; "what" of the prompt is no hat.
        assert_eq!(of(&words[1..]).rows[0].tasks, 1);
    }
}
