//! Files of `torch.save` in its zip form: a pickle that describes the tensors, and an entry for the bytes of each.

use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;

use burn::tensor::{BoolStore, DType};
use counterpoint::{Error, Result};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::entry::Entry;

/// The folder inside the zip file.
const ROOT: &str = "archive";
/// Torch maps storages at multiples of this.
const ALIGNMENT: u16 = 64;

/// Writes `entries` as a dictionary of tensors by name.
pub(crate) fn state_dict(file: impl Write + Seek, path: &Path, entries: Vec<Entry<'_>>) -> Result<()> {
    let mut pickle = Pickle::new();
    pickle.0.extend_from_slice(b"}(");
    for (at, entry) in entries.iter().enumerate() {
        pickle.text(&entry.name);
        pickle.tensor(at, entry, path)?;
    }
    pickle.0.push(b'u');
    write(file, path, pickle, &entries)
}

/// Writes `entry` without a dictionary round it.
pub(crate) fn bare(file: impl Write + Seek, path: &Path, entry: Entry<'_>) -> Result<()> {
    let mut pickle = Pickle::new();
    pickle.tensor(0, &entry, path)?;
    write(file, path, pickle, &[entry])
}

fn write(file: impl Write + Seek, path: &Path, mut pickle: Pickle, entries: &[Entry<'_>]) -> Result<()> {
    pickle.0.push(b'.');
    let io = |e: io::Error| Error::io("cannot write", path, e);
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).with_alignment(ALIGNMENT);
    let mut zip = ZipWriter::new(BufWriter::new(file));
    let mut add = |name: String, bytes: &[u8]| {
        let large = bytes.len() as u64 >= u64::from(u32::MAX);
        zip.start_file(name, stored.large_file(large)).map_err(io::Error::from)?;
        zip.write_all(bytes)
    };
    add(format!("{ROOT}/data.pkl"), &pickle.0).map_err(io)?;
    add(format!("{ROOT}/byteorder"), b"little").map_err(io)?;
    for (at, entry) in entries.iter().enumerate() {
        entry.with_bytes(path, |bytes| add(format!("{ROOT}/data/{at}"), bytes))?;
    }
    add(format!("{ROOT}/version"), b"3\n").map_err(io)?;
    zip.finish().map_err(|e| io(e.into()))?.flush().map_err(io)
}

/// The bytes of a pickle of protocol 2.
struct Pickle(Vec<u8>);

impl Pickle {
    fn new() -> Self {
        Self(vec![0x80, 2])
    }

    fn text(&mut self, text: &str) {
        self.0.push(b'X');
        self.0.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn name(&mut self, module: &str, name: &str) {
        self.0.extend_from_slice(format!("c{module}\n{name}\n").as_bytes());
    }

    fn int(&mut self, value: usize) {
        match u8::try_from(value) {
            Ok(byte) => self.0.extend_from_slice(&[b'K', byte]),
            Err(_) => {
                // Nine bytes, so that the highest bit, the sign's, is never one of the number's.
                self.0.extend_from_slice(&[0x8A, 9]);
                self.0.extend_from_slice(&(value as u64).to_le_bytes());
                self.0.push(0);
            }
        }
    }

    fn tuple(&mut self, values: impl IntoIterator<Item = usize>) {
        self.0.push(b'(');
        values.into_iter().for_each(|value| self.int(value));
        self.0.push(b't');
    }

    /// `torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`.
    fn tensor(&mut self, at: usize, entry: &Entry<'_>, path: &Path) -> Result<()> {
        let storage = storage_of(entry.dtype).ok_or_else(|| {
            Error::weights(format!(
                "{}: torch has no storage of {:?}; cast {}",
                path.display(),
                entry.dtype,
                entry.name
            ))
        })?;
        self.name("torch._utils", "_rebuild_tensor_v2");
        self.0.extend_from_slice(b"((");
        self.text("storage");
        self.name("torch", storage);
        self.text(&at.to_string());
        self.text("cpu");
        self.int(entry.shape.iter().product());
        self.0.extend_from_slice(b"tQ");
        self.int(0);
        self.tuple(entry.shape.iter().copied());
        self.tuple(strides(&entry.shape));
        self.0.push(0x89);
        self.name("collections", "OrderedDict");
        self.0.extend_from_slice(b")RtR");
        Ok(())
    }
}

/// How many elements apart neighbours in each dimension are, row-major.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for at in (1..shape.len()).rev() {
        strides[at - 1] = strides[at] * shape[at].max(1);
    }
    strides
}

/// The storage class, of the module `torch`, that holds `dtype`.
fn storage_of(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::F64 => "DoubleStorage",
        DType::F32 => "FloatStorage",
        DType::F16 => "HalfStorage",
        DType::BF16 => "BFloat16Storage",
        DType::I64 => "LongStorage",
        DType::I32 => "IntStorage",
        DType::I16 => "ShortStorage",
        DType::I8 => "CharStorage",
        DType::U8 => "ByteStorage",
        DType::Bool(BoolStore::Native) => "BoolStorage",
        _ => return None,
    })
}
