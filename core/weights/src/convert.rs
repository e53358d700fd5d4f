//! From one format to another, one tensor at a time.

use std::collections::BTreeMap;
use std::path::Path;

use burn::store::bridge;
use burn::store::burn_pack::Tensor as Source;
use burn::tensor::{DType, FloatDType};
use counterpoint::file::atomically;
use counterpoint::{Error, Result};

use crate::entry::Entry;
use crate::files::WeightFiles;
use crate::format::Format;
use crate::layout::{LAYOUT, Layout};
use crate::rename::renamed;
use crate::{burnpack, safetensors, torch};

/// What [`WeightFiles::convert`] changes on the way.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConvertOptions<'a> {
    /// Pairs of a regular expression and its replacement, applied to the names one after the other.
    pub renamed: &'a [(&'a str, &'a str)],
    /// The dtype that float tensors are cast to.
    pub dtype: Option<FloatDType>,
    /// Whether a file that is there already is replaced.
    pub overwrite: bool,
}

impl WeightFiles {
    /// Writes these tensors to one file at `path`, whose ending says the format; the memory is that of one tensor.
    ///
    /// Tensors keep their layout. Safetensors and burnpack files that have another layout than their format's own say so
    /// in their metadata, and [`load`](crate::load) heeds it.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`](counterpoint::ErrorKind::Weights) when the ending is of no format, the file exists and is not to
    /// be overwritten, two tensors get one name, a dtype cannot be written, burn's layout is to go into a torch file, or
    /// a tensor cannot be read; [`ErrorKind::Config`](counterpoint::ErrorKind::Config) when a pattern is no regular expression;
    /// [`ErrorKind::Io`](counterpoint::ErrorKind::Io) when the file cannot be written. Nothing is then left at `path`.
    pub fn convert(&self, path: &Path, how: &ConvertOptions<'_>) -> Result<()> {
        let format = Format::of_name(path)?;
        if !how.overwrite && path.exists() {
            return Err(Error::weights(format!("{} exists; remove it or ask to overwrite it", path.display())));
        }
        if format == Format::Torch && self.layout() == Layout::Burn {
            return Err(Error::weights(format!(
                "{} has burn's layout ([in, out], gamma and beta), which a torch file cannot say; load it into its module \
                 and save that",
                self.path().display()
            )));
        }
        let sources: Vec<Source> =
            renamed(self, how.renamed)?.into_iter().map(|source| cast(source, how.dtype)).collect();
        let mut metadata: BTreeMap<String, String> = self.metadata().clone();
        metadata.remove(LAYOUT);
        match (format, self.layout()) {
            (Format::Safetensors, Layout::Burn) => metadata.insert(LAYOUT.into(), "burn".into()),
            (Format::Burnpack, Layout::Torch) => metadata.insert(LAYOUT.into(), "torch".into()),
            _ => None,
        };
        atomically(path, how.overwrite, |file| {
            let entries = || sources.iter().cloned().map(Entry::there).collect();
            match format {
                Format::Burnpack => burnpack::write(file.path(), path, sources, metadata),
                Format::Safetensors => safetensors::write(file, path, entries(), &metadata.into_iter().collect()),
                Format::Torch => torch::state_dict(file, path, entries()),
            }
        })
    }
}

fn cast(source: Source, dtype: Option<FloatDType>) -> Source {
    match dtype.map(DType::from) {
        Some(dtype) if source.dtype.is_float() && source.dtype != dtype => {
            let (name, shape) = (source.name.clone(), source.shape.clone());
            bridge::map_data(source, name, dtype, shape, move |data| data.convert_dtype(dtype))
        }
        _ => source,
    }
}
