//! Models on one evaluation: a line for each method, a column for each measure of each part.

use std::collections::{BTreeMap, BTreeSet};

use counterpoint::{Error, Judged, Result};
use serde::{Deserialize, Serialize};

use crate::cells::{Cells, number, p_value};
use crate::statistics::{Change, Moments, bootstrap, holm};

/// Mean of both recalls of recognition, which the papers' tables call weighted.
const WEIGHTED: &str = "weighted";
const RECALLS: [&str; 2] = ["recall", "no_recall"];

/// What some runs of one method made of an evaluation.
#[derive(Debug, Clone, Copy)]
pub struct Method<'a> {
    /// Its name.
    pub name: &'a str,
    /// The samples of each run.
    pub runs: &'a [&'a [Judged]],
}

/// A column: a measure of a part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Column {
    /// The part of the evaluation, such as `vqa`.
    pub part: String,
    /// The measure, such as `bleu`.
    pub measure: String,
}

/// What a method has in a column.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Mean over tasks, and over runs.
    pub mean: f64,
    /// Standard deviation over runs; 0 for a single one.
    pub std: f64,
    /// 95 % bootstrap interval of the mean, over runs and tasks; none where it is made of two scores.
    pub interval: Option<[f64; 2]>,
    /// How many samples have the score.
    pub scored: usize,
    /// Of how many that should.
    pub samples: usize,
}

/// A method against the first one, in a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The method.
    pub method: String,
    /// The column.
    pub column: Column,
    /// How the method differs: the first one is `before`.
    #[serde(flatten)]
    pub change: Change,
    /// Its p after Holm's correction over the method's columns.
    pub p_holm: Option<f64>,
}

/// Every method in every column; prints as Markdown, serialises to JSON and CSV.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MethodTable {
    /// The columns.
    pub columns: Vec<Column>,
    /// The methods with their cells, column by column; none where no sample has the score.
    pub methods: Vec<(String, Vec<Option<Cell>>)>,
    /// Every method but the first against the first, where both have the same runs and tasks.
    pub differences: Vec<Difference>,
}

/// One column of one run: the mean of each task that has it.
type ByTask = BTreeMap<u64, Vec<f64>>;

