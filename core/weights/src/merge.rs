//! Several sets of weights as one.

use std::path::Path;

use burn::tensor::{DType, TensorData};
use counterpoint::{Error, Result};

use crate::files::WeightFiles;
use crate::save::save_tensors;

/// Writes the mean of several models to `path` as safetensors, each with its share, number by number: what was trained apart from one model in
/// one (model soups, arXiv 2203.05482).
///
/// Sums are taken in f64 and rounded to the first file's dtype. What is no float must be the same in all. The metadata are the first's; the
/// memory is that of one model.
///
/// # Errors
/// [`ErrorKind::Config`](counterpoint::ErrorKind::Config) for less than two models or for shares that are not as many, not finite or do not
/// sum to 1, [`ErrorKind::Weights`](counterpoint::ErrorKind::Weights) naming the tensor when one is missing, has another shape or is no float
/// and differs, [`ErrorKind::Io`](counterpoint::ErrorKind::Io) when the file cannot be written. Nothing is then at `path` that was not there.
pub fn merge(models: &[WeightFiles], shares: &[f64], path: &Path) -> Result<()> {
    let [first, others @ ..] = models else {
        return Err(Error::config("expected two models or more to merge, got none"));
    };
    if others.is_empty() || shares.len() != models.len() {
        return Err(Error::config(format!(
            "expected two models or more and a share for each, got {} and {} shares",
            models.len(),
            shares.len()
        )));
    }
    let sum: f64 = shares.iter().sum();
    if !sum.is_finite() || (sum - 1.0).abs() > 1e-6 {
        return Err(Error::config(format!("expected shares that sum to 1, got {shares:?}")));
    }
    for model in others {
        let known = |name: &str| first.tensors().iter().any(|tensor| tensor.name == name);
        if let Some(unknown) = model.tensors().iter().find(|tensor| !known(&tensor.name)) {
            return Err(differs(first, model, &unknown.name, "the first has no such tensor"));
        }
    }
    let mut merged = Vec::with_capacity(first.tensors().len());
    for tensor in first.tensors() {
        let name = &tensor.name;
        let data = first.read(name)?;
        let mut parts = Vec::with_capacity(others.len());
        for model in others {
            let Some(info) = model.tensors().iter().find(|info| info.name == *name) else {
                return Err(differs(first, model, name, "the second has no such tensor"));
            };
            if info.shape != tensor.shape {
                return Err(differs(first, model, name, &format!("{:?} is not {:?}", info.shape, tensor.shape)));
            }
            let part = model.read(name)?;
            if !data.dtype().is_float() && part != data {
                return Err(differs(first, model, name, "it is no float, and not the same"));
            }
            parts.push(part);
        }
        merged.push((name.clone(), if data.dtype().is_float() { mean(data, &parts, shares)? } else { data }));
    }
    let metadata = first.metadata().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    save_tensors(path, &merged, &metadata)
}

fn mean(first: TensorData, others: &[TensorData], shares: &[f64]) -> Result<TensorData> {
    let (shape, dtype) = (first.shape().to_vec(), first.dtype());
    let failed = |e: burn::tensor::DataError| Error::weights("expected floats to merge").with_source(format!("{e:?}"));
    let numbers = |data: TensorData| data.convert_dtype(DType::F64).try_into_vec::<f64>().map_err(failed);
    let mut sums: Vec<f64> = numbers(first)?.into_iter().map(|value| value * shares[0]).collect();
    for (other, share) in others.iter().zip(&shares[1..]) {
        for (sum, value) in sums.iter_mut().zip(numbers(other.clone())?) {
            *sum += value * share;
        }
    }
    Ok(TensorData::new(sums, shape).convert_dtype(dtype))
}

fn differs(first: &WeightFiles, second: &WeightFiles, name: &str, how: &str) -> Error {
    let [first, second] = [first, second].map(|files| files.path().display().to_string());
    Error::weights(format!("cannot merge {first} and {second}: {name}: {how}; merge what was trained from one model"))
}
