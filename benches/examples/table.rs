//! Criterion's latest estimates as a Markdown table.
//!
//! `cargo bench -p counterpoint-benches --bench rules --bench showo --bench step && cargo run --release -p
//! counterpoint-benches --example table`
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    // This program is target/<profile>/examples/table.
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3).ok_or("expected to be run from cargo's target folder")?;
    let mut rows = Vec::new();
    collect(&target.join("criterion"), &mut rows)?;
    rows.sort();
    println!("| what | time | 95 % interval |");
    println!("|---|---|---|");
    rows.iter().for_each(|row| println!("{row}"));
    Ok(())
}

/// Rows of every benchmark below `folder`.
fn collect(folder: &Path, rows: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder).map_err(|e| format!("{}: {e}; run the benchmarks first", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name == "new") {
            rows.push(row(&path)?);
        } else if path.is_dir() {
            collect(&path, rows)?;
        }
    }
    Ok(())
}

fn row(folder: &Path) -> Result<String, Box<dyn Error>> {
    let read = |name: &str| -> Result<Value, Box<dyn Error>> {
        let path: PathBuf = folder.join(name);
        Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
    };
    let (benchmark, estimates) = (read("benchmark.json")?, read("estimates.json")?);
    let name = benchmark["full_id"].as_str().ok_or("benchmark.json has no full_id")?;
    // Of a benchmark that runs a varying number of iterations per sample the slope is the better estimate.
    let estimate = if estimates["slope"].is_null() { &estimates["mean"] } else { &estimates["slope"] };
    let time = |value: &Value| value.as_f64().map(duration).ok_or("estimates.json has no such number");
    let interval = &estimate["confidence_interval"];
    let [at, low, high] =
        [time(&estimate["point_estimate"])?, time(&interval["lower_bound"])?, time(&interval["upper_bound"])?];
    Ok(format!("| {name} | {at} | {low} to {high} |"))
}

/// Nanoseconds in the unit that suits them.
fn duration(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "us"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{value:.3} {unit}")
}
