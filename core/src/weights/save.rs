//! Writing weights: a file appears complete or not at all.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use burn::module::Module;
use burn::store::burn_pack::{AtomicFile, Tensor as Source};
use burn::store::{BurnToPyTorchAdapter, FloatCastAdapter, ModuleAdapter, ModuleSnapshot};
use burn::tensor::{DType, FloatDType, TensorData};

use super::bare::NAME;
use super::{safetensors, torch_write};
use crate::{Error, Result};

/// A tensor to be written, whose bytes may still be somewhere else.
pub(super) struct Entry<'a> {
    pub(super) name: String,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    numbers: Numbers<'a>,
}

enum Numbers<'a> {
    Here(&'a TensorData),
    There(Source),
}

impl<'a> Entry<'a> {
    fn here(name: &str, data: &'a TensorData) -> Self {
        let (dtype, shape) = (data.dtype(), data.shape().to_vec());
        Self { name: name.to_owned(), dtype, shape, numbers: Numbers::Here(data) }
    }

    pub(super) fn there(source: Source) -> Self {
        let (name, dtype, shape) = (source.name.clone(), source.dtype, source.shape.to_vec());
        Self { name, dtype, shape, numbers: Numbers::There(source) }
    }

    /// How many bytes the elements take.
    pub(super) fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }

    /// Hands the elements, row-major, to `write`; `path` is the file that they are for.
    pub(super) fn with_bytes(&self, path: &Path, write: impl FnOnce(&[u8]) -> std::io::Result<()>) -> Result<()> {
        let bad = |what: String| Error::weights(format!("cannot write {} to {}: {what}", self.name, path.display()));
        let write = |bytes: &[u8]| match bytes.len() == self.bytes() {
            true => write(bytes).map_err(|e| Error::io("cannot write", path, e)),
            false => Err(bad(format!("expected {} bytes, got {}", self.bytes(), bytes.len()))),
        };
        match &self.numbers {
            Numbers::Here(data) => write(data.as_bytes()),
            Numbers::There(source) => write(&source.to_bytes().map_err(|e| bad(e.to_string()))?),
        }
    }
}

/// Writes `module` to `path` as safetensors in the PyTorch layout and under the originals' names, with `metadata` in
/// the header. Float parameters are cast to `dtype`, or stay what they are.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) when the file cannot be written; what was at `path` is then unchanged.
pub fn save_safetensors<M: Module>(
    module: &M,
    path: &Path,
    metadata: &HashMap<String, String>,
    dtype: Option<FloatDType>,
) -> Result<()> {
    let adapter: Box<dyn ModuleAdapter> = match dtype {
        Some(dtype) => Box::new(BurnToPyTorchAdapter.chain(FloatCastAdapter::to(dtype.into()))),
        None => Box::new(BurnToPyTorchAdapter),
    };
    let entries = module.collect(None, Some(adapter), true).into_iter().map(Entry::there).collect();
    atomically(path, true, |file| safetensors::write(file, path, entries, metadata))
}

/// Writes `tensors` to `path` as safetensors, with `metadata` in the header.
///
/// # Errors
/// [`ErrorKind::Weights`](crate::ErrorKind::Weights) when a name is given twice or a dtype is quantized,
/// [`ErrorKind::Io`](crate::ErrorKind::Io) when the file cannot be written; what was at `path` is then unchanged.
pub fn save_tensors(path: &Path, tensors: &[(String, TensorData)], metadata: &HashMap<String, String>) -> Result<()> {
    let entries = distinct(path, tensors)?;
    atomically(path, true, |file| safetensors::write(file, path, entries, metadata))
}

/// Writes `tensors` to `path` as `torch.save` writes a state dict: a flat dictionary in a zip file, which
/// `torch.load(path, weights_only=True)` reads.
///
/// # Errors
/// [`ErrorKind::Weights`](crate::ErrorKind::Weights) when a name is given twice or a dtype is one that torch has no
/// storage for (quantized, or unsigned but for `U8`), [`ErrorKind::Io`](crate::ErrorKind::Io) when the file cannot be
/// written; what was at `path` is then unchanged.
pub fn save_torch(path: &Path, tensors: &[(String, TensorData)]) -> Result<()> {
    let entries = distinct(path, tensors)?;
    atomically(path, true, |file| torch_write::state_dict(file, path, entries))
}

/// Writes one bare tensor to `path` as `torch.save(tensor, path)` does.
///
/// # Errors
/// As [`save_torch`].
pub fn save_torch_tensor(path: &Path, tensor: &TensorData) -> Result<()> {
    atomically(path, true, |file| torch_write::bare(file, path, Entry::here(NAME, tensor)))
}

fn distinct<'a>(path: &Path, tensors: &'a [(String, TensorData)]) -> Result<Vec<Entry<'a>>> {
    let mut seen = std::collections::HashSet::new();
    for (name, _) in tensors {
        if !seen.insert(name) {
            return Err(Error::weights(format!("cannot write {}: {name} is given twice", path.display())));
        }
    }
    Ok(tensors.iter().map(|(name, data)| Entry::here(name, data)).collect())
}

/// Lets `write` fill a new file beside `path` and moves it there when it is complete.
pub(super) fn atomically(path: &Path, overwrite: bool, write: impl FnOnce(File) -> Result<()>) -> Result<()> {
    let failed =
        |e: burn::store::burn_pack::Error| Error::io("cannot write", path, std::io::Error::other(e.to_string()));
    let (scratch, file) = AtomicFile::create(path).map_err(failed)?;
    write(file)?;
    if overwrite { scratch.commit() } else { scratch.commit_new() }.map_err(failed)
}
