//! Writing weights: a file appears complete or not at all.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use burn::module::Module;
use burn::store::{BurnToPyTorchAdapter, FloatCastAdapter, ModuleAdapter, ModuleSnapshot};
use burn::tensor::{FloatDType, TensorData};
use counterpoint::file::atomically;
use counterpoint::{Error, Result};

use crate::entry::Entry;
use crate::{safetensors, torch};

/// Writes `module` to `path` as safetensors in the PyTorch layout and under the originals' names, with `metadata` in
/// the header. Float parameters are cast to `dtype`, or stay what they are.
///
/// # Errors
/// [`ErrorKind::Io`](counterpoint::ErrorKind::Io) when the file cannot be written; what was at `path` is then unchanged.
pub fn save_safetensors<M: Module>(
    module: &M,
    path: &Path,
    metadata: &HashMap<String, String>,
    dtype: Option<FloatDType>,
) -> Result<()> {
    save_renamed(module, path, metadata, dtype, str::to_owned)
}

/// As [`save_safetensors`], each tensor under the name that `rename` makes of its parameter's.
///
/// # Errors
/// As [`save_safetensors`]; [`ErrorKind::Weights`](counterpoint::ErrorKind::Weights) when two tensors get one name.
pub fn save_renamed<M: Module>(
    module: &M,
    path: &Path,
    metadata: &HashMap<String, String>,
    dtype: Option<FloatDType>,
    rename: impl Fn(&str) -> String,
) -> Result<()> {
    let adapter: Box<dyn ModuleAdapter> = match dtype {
        Some(dtype) => Box::new(BurnToPyTorchAdapter.chain(FloatCastAdapter::to(dtype.into()))),
        None => Box::new(BurnToPyTorchAdapter),
    };
    let mut entries: Vec<Entry<'_>> = module.collect(None, Some(adapter), true).into_iter().map(Entry::there).collect();
    entries.iter_mut().for_each(|entry| entry.name = rename(&entry.name));
    all_different(path, entries.iter().map(|entry| entry.name.as_str()))?;
    atomically(path, true, |file| safetensors::write(file, path, entries, metadata))
}

/// Writes `tensors` to `path` as safetensors, with `metadata` in the header.
///
/// # Errors
/// [`ErrorKind::Weights`](counterpoint::ErrorKind::Weights) when a name is given twice or a dtype is quantized,
/// [`ErrorKind::Io`](counterpoint::ErrorKind::Io) when the file cannot be written; what was at `path` is then unchanged.
pub fn save_tensors(path: &Path, tensors: &[(String, TensorData)], metadata: &HashMap<String, String>) -> Result<()> {
    let entries = distinct(path, tensors)?;
    atomically(path, true, |file| safetensors::write(file, path, entries, metadata))
}

/// Writes `tensors` to `path` as `torch.save` writes a state dict: a flat dictionary in a zip file, which
/// `torch.load(path, weights_only=True)` reads.
///
/// # Errors
/// [`ErrorKind::Weights`](counterpoint::ErrorKind::Weights) when a name is given twice or a dtype is one that torch has no
/// storage for (quantized, or unsigned but for `U8`), [`ErrorKind::Io`](counterpoint::ErrorKind::Io) when the file cannot be
/// written; what was at `path` is then unchanged.
pub fn save_torch(path: &Path, tensors: &[(String, TensorData)]) -> Result<()> {
    let entries = distinct(path, tensors)?;
    atomically(path, true, |file| torch::state_dict(file, path, entries))
}

/// Writes one bare tensor to `path` as `torch.save(tensor, path)` does.
///
/// # Errors
/// As [`save_torch`].
pub fn save_torch_tensor(path: &Path, tensor: &TensorData) -> Result<()> {
    atomically(path, true, |file| torch::bare(file, path, Entry::here(torch::BARE, tensor)))
}

fn distinct<'a>(path: &Path, tensors: &'a [(String, TensorData)]) -> Result<Vec<Entry<'a>>> {
    all_different(path, tensors.iter().map(|(name, _)| name.as_str()))?;
    Ok(tensors.iter().map(|(name, data)| Entry::here(name, data)).collect())
}

fn all_different<'a>(path: &Path, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Error::weights(format!("cannot write {}: {name} is given twice", path.display())));
        }
    }
    Ok(())
}
