//! One or several files seen as one list of tensors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::store::bridge;
use burn::store::burn_pack::Tensor as Source;
use burn::tensor::{DType, TensorData};
use counterpoint::{Error, Result};

use crate::complaints::complaints;
use crate::contents::Contents;
use crate::format::{Format, Kind, sniff};
use crate::index::{Index, base_name, weights_in};
use crate::layout::Layout;
use crate::{burnpack, safetensors, torch};

/// What a file says of one of its tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name in the file.
    pub name: String,
    /// The extents, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The type of the elements as they are stored.
    pub dtype: DType,
    /// The file that holds it.
    pub file: PathBuf,
}

/// The tensors of a weight file or of several that belong together, with their numbers still in the files.
#[derive(Debug)]
pub struct WeightFiles {
    path: PathBuf,
    format: Format,
    tensors: Vec<TensorInfo>,
    sources: Vec<Source>,
    metadata: BTreeMap<String, String>,
    layout: Layout,
    notes: Vec<String>,
}

impl WeightFiles {
    /// Opens the weights at `path`: a file of any [`Format`], known by its content, the index of a sharded file, or a
    /// folder with `model.safetensors`, `model.safetensors.index.json`, `pytorch_model.bin`,
    /// `pytorch_model.bin.index.json` or a single weight file. Names, shapes and dtypes are read, the numbers are not.
    ///
    /// Of a training checkpoint only the model is taken: when a torch file's dictionary has one of the keys
    /// `state_dict`, `model_state_dict` and `model`, the tensors under it, without the key.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`](counterpoint::ErrorKind::Weights) with the file's name when there are no weights, when a file is
    /// truncated, damaged, of an unknown format or holds a dtype that burn does not have, when a shard and its index
    /// disagree, and when a pickle asks for code to be run.
    pub fn open(path: &Path) -> Result<Self> {
        let path = if path.is_dir() { weights_in(path)? } else { path.to_path_buf() };
        let (format, files) = match sniff(&path)? {
            Kind::Weights(format) => (format, vec![(path.clone(), read(&path, format)?)]),
            Kind::Index => sharded(&path)?,
        };
        let mut all = Vec::new();
        let (mut metadata, mut notes, mut layout) = (BTreeMap::new(), Vec::new(), Layout::Torch);
        for (file, contents) in files {
            all.extend(contents.tensors.into_iter().map(|source| (file.clone(), source)));
            metadata.extend(contents.metadata);
            notes.extend(contents.notes);
            layout = contents.layout;
        }
        all.sort_by(|a, b| a.1.name.cmp(&b.1.name));
        if let Some(pair) = all.windows(2).find(|pair| pair[0].1.name == pair[1].1.name) {
            return Err(Error::weights(format!(
                "{} is both in {} and in {}: expected every tensor once",
                pair[0].1.name,
                pair[0].0.display(),
                pair[1].0.display()
            )));
        }
        let tensors = all
            .iter()
            .map(|(file, source)| TensorInfo {
                name: source.name.clone(),
                shape: source.shape.to_vec(),
                dtype: source.dtype,
                file: file.clone(),
            })
            .collect();
        let sources = all.into_iter().map(|(_, source)| source).collect();
        Ok(Self { path, format, tensors, sources, metadata, layout, notes })
    }

    /// The file that was opened: the one named, or the one that was found in the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The format of the files.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What the files hold, sorted by name.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The text that the files' headers carry besides.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// What a person should know: what else the files hold that is not among [`tensors`](Self::tensors).
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Reads one tensor in the dtype and shape of the file.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`](counterpoint::ErrorKind::Weights) when there is no tensor `name`, or when its bytes cannot be read
    /// or fail the file's own checksum.
    pub fn read(&self, name: &str) -> Result<TensorData> {
        let at = self
            .tensors
            .binary_search_by(|tensor| tensor.name.as_str().cmp(name))
            .map_err(|_| Error::weights(format!("{}: there is no tensor {name:?}", self.path.display())))?;
        bridge::to_data(&self.sources[at]).map_err(|e| {
            Error::weights(format!("{}: cannot read {name}", self.path.display())).with_source(e.to_string())
        })
    }

    pub(crate) fn sources(&self) -> &[Source] {
        &self.sources
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }
}

fn read(path: &Path, format: Format) -> Result<Contents> {
    match format {
        Format::Safetensors => safetensors::read(path),
        Format::Burnpack => burnpack::read(path),
        Format::Torch => torch::read(path),
    }
}

fn sharded(path: &Path) -> Result<(Format, Vec<(PathBuf, Contents)>)> {
    let index = Index::read(path)?;
    let mut format = None;
    let mut files: Vec<(PathBuf, Contents)> = Vec::new();
    for (shard, expected) in index.shards(path)? {
        let of_shard = match sniff(&shard).map_err(|e| e.at(path.display()))? {
            Kind::Weights(format) => format,
            Kind::Index => {
                return Err(Error::weights(format!("{}: expected a weight file, got an index", shard.display())));
            }
        };
        let contents = read(&shard, of_shard)?;
        let got: BTreeSet<&str> = contents.tensors.iter().map(|t| t.name.as_str()).collect();
        let missing: Vec<String> = expected.difference(&got).map(ToString::to_string).collect();
        let unexpected: Vec<String> = got.difference(&expected).map(ToString::to_string).collect();
        if !missing.is_empty() || !unexpected.is_empty() {
            return Err(Error::weights(format!(
                "{} and its index {} disagree: {}; fetch both again",
                shard.display(),
                base_name(path),
                complaints([("missing", missing), ("not in the index", unexpected)])
            )));
        }
        if files.iter().any(|(_, other)| other.layout != contents.layout) || format.is_some_and(|f| f != of_shard) {
            return Err(Error::weights(format!("{}: expected shards of one format and layout", path.display())));
        }
        format = Some(of_shard);
        files.push((shard, contents));
    }
    Ok((format.unwrap_or(Format::Safetensors), files))
}
