//! What two weight files do not have in common.

use std::path::Path;

use burn::tensor::TensorData;
use counterpoint::Result;
use counterpoint_weights::{TensorInfo, WeightFiles};
use serde::Serialize;

use super::inspect::dtype;
use super::table::{lines, shape, short};

/// One tensor that differs.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    /// Shape and dtype, or none where the file has no such tensor.
    a: Option<(Vec<usize>, String)>,
    b: Option<(Vec<usize>, String)>,
    /// The largest |a - b|, and the largest |a - b| / max(|a|, |b|); none where there is nothing to compare, infinite
    /// (null in JSON) where only one of the numbers is finite.
    difference: Option<(f64, f64)>,
}

/// Prints the differences; whether there are none.
pub fn run(a: &Path, b: &Path, tolerance: Option<f64>, json: bool) -> Result<bool> {
    let (a, b) = (WeightFiles::open(a)?, WeightFiles::open(b)?);
    let names: std::collections::BTreeSet<&str> =
        a.tensors().iter().chain(b.tensors()).map(|info| info.name.as_str()).collect();
    let mut rows = Vec::new();
    let mut equal = 0;
    for name in names {
        let (left, right) = (find(&a, name), find(&b, name));
        let difference = match (left, right) {
            (Some(left), Some(right)) if left.shape == right.shape => Some(difference(&a.read(name)?, &b.read(name)?)),
            _ => None,
        };
        let same_type = left.map(|info| info.dtype) == right.map(|info| info.dtype) || tolerance.is_some();
        match difference {
            Some((absolute, _)) if same_type && absolute <= tolerance.unwrap_or(0.0) => equal += 1,
            _ => rows.push(Row { name: name.into(), a: left.map(kind), b: right.map(kind), difference }),
        }
    }
    if json {
        println!("{}", serde_json::json!({ "equal": equal, "different": rows }));
    } else {
        print(&rows, equal);
    }
    Ok(rows.is_empty())
}

fn find<'a>(files: &'a WeightFiles, name: &str) -> Option<&'a TensorInfo> {
    files.tensors().iter().find(|info| info.name == name)
}

fn kind(info: &TensorInfo) -> (Vec<usize>, String) {
    (info.shape.clone(), dtype(info.dtype))
}

/// The largest absolute and relative difference. Two NaN are equal, as are two infinities of one sign.
fn difference(a: &TensorData, b: &TensorData) -> (f64, f64) {
    let (mut absolute, mut relative) = (0.0_f64, 0.0_f64);
    for (a, b) in a.iter::<f64>().zip(b.iter::<f64>()) {
        if a == b || (a.is_nan() && b.is_nan()) {
            continue;
        }
        let apart = (a - b).abs();
        if apart.is_finite() {
            absolute = absolute.max(apart);
            relative = relative.max(apart / a.abs().max(b.abs()));
        } else {
            (absolute, relative) = (f64::INFINITY, f64::INFINITY);
        }
    }
    (absolute, relative)
}

fn print(rows: &[Row], equal: usize) {
    let side = |side: &Option<(Vec<usize>, String)>| {
        side.as_ref().map_or_else(|| "-".into(), |(extents, dtype)| format!("{} {dtype}", shape(extents)))
    };
    let cells: Vec<[String; 5]> = rows
        .iter()
        .map(|row| {
            let (absolute, relative) =
                row.difference.map_or_else(|| ("-".into(), "-".into()), |(a, r)| (short(a), short(r)));
            [row.name.clone(), side(&row.a), side(&row.b), absolute, relative]
        })
        .collect();
    if !cells.is_empty() {
        let header = ["tensor", "A", "B", "max |a - b|", "relative"];
        lines(header, &cells).iter().for_each(|line| println!("{line}"));
    }
    let (only_a, only_b) =
        (rows.iter().filter(|r| r.b.is_none()).count(), rows.iter().filter(|r| r.a.is_none()).count());
    let other = rows.len() - only_a - only_b;
    println!("{equal} tensors equal, {other} different, {only_a} only in A, {only_b} only in B");
}
