//! What is in one weight file.

use std::path::Path;

use burn::tensor::{DType, TensorData};
use counterpoint::Result;
use counterpoint_weights::{TensorInfo, WeightFiles, non_finite};
use serde::Serialize;

use super::table::{lines, shape, short};

/// The numbers of one tensor, computed in f64 over those that are finite.
#[derive(Debug, Serialize)]
struct Statistics {
    /// None where nothing is finite.
    mean: Option<f64>,
    /// The sample's, with n - 1; none where fewer than two numbers are finite.
    std: Option<f64>,
    non_finite: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    shape: Vec<usize>,
    dtype: String,
    file: String,
    #[serde(flatten)]
    statistics: Statistics,
}

/// Prints the tensors of the weights at `path`.
pub fn run(path: &Path, json: bool) -> Result<()> {
    let files = WeightFiles::open(path)?;
    let mut rows = Vec::new();
    let (mut numbers, mut bytes, mut bad) = (0_usize, 0_usize, 0);
    for info in files.tensors() {
        let data = files.read(&info.name)?;
        numbers += data.num_elements();
        bytes += data.as_bytes().len();
        let statistics = statistics(&data);
        bad += statistics.non_finite;
        rows.push(row(info, statistics));
    }
    if json {
        let object = serde_json::json!({
            "path": files.path().display().to_string(), "format": files.format().to_string(), "tensors": rows,
            "metadata": files.metadata(), "notes": files.notes(), "numbers": numbers, "bytes": bytes, "non_finite": bad,
        });
        println!("{object}");
        return Ok(());
    }
    println!("{} ({})", files.path().display(), files.format());
    files.notes().iter().for_each(|note| println!("note: {note}"));
    let optional = |number: Option<f64>| number.map_or_else(|| "-".into(), short);
    let cells: Vec<[String; 6]> = rows
        .iter()
        .map(|Row { name, shape: extents, dtype, statistics: s, .. }| {
            let (mean, std) = (optional(s.mean), optional(s.std));
            [name.clone(), shape(extents), dtype.clone(), mean, std, s.non_finite.to_string()]
        })
        .collect();
    lines(["tensor", "shape", "dtype", "mean", "std", "non-finite"], &cells).iter().for_each(|line| println!("{line}"));
    println!("{} tensors, {numbers} numbers, {:.1} MB, {bad} not finite", rows.len(), bytes as f64 / 1e6);
    Ok(())
}

fn row(info: &TensorInfo, statistics: Statistics) -> Row {
    Row {
        name: info.name.clone(),
        shape: info.shape.clone(),
        dtype: dtype(info.dtype),
        file: info.file.display().to_string(),
        statistics,
    }
}

/// `f32`, `bf16`, `i64`, `bool`, as they are written on a command line.
pub fn dtype(dtype: DType) -> String {
    match dtype {
        DType::Bool(_) => "bool".into(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// One pass, shifted by the first number, so that a large mean costs no digits.
fn statistics(data: &TensorData) -> Statistics {
    let (mut shift, mut count, mut sum, mut squares) = (0.0, 0.0, 0.0, 0.0);
    for number in data.iter::<f64>().filter(|number| number.is_finite()) {
        if count == 0.0 {
            shift = number;
        }
        let apart = number - shift;
        count += 1.0;
        sum += apart;
        squares += apart * apart;
    }
    let mean = (count > 0.0).then(|| shift + sum / count);
    let std = (count > 1.0).then(|| ((squares - sum * sum / count).max(0.0) / (count - 1.0)).sqrt());
    Statistics { mean, std, non_finite: non_finite(data) }
}
