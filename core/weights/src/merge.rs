//! Several sets of weights as one.

use std::path::Path;

use burn::tensor::{DType, TensorData};
use counterpoint::{Error, Result};

use crate::files::{TensorInfo, WeightFiles};
use crate::save::save_tensors;

/// How much each of several models counts.
#[derive(Clone, Copy)]
pub enum Shares<'a> {
    /// So much, in every tensor: as many as models, which sum to 1.
    Given(&'a [f64]),
    /// In each tensor by the inverse of its Frobenius norm: what moved least counts most. The norms are those of the tensors themselves or, with the
    /// model that all began as, those of what was learned; where one model learned nothing the others count alone.
    ///
    /// After "NAN: A Training-Free Solution to Coefficient Estimation in Model Merging" (arXiv 2505.16148), as its abstract has it
    /// ("via the inverse of parameter norm"): to take norms tensor by tensor, and of changes, is a reading of ours.
    InverseNorm {
        /// What all models began as.
        base: Option<&'a WeightFiles>,
    },
}

/// Writes the weighted mean of several models to `path` as safetensors, number by number: what was trained apart from one model in
/// one (model soups, arXiv 2203.05482).
///
/// Sums are taken in f64 and rounded to the first file's dtype. What is no float must be the same in all. The metadata are the first's; the
/// memory is that of one model.
///
/// # Errors
/// [`ErrorKind::Config`](counterpoint::ErrorKind::Config) for less than two models or for shares that are not as many, not finite or do not
/// sum to 1, [`ErrorKind::Weights`](counterpoint::ErrorKind::Weights) naming the tensor when one is missing, has another shape or is no float
/// and differs, [`ErrorKind::Io`](counterpoint::ErrorKind::Io) when the file cannot be written. Nothing is then at `path` that was not there.
pub fn merge(models: &[WeightFiles], shares: Shares<'_>, path: &Path) -> Result<()> {
    let [first, others @ ..] = models else {
        return Err(Error::config("expected two models or more to merge, got none"));
    };
    if others.is_empty() {
        return Err(Error::config("expected two models or more to merge, got one"));
    }
    if let Shares::Given(shares) = shares {
        check(shares, models.len())?;
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
            let part = like(first, tensor, model)?;
            if !data.dtype().is_float() && part != data {
                return Err(differs(first, model, name, "it is no float, and not the same"));
            }
            parts.push(part);
        }
        let data = match data.dtype().is_float() {
            true => {
                let base = match shares {
                    Shares::InverseNorm { base: Some(base) } => Some(numbers(like(first, tensor, base)?)?),
                    _ => None,
                };
                mean(data, parts, shares, base.as_deref())?
            }
            false => data,
        };
        merged.push((name.clone(), data));
    }
    let metadata = first.metadata().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    save_tensors(path, &merged, &metadata)
}

fn check(shares: &[f64], models: usize) -> Result<()> {
    if shares.len() != models {
        return Err(Error::config(format!("expected a share for each of {models} models, got {}", shares.len())));
    }
    let sum: f64 = shares.iter().sum();
    if !sum.is_finite() || (sum - 1.0).abs() > 1e-6 {
        return Err(Error::config(format!("expected shares that sum to 1, got {shares:?}")));
    }
    Ok(())
}

/// The tensor of `model` that has the name and the shape of the first model's.
fn like(first: &WeightFiles, tensor: &TensorInfo, model: &WeightFiles) -> Result<TensorData> {
    let name = &tensor.name;
    let Some(info) = model.tensors().iter().find(|info| info.name == *name) else {
        return Err(differs(first, model, name, "the second has no such tensor"));
    };
    if info.shape != tensor.shape {
        return Err(differs(first, model, name, &format!("{:?} is not {:?}", info.shape, tensor.shape)));
    }
    model.read(name)
}

fn numbers(data: TensorData) -> Result<Vec<f64>> {
    let failed = |e: burn::tensor::DataError| Error::weights("expected floats to merge").with_source(format!("{e:?}"));
    data.convert_dtype(DType::F64).try_into_vec::<f64>().map_err(failed)
}

fn mean(first: TensorData, others: Vec<TensorData>, shares: Shares<'_>, base: Option<&[f64]>) -> Result<TensorData> {
    let (shape, dtype) = (first.shape().to_vec(), first.dtype());
    let parts = [first].into_iter().chain(others).map(numbers).collect::<Result<Vec<_>>>()?;
    let shares = match shares {
        Shares::Given(shares) => shares.to_vec(),
        Shares::InverseNorm { .. } => by_inverse_norm(&parts, base),
    };
    let mut sums = vec![0.0; parts[0].len()];
    for (part, share) in parts.iter().zip(shares) {
        sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value * share);
    }
    Ok(TensorData::new(sums, shape).convert_dtype(dtype))
}

/// Shares by the inverse of the norm of each part, or of how far it is from `base`; those that are nowhere have none.
fn by_inverse_norm(parts: &[Vec<f64>], base: Option<&[f64]>) -> Vec<f64> {
    let inverse = |part: &Vec<f64>| {
        let squares: f64 = match base {
            Some(base) => part.iter().zip(base).map(|(value, base)| (value - base).powi(2)).sum(),
            None => part.iter().map(|value| value * value).sum(),
        };
        if squares > 0.0 { squares.sqrt().recip() } else { 0.0 }
    };
    let inverses: Vec<f64> = parts.iter().map(inverse).collect();
    let sum: f64 = inverses.iter().sum();
    match sum > 0.0 {
        true => inverses.iter().map(|inverse| inverse / sum).collect(),
        false => vec![1.0 / parts.len() as f64; parts.len()],
    }
}

fn differs(first: &WeightFiles, second: &WeightFiles, name: &str, how: &str) -> Error {
    let [first, second] = [first, second].map(|files| files.path().display().to_string());
    Error::weights(format!("cannot merge {first} and {second}: {name}: {how}; merge what was trained from one model"))
}
