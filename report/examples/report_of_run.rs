//! Writes `report.html` and a TensorBoard event file into the folder of a run that is over:
//! `cargo run -p counterpoint-report --example report_of_run -- runs/sync_r1`.
#![allow(clippy::print_stdout)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use counterpoint::metrics::MetricsLog;
use counterpoint::{Error, Result};
use counterpoint_report::tensorboard::EventFile;
use counterpoint_report::{Report, Table, machine};
use serde_json::Value;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        println!("expected the folder of a run, such as runs/sync_r1");
        return ExitCode::FAILURE;
    };
    match write(&folder) {
        Ok(path) => {
            println!("{}", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> Result<PathBuf> {
    let history = MetricsLog::read(&folder.join("metrics.jsonl"))?;
    let config = folder.join("config.toml");
    let read = |path: &Path| fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e));
    let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
    let mut report = Report::new(name).history(&history).config(read(&config)?).facts(machine());
    let table = folder.join("held_out.json");
    if table.exists() {
        report = report.table(held_out(&read(&table)?)?);
    }
    // The config is written when a run starts.
    let start = fs::metadata(&config).and_then(|m| m.modified()).map_err(|e| Error::io("cannot read", &config, e))?;
    EventFile::new(folder, start, &history)?;
    let path = folder.join("report.html");
    report.write(&path)?;
    Ok(path)
}

/// The table of an evaluation before and after: a row per split, a column per score.
fn held_out(json: &str) -> Result<Table> {
    let odd = || Error::data("held_out.json: expected rows with split, before and after");
    let json: Value = serde_json::from_str(json).map_err(|e| odd().with_source(e))?;
    let rows = json["rows"].as_array().ok_or_else(odd)?;
    // The share is of so many items; their number is no share.
    let scores = |row: &Value| -> Option<Vec<String>> {
        Some(row["after"].as_object()?.keys().filter(|k| *k != "items").cloned().collect())
    };
    let columns = rows.first().and_then(scores).ok_or_else(odd)?;
    let header = ["%, before → after".to_owned(), "items".to_owned()].into_iter().chain(columns.iter().cloned());
    let mut table = Table::new("Held-out half", header).note("Shares in %, judged by the renderer's truth.");
    for row in rows {
        let percent = |when: &str, score: &str| Some(100.0 * row[when][score].as_f64()?);
        let cell = |score: &String| Some(format!("{:.1} → {:.1}", percent("before", score)?, percent("after", score)?));
        let cells = columns.iter().map(cell).collect::<Option<Vec<String>>>().ok_or_else(odd)?;
        let split = row["split"].as_str().ok_or_else(odd)?.to_owned();
        table = table.row([split, row["after"]["items"].to_string()].into_iter().chain(cells));
    }
    Ok(table)
}
