//! The benchmark's table: a line for each method, a column for each measure.

use std::collections::{BTreeMap, BTreeSet};

use counterpoint::{Error, Judged, Result};
use counterpoint_unictokens::Part;
use serde::{Deserialize, Serialize};

use crate::cells::{Cells, number, p_value};
use crate::statistics::{Change, Moments, bootstrap, holm};

/// Mean of both recalls of recognition, which the papers' tables call weighted.
const WEIGHTED: &str = "weighted";
const RECALLS: [&str; 2] = ["recall", "no_recall"];

/// What some runs of one method made of the benchmark.
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
    /// The part.
    pub part: Part,
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
pub struct BenchmarkTable {
    /// The columns.
    pub columns: Vec<Column>,
    /// The methods with their cells, column by column; none where no sample has the score.
    pub methods: Vec<(String, Vec<Option<Cell>>)>,
    /// Every method but the first against the first, where both have the same runs and tasks.
    pub differences: Vec<Difference>,
}

/// One column of one run: the mean of each task that has it.
type ByTask = BTreeMap<u64, Vec<f64>>;

impl BenchmarkTable {
    /// Of one or more methods.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when there is none, or samples are not of the benchmark.
    pub fn of(methods: &[Method<'_>]) -> Result<Self> {
        if methods.is_empty() || methods.iter().any(|method| method.runs.is_empty()) {
            return Err(Error::data("expected one method or more with one run or more, got none"));
        }
        let columns = columns(methods)?;
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
        let head = |column: &Column| format!("{}: {}", title(column.part), column.measure.replace('_', " "));
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
                title(column.part).to_owned(),
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
                let part = title(column.part);
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
                let part = column.part.to_string();
                csv.write_record([name, &part, &column.measure, &mean, &std, &low, &high, &scored, &samples])
                    .map_err(failed)?;
            }
        }
        let bytes =
            csv.into_inner().map_err(|e| Error::data("cannot write the table as CSV").with_source(e.into_error()))?;
        String::from_utf8(bytes).map_err(|e| Error::data("cannot write the table as CSV").with_source(e))
    }
}

impl std::fmt::Display for BenchmarkTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.cells().fmt(f)
    }
}

/// The part as the papers' tables head it.
fn title(part: Part) -> &'static str {
    match part {
        Part::Recognition => "Rec.",
        Part::Vqa => "VQA",
        Part::Qa => "QA",
        Part::Generation => "Gen.",
        Part::People => "People Gen.",
        Part::Knowledge => "Knowledge Gen.",
        Part::Dense => "Dense Gen.",
        Part::DenseReasoning => "Dense Rea. Gen.",
    }
}

fn shown(cell: Cell) -> String {
    match cell.interval {
        _ if cell.std > 0.0 => format!("{} ± {}", number(cell.mean), number(cell.std)),
        Some([low, high]) => format!("{} ({low:.2} to {high:.2})", number(cell.mean)),
        None => number(cell.mean),
    }
}

fn part_of(sample: &Judged) -> Result<Part> {
    let of = Part::ALL.into_iter().find(|part| part.to_string() == sample.split);
    of.ok_or_else(|| {
        let split = &sample.split;
        Error::data(format!(
            "expected samples of the benchmark (evaluation.kind = \"benchmark\"), got the split `{split}`"
        ))
    })
}

/// The measures that some sample has, part by part in the order in which they come; weighted recognition first.
fn columns(methods: &[Method<'_>]) -> Result<Vec<Column>> {
    let mut found: BTreeMap<Part, Vec<String>> = BTreeMap::new();
    for sample in methods.iter().flat_map(|method| method.runs).copied().flatten() {
        let measures = found.entry(part_of(sample)?).or_default();
        for measure in sample.scores.iter().map(|(name, _)| measure(name)) {
            if !measures.iter().any(|known| known == measure) {
                measures.push(measure.to_owned());
            }
        }
    }
    if let Some(measures) = found.get_mut(&Part::Recognition)
        && RECALLS.iter().all(|recall| measures.iter().any(|known| known == recall))
    {
        measures.insert(0, WEIGHTED.to_owned());
    }
    let of_part =
        |(part, measures): (Part, Vec<String>)| measures.into_iter().map(move |measure| Column { part, measure });
    Ok(found.into_iter().flat_map(of_part).collect())
}

fn measure(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, measure)| measure)
}

