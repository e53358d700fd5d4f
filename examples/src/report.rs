//! What a run shows to people: `report.html`.

use burn::tensor::Device;
use counterpoint::metrics::MetricsLog;
use counterpoint::{Error, Judged, Result};
use counterpoint_report::{Answer, Arm, Cell, Gallery, Report, Table, Verdict, machine};
use counterpoint_unifybench::{AgreementTable, Cells, HeldOutTable};

use crate::RunFolder;
use crate::run::REPORT;

/// Version of the tensor library, as in the workspace's manifest.
const BURN: &str = "0.22.1";

/// Writes the report of a run that was evaluated before and, unless it is still under way, after training.
///
/// # Errors
/// [`Io`](counterpoint::ErrorKind::Io) when something of the run cannot be read or the report cannot be written.
pub fn report_run(folder: &RunFolder, device: &Device, before: &[Judged], after: Option<&[Judged]>) -> Result<()> {
    let history = match folder.has("metrics.jsonl") {
        true => MetricsLog::read(&folder.path().join("metrics.jsonl"))?,
        false => Vec::new(),
    };
    let mut report = Report::new(title(folder)).history(&history).config(folder.read("config.toml")?);
    if let Some(after) = after.filter(|after| !after.is_empty()) {
        let table = HeldOutTable::of(before, after)?;
        let note = match table.shares {
            true => "Shares in %, by the evaluator's own truth and not by a reward.",
            false => "Means of the rewards alone: nothing that is not a reward has judged these samples.",
        };
        report = report.table(text("Held-out half", &table.cells()).note(note));
        let agreement = AgreementTable::of(before.iter().chain(after));
        if !agreement.rows.is_empty() {
            report = report.table(text("Rewards against the truth", &agreement.cells()).note(
                "Area under the ROC curve: how often a reward ranks a right sample above a wrong one; 0.5 is chance.",
            ));
        }
    }
    report
        .gallery(gallery(folder, before, after.unwrap_or_default())?)
        .facts(facts(device))
        .write(&folder.path().join(REPORT))
}

/// Writes the report of several runs: curves of `arms`, their tables, each with its title and a note, and images side by side.
///
/// # Errors
/// [`Io`](counterpoint::ErrorKind::Io) when it cannot be written.
pub fn report_runs(
    folder: &RunFolder,
    device: &Device,
    config: &str,
    arms: Vec<Arm>,
    tables: &[(&str, Cells, &str)],
    galleries: Vec<Gallery>,
) -> Result<()> {
    let report = arms.into_iter().fold(Report::new(title(folder)), Report::arm).config(config).facts(facts(device));
    let report = galleries.into_iter().fold(report, Report::gallery);
    let with_table =
        |report: Report, (title, cells, note): &(&str, Cells, &str)| report.table(text(title, cells).note(*note));
    tables.iter().fold(report, with_table).write(&folder.path().join(REPORT))
}

fn title(folder: &RunFolder) -> String {
    folder.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn facts(device: &Device) -> Vec<(String, String)> {
    let own = [("burn".to_owned(), BURN.to_owned()), ("Device".to_owned(), format!("{device:?}"))];
    machine().into_iter().chain(own).collect()
}

fn text(title: &str, cells: &Cells) -> Table {
    cells.rows.iter().fold(Table::new(title, &cells.header), |table, row| table.row(row))
}

/// The first sample of every task, before and after.
fn gallery(folder: &RunFolder, before: &[Judged], after: &[Judged]) -> Result<Gallery> {
    let mut cells = Vec::new();
    for (i, sample) in before.iter().enumerate() {
        if before[..i].iter().any(|earlier| earlier.task == sample.task) {
            continue;
        }
        let later = after.iter().find(|later| later.task == sample.task);
        let mut answers = vec![("before".to_owned(), answer(folder, "before", sample)?)];
        if let Some(later) = later {
            answers.push(("after".to_owned(), answer(folder, "after", later)?));
        }
        cells.push(Cell { prompt: sample.prompt.clone(), truth: Some(sample.answer.clone()), answers });
    }
    Ok(Gallery {
        title: "Held-out tasks".to_owned(),
        note: "The first sample of each task, drawn with the same random numbers before and after; verdicts are the \
               evaluator's."
            .to_owned(),
        cells,
    })
}

fn answer(folder: &RunFolder, when: &str, sample: &Judged) -> Result<Answer> {
    let path = folder.path().join(format!("samples/{when}/{:03}.png", sample.task));
    // A run that shares its evaluation with another has none of its own.
    let image = path.is_file().then(|| image::open(&path)).transpose();
    let image = image.map_err(|e| Error::io("cannot read", &path, std::io::Error::other(e)))?;
    // What follows from the others is left out.
    let whole = |score: f64| score == 0.0 || score == 1.0;
    let last = |what: &'_ str| what.rsplit_once('/').map_or(what, |(_, last)| last).to_owned();
    let yes_or_no = sample
        .scores
        .iter()
        .map(|(what, score)| (last(what), score))
        .filter(|(what, score)| whole(**score) && !["attributes", "image", "joint"].contains(&what.as_str()));
    Ok(Answer {
        reasoning: if sample.given { format!("{} (given)", sample.response) } else { sample.response.clone() },
        image: image.map(image::DynamicImage::into_rgb8),
        verdicts: yes_or_no.map(|(what, score)| Verdict::new(what, *score == 1.0)).collect(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_tensor_library_is_the_one_that_is_named() {
        let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("\nburn = {{ version = \"{BURN}\"")));
    }
}