impl MethodTable {
    /// Of one or more methods.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when there is none.
    pub fn of(methods: &[Method<'_>]) -> Result<Self> {
        if methods.is_empty() || methods.iter().any(|method| method.runs.is_empty()) {
            return Err(Error::data("expected one method or more with one run or more, got none"));
        }
        let columns = columns(methods);
        let mut table = Self { columns, ..Self::default() };
        for method in methods {
            let cells = table.columns.iter().map(|column| cell(method, column)).collect();
            table.methods.push((method.name.to_owned(), cells));
            if method.name != methods[0].name {
                let differences = differences(&methods[0], method, &table.columns)?;
                table.differences.extend(differences);
            }
        }
        Ok(table)
    }

    /// As text: a line for each method; several runs as mean ± deviation, a single one with its interval over tasks.
    pub fn cells(&self) -> Cells {
        let head = |column: &Column| format!("{}: {}", title(&column.part), column.measure.replace('_', " "));
        let header = ["method".to_owned()].into_iter().chain(self.columns.iter().map(head)).collect();
        let row = |(name, cells): &(String, Vec<Option<Cell>>)| {
            [name.clone()].into_iter().chain(cells.iter().map(|cell| cell.map_or("-".to_owned(), shown))).collect()
        };
        Cells { header, rows: self.methods.iter().map(row).collect() }
    }

    /// The differences as text.
    pub fn difference_cells(&self) -> Cells {
        let row = |Difference { method, column, change, p_holm }: &Difference| {
            let [low, high] = change.interval;
            [
                method.clone(),
                title(&column.part).to_owned(),
                column.measure.replace('_', " "),
                number(change.before.mean),
                number(change.after.mean),
                format!("{:+.3}", change.difference),
                format!("{low:+.3} to {high:+.3}"),
                p_value(change.p),
                p_value(*p_holm),
            ]
        };
        let first = self.methods.first().map_or("first", |(name, _)| name.as_str());
        let header = ["method", "part", "measure", first, "method's", "difference", "95 % interval", "p", "p (Holm)"];
        Cells::new(header, self.differences.iter().map(row))
    }

    /// Scores that could not be had, such as `vqa: judge of sync_r1: 28 of 32 samples`.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (name, cells) in &self.methods {
            for (column, cell) in self.columns.iter().zip(cells) {
                let Some(Cell { scored, samples, .. }) = cell.filter(|cell| cell.scored < cell.samples) else {
                    continue;
                };
                let part = title(&column.part);
                missing.push(format!("{part}: {} of {name}: {scored} of {samples} samples", column.measure));
            }
        }
        missing
    }

    /// As CSV: a line for each method and column.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when it cannot be written.
    pub fn to_csv(&self) -> Result<String> {
        let failed = |e: csv::Error| Error::data("cannot write the table as CSV").with_source(e);
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(["method", "part", "measure", "mean", "std", "low", "high", "scored", "samples"])
            .map_err(failed)?;
        for (name, cells) in &self.methods {
            for (column, cell) in self.columns.iter().zip(cells) {
                let Some(cell) = cell else { continue };
                let [low, high] =
                    cell.interval.map_or([String::new(), String::new()], |ends| ends.map(|v| v.to_string()));
                let (mean, std) = (cell.mean.to_string(), cell.std.to_string());
                let (scored, samples) = (cell.scored.to_string(), cell.samples.to_string());
                let part = &column.part;
                csv.write_record([name, part, &column.measure, &mean, &std, &low, &high, &scored, &samples])
                    .map_err(failed)?;
            }
        }
        let bytes =
            csv.into_inner().map_err(|e| Error::data("cannot write the table as CSV").with_source(e.into_error()))?;
        String::from_utf8(bytes).map_err(|e| Error::data("cannot write the table as CSV").with_source(e))
    }
}

impl std::fmt::Display for MethodTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.cells().fmt(f)
    }
}

/// A part of UnifyBench++ as the papers' tables head it; another one by its name.
fn title(part: &str) -> &str {
    match part {
        "recognition" => "Rec.",
        "vqa" => "VQA",
        "qa" => "QA",
        "generation" => "Gen.",
        "people" => "People Gen.",
        "knowledge" => "Knowledge Gen.",
        "dense" => "Dense Gen.",
        "dense_reasoning" => "Dense Rea. Gen.",
        "" => "all",
        other => other,
    }
}

fn shown(cell: Cell) -> String {
    match cell.interval {
        _ if cell.std > 0.0 => format!("{} ± {}", number(cell.mean), number(cell.std)),
        Some([low, high]) => format!("{} ({low:.2} to {high:.2})", number(cell.mean)),
        None => number(cell.mean),
    }
}

/// The measures that some sample has, part by part in the order in which they come; weighted recognition first.
fn columns(methods: &[Method<'_>]) -> Vec<Column> {
    let mut found: Vec<(&str, Vec<String>)> = Vec::new();
    for sample in methods.iter().flat_map(|method| method.runs).copied().flatten() {
        let at = found.iter().position(|(part, _)| *part == sample.split).unwrap_or_else(|| {
            found.push((&sample.split, Vec::new()));
            found.len() - 1
        });
        let measures = &mut found[at].1;
        for (name, _) in sample.values() {
            let measure = measure(name, &sample.split);
            if !measures.iter().any(|known| known == measure) {
                measures.push(measure.to_owned());
            }
        }
    }
    for (_, measures) in &mut found {
        if RECALLS.iter().all(|recall| measures.iter().any(|known| known == recall)) {
            measures.insert(0, WEIGHTED.to_owned());
        }
    }
    let of_part = |(part, measures): (&str, Vec<String>)| {
        let part = part.to_owned();
        measures.into_iter().map(move |measure| Column { part: part.clone(), measure })
    };
    found.into_iter().flat_map(of_part).collect()
}

/// What a score is called in its part: `bleu` is the `vqa/bleu` of the part `vqa`.
fn measure<'a>(name: &'a str, part: &str) -> &'a str {
    name.strip_prefix(part).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name)
}