/// The scores of `column` in a run, task by task.
fn by_task(run: &[Judged], column: &Column) -> ByTask {
    let name = format!("{}/{}", column.part, column.measure);
    let mut tasks = ByTask::new();
    for (sample, score) in run.iter().filter_map(|sample| Some((sample, sample.score(&name)?))) {
        tasks.entry(sample.task).or_default().push(score);
    }
    tasks
}

/// The mean of each task.
fn means(tasks: &ByTask) -> Vec<f64> {
    tasks.values().map(|scores| scores.iter().sum::<f64>() / scores.len() as f64).collect()
}

fn cell(method: &Method<'_>, column: &Column) -> Option<Cell> {
    if column.measure == WEIGHTED {
        return weighted(method, column.part);
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
        sample.split == column.part.to_string()
            && (!RECALLS.contains(&column.measure.as_str()) || tasks.contains(&sample.task))
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
fn weighted(method: &Method<'_>, part: Part) -> Option<Cell> {
    let recall = |run: &&[Judged], measure: &str| {
        let values = means(&by_task(run, &Column { part, measure: measure.to_owned() }));
        (!values.is_empty()).then(|| Moments::of(&values).mean)
    };
    let both =
        |run: &&[Judged]| Some(RECALLS.map(|measure| recall(run, measure)).into_iter().sum::<Option<f64>>()? / 2.0);
    let of_runs: Vec<f64> = method.runs.iter().map(both).collect::<Option<_>>()?;
    let Moments { mean, std } = Moments::of(&of_runs);
    let samples = method.runs.iter().flat_map(|run| run.iter()).filter(|s| s.split == part.to_string()).count();
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

    fn sample(task: u64, part: Part, scores: &[(&str, f64)]) -> Judged {
        Judged {
            split: part.to_string(),
            task,
            scores: scores.iter().map(|(name, value)| (format!("{part}/{name}"), *value)).collect(),
            ..Judged::default()
        }
    }

    /// Two photographs that show the concept and one that does not; two questions, one of which the judge left out.
    fn run(shift: f64) -> Vec<Judged> {
        vec![
            sample(0, Part::Recognition, &[("accuracy", 1.0), ("recall", 1.0)]),
            sample(1, Part::Recognition, &[("accuracy", 0.0), ("recall", 0.0)]),
            sample(2, Part::Recognition, &[("accuracy", 1.0), ("no_recall", 1.0)]),
            sample(3, Part::Vqa, &[("bleu", 0.25 + shift), ("judge", 1.0)]),
            sample(4, Part::Vqa, &[("bleu", 0.75 + shift)]),
        ]
    }

    #[test]
    fn the_table_has_a_line_for_each_method_and_says_what_is_missing() {
        let (first, second, third) = (run(0.0), run(0.125), run(0.25));
        let methods = [
            Method { name: "untrained", runs: &[&first, &first] },
            Method { name: "trained", runs: &[&second, &third] },
        ];
        let table = BenchmarkTable::of(&methods).unwrap();
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
        assert_eq!(serde_json::from_str::<BenchmarkTable>(&serde_json::to_string(&table).unwrap()).unwrap(), table);
    }

    #[test]
    fn samples_of_another_evaluation_are_refused() {
        let other = [Judged { split: "textual".to_owned(), ..Judged::default() }];
        let error = BenchmarkTable::of(&[Method { name: "a", runs: &[&other] }]).unwrap_err();
        assert!(error.to_string().contains("evaluation.kind = \"benchmark\""), "{error}");
        assert!(BenchmarkTable::of(&[]).is_err());
    }
}
