//! Writing weights: a file appears complete or not at all.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use burn::module::Module;
use burn::store::burn_pack::{AtomicFile, Tensor as Source};
use burn::store::{BurnToPyTorchAdapter, FloatCastAdapter, ModuleAdapter, ModuleSnapshot};
use burn::tensor::{DType, FloatDType, TensorData};

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
    fn here((name, data): &'a (String, TensorData)) -> Self {
        let (dtype, shape) = (data.dtype(), data.shape().to_vec());
        Self { name: name.clone(), dtype, shape, numbers: Numbers::Here(data) }
    }

    pub(super) fn there(source: Source) -> Self {
        let (name, dtype, shape) = (source.name.clone(), source.dtype, source.shape.to_vec());
        Self { name, dtype, shape, numbers: Numbers::There(source) }
    }

    /// How many bytes [`read`](Self::read) gives.
    pub(super) fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }

    /// The elements, row-major, for a file at `path`.
    pub(super) fn read(&self, path: &Path) -> Result<Cow<'_, [u8]>> {
        let bytes = match &self.numbers {
            Numbers::Here(data) => Cow::Borrowed(data.as_bytes()),
            Numbers::There(source) => {
                let bytes = source.to_bytes().map_err(|e| {
                    Error::weights(format!("cannot write {} to {}", self.name, path.display()))
                        .with_source(e.to_string())
                })?;
                Cow::Owned(bytes.to_vec())
            }
        };
        match bytes.len() == self.bytes() {
            true => Ok(bytes),
            false => Err(Error::weights(format!(
                "cannot write {} to {}: expected {} bytes, got {}",
                self.name,
                path.display(),
                self.bytes(),
                bytes.len()
            ))),
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
    let named = (String::from("tensor"), tensor.clone());
    atomically(path, true, |file| torch_write::bare(file, path, Entry::here(&named)))
}

fn distinct<'a>(path: &Path, tensors: &'a [(String, TensorData)]) -> Result<Vec<Entry<'a>>> {
    let mut seen = std::collections::HashSet::new();
    for (name, _) in tensors {
        if !seen.insert(name) {
            return Err(Error::weights(format!("cannot write {}: {name} is given twice", path.display())));
        }
    }
    Ok(tensors.iter().map(Entry::here).collect())
}

/// Lets `write` fill a new file beside `path` and moves it there when it is complete.
pub(super) fn atomically(path: &Path, overwrite: bool, write: impl FnOnce(File) -> Result<()>) -> Result<()> {
    let failed =
        |e: burn::store::burn_pack::Error| Error::io("cannot write", path, std::io::Error::other(e.to_string()));
    let (scratch, file) = AtomicFile::create(path).map_err(failed)?;
    write(file)?;
    if overwrite { scratch.commit() } else { scratch.commit_new() }.map_err(failed)
}