/// The scores of `column` in a run, task by task.
fn by_task(run: &[Judged], column: &Column) -> ByTask {
    let mut tasks = ByTask::new();
    for sample in run.iter().filter(|sample| sample.split == column.part) {
        let mut values = sample.values().into_iter();
        if let Some((_, score)) = values.find(|(name, _)| measure(name, &sample.split) == column.measure) {
            tasks.entry(sample.task).or_default().push(score);
        }
    }
    tasks
}

/// The mean of each task.
fn means(tasks: &ByTask) -> Vec<f64> {
    tasks.values().map(|scores| scores.iter().sum::<f64>() / scores.len() as f64).collect()
}

fn cell(method: &Method<'_>, column: &Column) -> Option<Cell> {
    if column.measure == WEIGHTED {
        return weighted(method, &column.part);
    }
    let runs: Vec<ByTask> = method.runs.iter().map(|run| by_task(run, column)).collect();
    let tasks: BTreeSet<u64> = runs.iter().flat_map(BTreeMap::keys).copied().collect();
    let values: Vec<Vec<f64>> = runs.iter().map(means).filter(|values| !values.is_empty()).collect();
    if values.is_empty() {
        return None;
    }
    let of_runs: Vec<f64> = values.iter().map(|values| Moments::of(values).mean).collect();
    let Moments { mean, std } = Moments::of(&of_runs);
    // Of tasks that have the measure at all, and of those of its part where any should have it.
    let should = |sample: &&Judged| {
        sample.split == column.part && (!RECALLS.contains(&column.measure.as_str()) || tasks.contains(&sample.task))
    };
    Some(Cell {
        mean,
        std,
        interval: Some(bootstrap(&values)),
        scored: runs.iter().flat_map(BTreeMap::values).map(Vec::len).sum(),
        samples: method.runs.iter().flat_map(|run| run.iter()).filter(should).count(),
    })
}

/// The mean of both recalls.
fn weighted(method: &Method<'_>, part: &str) -> Option<Cell> {
    let recall = |run: &&[Judged], measure: &str| {
        let values = means(&by_task(run, &Column { part: part.to_owned(), measure: measure.to_owned() }));
        (!values.is_empty()).then(|| Moments::of(&values).mean)
    };
    let both =
        |run: &&[Judged]| Some(RECALLS.map(|measure| recall(run, measure)).into_iter().sum::<Option<f64>>()? / 2.0);
    let of_runs: Vec<f64> = method.runs.iter().map(both).collect::<Option<_>>()?;
    let Moments { mean, std } = Moments::of(&of_runs);
    let samples = method.runs.iter().flat_map(|run| run.iter()).filter(|s| s.split == part).count();
    Some(Cell { mean, std, interval: None, scored: samples, samples })
}

