//! Weights into a module.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::Module;
use burn::store::burn_pack::{Error as PackError, Tensor as Source};
use burn::store::{Applier, FloatCastAdapter, ModuleAdapter, ModuleContext, PyTorchToBurnAdapter, bridge};
use burn::tensor::{FloatDType, Shape, TensorData};
use counterpoint::{Error, Result};

use crate::complaints::complaints;
use crate::expected::expected;
use crate::files::WeightFiles;
use crate::finite::non_finite;
use crate::layout::Layout;
use crate::rename::renamed;
use crate::split::split;

/// What may differ between a file and the module that it is loaded into.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions<'a> {
    /// Pairs of a regular expression and its replacement (`$1` is the first group), applied to the names in the file one
    /// after the other.
    pub renamed: &'a [(&'a str, &'a str)],
    /// Tensors that the file has as one and the module as several: where a name, after renaming, has the first of a pair in it, the
    /// tensor is cut along its first axis into equal parts, in whose names the second's take its place.
    pub split: &'a [(&'a str, &'a [&'a str])],
    /// Names, or how they begin, that may be in the file without being used; after renaming.
    pub ignored: &'a [&'a str],
    /// The dtype that float parameters get; they are cast one by one as they are read. `None` keeps the file's, so that a
    /// bf16 file makes a bf16 module.
    pub dtype: Option<FloatDType>,
    /// The same for tensors with one axis (biases, norms), where it differs.
    pub vector_dtype: Option<FloatDType>,
    /// Whether a tensor may have axes of extent 1 that its parameter lacks, or lack some that it has. Off by default.
    pub unit_axes: bool,
    /// Whether a tensor with infinities or NaN, in the file or after the cast, is an error. On by default: such a number
    /// is what a damaged file shows, as most formats have no checksum.
    pub reject_non_finite: bool,
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self {
            renamed: &[],
            split: &[],
            ignored: &[],
            dtype: None,
            vector_dtype: None,
            unit_axes: false,
            reject_non_finite: true,
        }
    }
}

/// Loads `files` into `module`, whose parameter paths are the original's tensor names.
///
/// Names and shapes are compared before any number is read. Parameters that were never used are made from the file
/// directly; those of a module in use are kept until the whole file is read.
///
/// # Errors
/// [`ErrorKind::Weights`](counterpoint::ErrorKind::Weights) with the names, expected and actual shapes of all tensors that are
/// missing, unexpected, of another shape or not numbers of the right kind, or that hold non-finite numbers or cannot be
/// read; [`ErrorKind::Config`](counterpoint::ErrorKind::Config) when a pattern of `how` is no regular expression. `module` is
/// then unchanged.
pub fn load<M: Module>(module: &mut M, files: &WeightFiles, how: &LoadOptions<'_>) -> Result<()> {
    let sources = split(renamed(files, how.renamed)?, how.split)?;
    let sources = fitting(module, files, sources, how)?;

    let failed = Arc::new(Mutex::new(Vec::new()));
    let reader = Reading {
        layout: files.layout(),
        dtype: how.dtype,
        vector_dtype: how.vector_dtype,
        reject_non_finite: how.reject_non_finite,
        failed: Arc::clone(&failed),
    };
    let mut applier = Applier::new(sources, None, Some(Box::new(reader)), true);
    let loaded = module.clone().map(&mut applier);
    let result = applier.into_result();
    let failed = std::mem::take(&mut *failed.lock().unwrap_or_else(PoisonError::into_inner));
    let cannot = |what: String| Error::weights(format!("cannot load {}: {what}", files.path().display()));
    if !failed.is_empty() {
        return Err(cannot(complaints([("unreadable", failed)])));
    }
    if !result.errors.is_empty() || !result.missing.is_empty() {
        return Err(cannot(result.to_string()));
    }
    *module = loaded;
    Ok(())
}

/// Loads the safetensors file at `path` into `module`; [`load`] with the names of the file `renamed` and some `ignored`.
///
/// # Errors
/// As [`WeightFiles::open`] and [`load`].
pub fn load_safetensors<M: Module>(
    module: &mut M,
    path: &Path,
    renamed: &[(&str, &str)],
    ignored: &[&str],
) -> Result<()> {
    load(module, &WeightFiles::open(path)?, &LoadOptions { renamed, ignored, ..LoadOptions::default() })
}

