//! Burn's own format, through burn's reader and writer.

use std::path::Path;
use std::sync::Arc;

use burn::store::bridge;
use burn::store::burn_pack::{Error as PackError, Reader, Tensor as Source, Writer};
use burn::tensor::{Bytes, TensorData};
use counterpoint::{Error, Result};

use crate::contents::Contents;
use crate::layout::{LAYOUT, Layout};

/// Lists what the file at `path` holds. A file that burn wrote has burn's layout; one converted from PyTorch says so.
pub(crate) fn read(path: &Path) -> Result<Contents> {
    let bad = |e: PackError| {
        Error::weights(format!("{}: the file is truncated or not burnpack, fetch it again", path.display()))
            .with_source(e.to_string())
    };
    let reader = Arc::new(Reader::from_file_exact(path).map_err(bad)?);
    let metadata = reader.metadata().clone();
    let listed = Reader::from_file_exact(path).and_then(Reader::into_tensors).map_err(bad)?;
    let tensors = listed.into_iter().map(|tensor| deferred(tensor, &reader)).collect();
    let layout = if metadata.get(LAYOUT).is_some_and(|l| l == "torch") { Layout::Torch } else { Layout::Burn };
    Ok(Contents { tensors, metadata, layout, notes: Vec::new() })
}

/// The same tensor, read anew each time and not kept.
fn deferred(tensor: Source, reader: &Arc<Reader>) -> Source {
    let (name, dtype, shape, reader) = (tensor.name.clone(), tensor.dtype, tensor.shape.clone(), Arc::clone(reader));
    bridge::deferred(tensor.name, dtype, tensor.shape, tensor.param_id, move || {
        let bytes = Bytes::from_bytes_vec(reader.tensor_data(&name)?);
        TensorData::try_from_bytes(bytes, shape.clone(), dtype).map_err(|e| PackError::ValidationError(e.to_string()))
    })
}

/// Writes `tensors` to the file at `scratch`, which is to be at `path`.
pub(crate) fn write(
    scratch: &Path,
    path: &Path,
    tensors: Vec<Source>,
    metadata: impl IntoIterator<Item = (String, String)>,
) -> Result<()> {
    let mut writer = Writer::new(tensors).auto_extension(false).overwrite(true);
    for (key, value) in metadata {
        writer = writer.with_metadata(&key, &value);
    }
    let failed = |e: PackError| Error::io("cannot write", path, std::io::Error::other(e.to_string()));
    writer.write_to_file_in_place(scratch).map_err(failed)
}