/// `method` against `first`, where both have a column for the same tasks of as many runs.
fn differences(first: &Method<'_>, method: &Method<'_>, columns: &[Column]) -> Result<Vec<Difference>> {
    let mut found = Vec::new();
    for column in columns.iter().filter(|column| column.measure != WEIGHTED) {
        let of = |method: &Method<'_>| method.runs.iter().map(|run| by_task(run, column)).collect::<Vec<_>>();
        let (was, is) = (of(first), of(method));
        let alike =
            was.len() == is.len() && was.iter().zip(&is).all(|(was, is)| !was.is_empty() && was.keys().eq(is.keys()));
        if alike {
            let all = |runs: &[ByTask]| runs.iter().map(means).collect::<Vec<_>>();
            let change = Change::of(&all(&was), &all(&is))?;
            found.push(Difference { method: method.name.to_owned(), column: column.clone(), change, p_holm: None });
        }
    }
    let (tested, p): (Vec<&mut Difference>, Vec<f64>) =
        found.iter_mut().filter_map(|difference| difference.change.p.map(|p| (difference, p))).unzip();
    for (difference, corrected) in tested.into_iter().zip(holm(&p)) {
        difference.p_holm = Some(corrected);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sample(task: u64, part: &str, scores: &[(&str, f64)]) -> Judged {
        Judged {
            split: part.to_owned(),
            task,
            scores: scores.iter().map(|(name, value)| (format!("{part}/{name}"), *value)).collect(),
            ..Judged::default()
        }
    }

    /// Two photographs that show the concept and one that does not; two questions, one of which the judge left out.
    fn run(shift: f64) -> Vec<Judged> {
        vec![
            sample(0, "recognition", &[("accuracy", 1.0), ("recall", 1.0)]),
            sample(1, "recognition", &[("accuracy", 0.0), ("recall", 0.0)]),
            sample(2, "recognition", &[("accuracy", 1.0), ("no_recall", 1.0)]),
            sample(3, "vqa", &[("bleu", 0.25 + shift), ("judge", 1.0)]),
            sample(4, "vqa", &[("bleu", 0.75 + shift)]),
        ]
    }

    #[test]
    fn the_table_has_a_line_for_each_method_and_says_what_is_missing() {
        let (first, second, third) = (run(0.0), run(0.125), run(0.25));
        let methods = [
            Method { name: "untrained", runs: &[&first, &first] },
            Method { name: "trained", runs: &[&second, &third] },
        ];
        let table = MethodTable::of(&methods).unwrap();
        let names: Vec<&str> = table.columns.iter().map(|column| column.measure.as_str()).collect();
        assert_eq!(names, [WEIGHTED, "accuracy", "recall", "no_recall", "bleu", "judge"]);
        let of = |method: usize, column: usize| table.methods[method].1[column].unwrap();
        assert_eq!((of(0, 0).mean, of(0, 2).mean, of(0, 3).mean), (0.75, 0.5, 1.0));
        assert_eq!((of(0, 4).mean, of(1, 4).mean), (0.5, 0.6875));
        assert!((of(1, 4).std - 0.125 / 2.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!((of(0, 5).scored, of(0, 5).samples, of(0, 2).samples), (2, 4, 4));
        assert_eq!(table.missing()[0], "VQA: judge of untrained: 2 of 4 samples");

        let bleu = table.differences.iter().find(|difference| difference.column.measure == "bleu").unwrap();
        assert_eq!((bleu.method.as_str(), bleu.change.difference), ("trained", 0.1875));
        assert_eq!(bleu.p_holm, bleu.change.p, "nothing else can be tested: all else is equal");
        assert!(table.to_string().starts_with("| method | Rec.: weighted | Rec.: accuracy |"));
        assert!(table.to_string().contains("| trained | 0.750 |"), "{table}");
        let csv = table.to_csv().unwrap();
        assert!(csv.contains("trained,vqa,bleu,0.6875,"), "{csv}");
        assert_eq!(serde_json::from_str::<MethodTable>(&serde_json::to_string(&table).unwrap()).unwrap(), table);
    }

    #[test]
    fn parts_of_any_evaluation_are_columns_and_rewards_stand_for_scores_where_there_are_none() {
        let painted = |task, right| Judged {
            split: "painting".to_owned(),
            task,
            scores: vec![("painting/image".to_owned(), right)],
            ..Judged::default()
        };
        let rewarded = |task, reward| Judged {
            split: "visual".to_owned(),
            task,
            rewards: [("reward".to_owned(), reward)].into(),
            ..Judged::default()
        };
        let samples = [painted(0, 1.0), painted(1, 0.0), rewarded(2, 0.25)];
        let table = MethodTable::of(&[Method { name: "a", runs: &[&samples] }]).unwrap();
        let text = table.to_string();
        assert!(text.starts_with("| method | painting: image | visual: reward |"), "{text}");
        assert_eq!(table.methods[0].1.iter().map(|cell| cell.unwrap().mean).collect::<Vec<_>>(), [0.5, 0.25]);
        assert!(MethodTable::of(&[]).is_err());
    }
}