/// The sources that `module` uses, if they are all that it needs.
fn fitting<M: Module>(
    module: &M,
    files: &WeightFiles,
    sources: Vec<Source>,
    how: &LoadOptions<'_>,
) -> Result<Vec<Source>> {
    let mut wanted = expected(module, files.layout());
    let (mut used, mut wrong, mut unexpected) = (Vec::new(), Vec::new(), Vec::new());
    for source in sources {
        match wanted.remove(&source.name) {
            Some(parameter) if !same_shape(&source.shape, &parameter.shape, how.unit_axes) => wrong.push(format!(
                "{} (expected shape {:?}, got {:?})",
                source.name,
                parameter.shape,
                source.shape.to_vec()
            )),
            Some(parameter) if !parameter.numbers.accept(source.dtype) => {
                wrong.push(format!(
                    "{} (expected {:?} numbers, got {:?})",
                    source.name, parameter.numbers, source.dtype
                ));
            }
            Some(parameter) => used.push(reshaped(source, &parameter.shape)),
            None if how.ignored.iter().any(|i| source.name.starts_with(i)) => {}
            None => unexpected.push(format!("{} (got shape {:?})", source.name, source.shape.to_vec())),
        }
    }
    let missing: Vec<String> =
        wanted.into_iter().map(|(name, parameter)| format!("{name} (expected shape {:?})", parameter.shape)).collect();
    if wrong.is_empty() && missing.is_empty() && unexpected.is_empty() {
        return Ok(used);
    }
    Err(Error::weights(format!(
        "{} does not fit this model: {}; check that the weights and the model's config belong together",
        files.path().display(),
        complaints([("wrong", wrong), ("missing", missing), ("unexpected", unexpected)])
    )))
}

/// Whether a tensor of shape `got` fits a parameter of shape `expected`.
fn same_shape(got: &[usize], expected: &[usize], unit_axes: bool) -> bool {
    let long = |shape: &[usize]| shape.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
    got == expected || (unit_axes && long(got) == long(expected))
}

/// `source` with the axes of `shape`, which has as many numbers.
fn reshaped(source: Source, shape: &[usize]) -> Source {
    if *source.shape == *shape {
        return source;
    }
    let (name, dtype, shape) = (source.name.clone(), source.dtype, Shape::from(shape.to_vec()));
    let target = shape.clone();
    bridge::map_data(source, name, dtype, shape, move |data| {
        let (bytes, _, dtype) = data.into_parts();
        TensorData::from_bytes(bytes, target.clone(), dtype)
    })
}

/// What happens to a tensor between the file and its parameter. Burn's stores call it where they need it.
#[derive(Clone)]
struct Reading {
    layout: Layout,
    dtype: Option<FloatDType>,
    vector_dtype: Option<FloatDType>,
    reject_non_finite: bool,
    failed: Arc<Mutex<Vec<String>>>,
}

impl ModuleAdapter for Reading {
    fn adapt(&self, tensor: Source, context: ModuleContext<'_>) -> Source {
        let name = tensor.name.clone();
        let tensor = match self.layout {
            Layout::Torch => PyTorchToBurnAdapter.adapt(tensor, context),
            Layout::Burn => tensor,
        };
        let dtype = if tensor.shape.len() == 1 { self.vector_dtype.or(self.dtype) } else { self.dtype };
        let tensor = match dtype {
            Some(dtype) => FloatCastAdapter::to(dtype.into()).adapt(tensor, context),
            None => tensor,
        };
        let (reject, failed) = (self.reject_non_finite, Arc::clone(&self.failed));
        bridge::deferred(tensor.name.clone(), tensor.dtype, tensor.shape.clone(), tensor.param_id, move || {
            let read = bridge::to_data(&tensor).and_then(|data| match reject.then(|| non_finite(&data)) {
                Some(bad) if bad > 0 => Err(PackError::ValidationError(format!(
                    "{bad} of {} numbers are not finite",
                    data.shape().num_elements()
                ))),
                _ => Ok(data),
            });
            if let Err(error) = &read {
                failed.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{name} ({error})"));
            }
            read
        })
    }

    fn get_alternative_param_name(&self, name: &str, container: &str) -> Option<String> {
        match self.layout {
            Layout::Torch => PyTorchToBurnAdapter.get_alternative_param_name(name, container),
            Layout::Burn => None,
        }
    }

    fn clone_box(&self) -> Box<dyn ModuleAdapter> {
        Box::new(self.clone())
    }
}
