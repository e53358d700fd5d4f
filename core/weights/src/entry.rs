//! A tensor on its way into a file.

use std::path::Path;

use burn::store::burn_pack::Tensor as Source;
use burn::tensor::{DType, TensorData};
use counterpoint::{Error, Result};

/// A tensor to be written, whose bytes may still be somewhere else.
pub(crate) struct Entry<'a> {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    numbers: Numbers<'a>,
}

enum Numbers<'a> {
    Here(&'a TensorData),
    There(Source),
}

impl<'a> Entry<'a> {
    pub(crate) fn here(name: &str, data: &'a TensorData) -> Self {
        let (dtype, shape) = (data.dtype(), data.shape().to_vec());
        Self { name: name.to_owned(), dtype, shape, numbers: Numbers::Here(data) }
    }

    pub(crate) fn there(source: Source) -> Self {
        let (name, dtype, shape) = (source.name.clone(), source.dtype, source.shape.to_vec());
        Self { name, dtype, shape, numbers: Numbers::There(source) }
    }

    /// How many bytes the elements take.
    pub(crate) fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }

    /// Hands the elements, row-major, to `write`; `path` is the file that they are for.
    pub(crate) fn with_bytes(&self, path: &Path, write: impl FnOnce(&[u8]) -> std::io::Result<()>) -> Result<()> {
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
