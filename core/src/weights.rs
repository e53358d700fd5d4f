//! Module weights in safetensors files, under the names and in the layout of the PyTorch originals.
//!
//! Every tensor is accounted for: what is missing, unexpected or of another shape is listed by name with the shape that
//! was expected and the one that came, and a module is never left half loaded.

use std::collections::HashMap;
use std::path::Path;

use burn::module::Module;
use burn::store::{ApplyError, BurnToPyTorchAdapter, ModuleSnapshot, PyTorchToBurnAdapter, SafetensorsStore};

use crate::{Error, Result};

/// How many names of one sort an error message lists before it says "and N more".
const LISTED: usize = 8;

/// Loads `path` into `module`, whose parameter paths are the original's tensor names.
///
/// Linear weights are stored transposed (`[out, in]`), norms as `weight`/`bias`, as PyTorch does.
/// `renamed` holds pairs of a regular expression and its replacement, applied to the names in the file.
/// Names that begin with one of `ignored` may be in the file without being used.
///
/// # Errors
/// [`ErrorKind::Weights`](crate::ErrorKind::Weights) when the file is missing, truncated or not safetensors, or when
/// any tensor is missing, unexpected or of another shape; `module` is then unchanged.
pub fn load_safetensors<M: Module>(
    module: &mut M,
    path: &Path,
    renamed: &[(&str, &str)],
    ignored: &[&str],
) -> Result<()> {
    let mut store = open(path)?.allow_partial(true).validate(false).with_from_adapter(PyTorchToBurnAdapter);
    for (from, to) in renamed {
        store = store.with_key_remapping(*from, *to);
    }
    let mut loaded = module.clone();
    let result = loaded
        .load_from(&mut store)
        .map_err(|e| Error::weights(format!("cannot read {}", path.display())).with_source(e.to_string()))?;

    let wrong: Vec<String> = result.errors.iter().map(describe).collect();
    let missing: Vec<String> = result.missing.iter().map(|(name, _)| name.clone()).collect();
    let unexpected: Vec<String> =
        result.unused.iter().filter(|name| !ignored.iter().any(|i| name.starts_with(i))).cloned().collect();
    let complaints: Vec<String> = [("wrong", wrong), ("missing", missing), ("unexpected", unexpected)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(sort, names)| list(sort, &names))
        .collect();
    if !complaints.is_empty() {
        return Err(Error::weights(format!(
            "{} does not fit this model: {}; check that the weights and the model's config belong together",
            path.display(),
            complaints.join("; ")
        )));
    }
    *module = loaded;
    Ok(())
}

/// Writes `module` to `path` in the PyTorch layout, with `metadata` in the header.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) when the file cannot be written.
pub fn save_safetensors<M: Module>(module: &M, path: &Path, metadata: &HashMap<String, String>) -> Result<()> {
    let mut store = SafetensorsStore::from_file(path)
        .overwrite(true)
        .skip_enum_variants(true)
        .clear_metadata()
        .with_to_adapter(BurnToPyTorchAdapter);
    for (key, value) in metadata {
        store = store.metadata(key, value);
    }
    module.save_into(&mut store).map_err(|e| Error::io("cannot write", path, std::io::Error::other(e.to_string())))
}

fn open(path: &Path) -> Result<SafetensorsStore> {
    let file = std::fs::File::open(path)
        .map_err(|e| Error::weights(format!("cannot open {}", path.display())).with_source(e))?;
    let bytes = file.metadata().map_err(|e| Error::io("cannot read", path, e))?.len();
    check_header(path, file, bytes)?;
    Ok(SafetensorsStore::from_file(path).skip_enum_variants(true))
}

/// Refuses a file whose header is damaged or promises more bytes than the file has.
fn check_header(path: &Path, mut file: std::fs::File, bytes: u64) -> Result<()> {
    use std::io::Read;
    let mut length = [0_u8; 8];
    let bad = |what: String| {
        Error::weights(format!("{}: {what}; the file is truncated or not safetensors, fetch it again", path.display()))
    };
    file.read_exact(&mut length).map_err(|_| bad(format!("expected at least 8 bytes, got {bytes}")))?;
    let header_length = u64::from_le_bytes(length);
    if header_length.saturating_add(8) > bytes {
        return Err(bad(format!("the header says it has {header_length} bytes, the file has {bytes} in all")));
    }
    let mut header = vec![0; header_length as usize + 8];
    header[..8].copy_from_slice(&length);
    file.read_exact(&mut header[8..]).map_err(|e| Error::io("cannot read", path, e))?;
    let metadata: safetensors::tensor::Metadata =
        serde_json::from_slice(&header[8..]).map_err(|e| bad("unreadable header".into()).with_source(e))?;
    let expected = 8 + header_length + metadata.data_len() as u64;
    if expected != bytes {
        return Err(bad(format!("the header promises {expected} bytes, the file has {bytes}")));
    }
    Ok(())
}

fn describe(error: &ApplyError) -> String {
    match error {
        ApplyError::ShapeMismatch { path, expected, found } => {
            format!("{path} (expected shape {expected:?}, got {found:?})")
        }
        ApplyError::DTypeMismatch { path, expected, found } => {
            format!("{path} (expected {expected:?}, got {found:?})")
        }
        other => other.to_string(),
    }
}

fn list(sort: &str, names: &[String]) -> String {
    let shown = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => format!("{sort}: {shown}"),
        more => format!("{sort}: {shown} and {more} more"),
    }
}
