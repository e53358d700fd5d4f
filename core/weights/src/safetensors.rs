//! Safetensors files: the header is checked against the file, each tensor is read at its offset when it is wanted.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ::safetensors::Dtype;
use ::safetensors::tensor::{Metadata, TensorInfo};
use burn::store::bridge;
use burn::store::burn_pack::Error as PackError;
use burn::tensor::{BoolStore, Bytes, DType, Shape, TensorData};
use counterpoint::{Error, Result};

use crate::contents::Contents;
use crate::entry::Entry;
use crate::layout::{LAYOUT, Layout};

/// Lists what the file at `path` holds.
pub(crate) fn read(path: &Path) -> Result<Contents> {
    let mut file =
        File::open(path).map_err(|e| Error::weights(format!("cannot open {}", path.display())).with_source(e))?;
    let (start, header) = read_header(path, &mut file)?;
    let file = Arc::new(Mutex::new(file));
    let mut tensors = Vec::new();
    for (name, info) in header.tensors() {
        let dtype = from_file(info.dtype).ok_or_else(|| {
            Error::weights(format!(
                "{}: {name} has the dtype {:?}, expected F64, F32, F16, BF16, an integer type or BOOL; convert the file",
                path.display(),
                info.dtype
            ))
        })?;
        let (shape, file) = (Shape::from(info.shape.clone()), Arc::clone(&file));
        let (from, length) = (start + info.data_offsets.0 as u64, info.data_offsets.1 - info.data_offsets.0);
        tensors.push(bridge::deferred(name, dtype, shape.clone(), None, move || {
            let bytes = read_at(&file, from, length).map_err(|e| PackError::IoError(e.to_string()))?;
            if dtype == DType::Bool(BoolStore::Native) && bytes.iter().any(|byte| *byte > 1) {
                return Err(PackError::ValidationError("expected booleans of 0 and 1, got other bytes".into()));
            }
            TensorData::try_from_bytes(Bytes::from_bytes_vec(bytes), shape.clone(), dtype)
                .map_err(|e| PackError::ValidationError(e.to_string()))
        }));
    }
    let metadata: BTreeMap<String, String> = header.metadata().clone().unwrap_or_default().into_iter().collect();
    let layout = if metadata.get(LAYOUT).is_some_and(|l| l == "burn") { Layout::Burn } else { Layout::Torch };
    Ok(Contents { tensors, metadata, layout, notes: Vec::new() })
}

fn read_at(file: &Mutex<File>, from: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The header and where the numbers begin. Refused when it is damaged or the file has not the length that it promises.
fn read_header(path: &Path, file: &mut File) -> Result<(u64, Metadata)> {
    let bytes = file.metadata().map_err(|e| Error::io("cannot read", path, e))?.len();
    let mut length = [0_u8; 8];
    let bad = |what: String| {
        Error::weights(format!("{}: {what}; the file is truncated or not safetensors, fetch it again", path.display()))
    };
    file.read_exact(&mut length).map_err(|_| bad(format!("expected at least 8 bytes, got {bytes}")))?;
    let header_length = u64::from_le_bytes(length);
    let start = header_length.saturating_add(8);
    if start > bytes {
        return Err(bad(format!("the header says it has {header_length} bytes, the file has {bytes} in all")));
    }
    let mut header = vec![0; header_length as usize];
    file.read_exact(&mut header).map_err(|e| Error::io("cannot read", path, e))?;
    let header: Metadata =
        serde_json::from_slice(&header).map_err(|e| bad("unreadable header".into()).with_source(e))?;
    let expected = start + header.data_len() as u64;
    if expected != bytes {
        return Err(bad(format!("the header promises {expected} bytes, the file has {bytes}")));
    }
    Ok((start, header))
}

/// Writes `entries`, ordered as the format's own library orders them: by falling alignment, then by name.
pub(crate) fn write(
    file: impl Write,
    path: &Path,
    mut entries: Vec<Entry<'_>>,
    metadata: &HashMap<String, String>,
) -> Result<()> {
    let mut header = Vec::new();
    let mut typed = Vec::new();
    for entry in entries.drain(..) {
        let dtype = to_file(entry.dtype).ok_or_else(|| {
            Error::weights(format!(
                "{}: safetensors has no dtype {:?}; cast {}",
                path.display(),
                entry.dtype,
                entry.name
            ))
        })?;
        typed.push((dtype, entry));
    }
    typed.sort_by(|(left, a), (right, b)| right.cmp(left).then_with(|| a.name.cmp(&b.name)));
    let mut end = 0;
    for (dtype, entry) in &typed {
        let begin = end;
        end += entry.bytes();
        let info = TensorInfo { dtype: *dtype, shape: entry.shape.clone(), data_offsets: (begin, end) };
        header.push((entry.name.clone(), info));
    }
    let metadata = (!metadata.is_empty()).then(|| metadata.clone());
    let bad = |e: String| Error::weights(format!("{}: cannot describe the tensors", path.display())).with_source(e);
    let header = Metadata::new(metadata, header).map_err(|e| bad(e.to_string()))?;
    let mut header = serde_json::to_vec(&header).map_err(|e| bad(e.to_string()))?;
    header.resize(header.len().next_multiple_of(8), b' ');

    let io = |e| Error::io("cannot write", path, e);
    let mut out = BufWriter::new(file);
    out.write_all(&(header.len() as u64).to_le_bytes()).map_err(io)?;
    out.write_all(&header).map_err(io)?;
    for (_, entry) in typed {
        entry.with_bytes(path, |bytes| out.write_all(bytes))?;
    }
    out.flush().map_err(io)
}

fn from_file(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U64 => DType::U64,
        Dtype::U32 => DType::U32,
        Dtype::U16 => DType::U16,
        Dtype::U8 => DType::U8,
        Dtype::BOOL => DType::Bool(BoolStore::Native),
        _ => return None,
    })
}

fn to_file(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 | DType::Flex32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 | DType::Bool(BoolStore::U32) => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 | DType::Bool(BoolStore::U8) => Dtype::U8,
        DType::Bool(BoolStore::Native) => Dtype::BOOL,
        DType::QFloat(_) => return None,
    })
}
