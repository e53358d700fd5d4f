//! `torch.save(tensor, path)`: one tensor that is in no dictionary, which burn's reader does not take.
//!
//! The pickle of such a file has one known shape. This reads that shape and refuses every other.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use burn::store::bridge;
use burn::store::burn_pack::{Error as PackError, Tensor as Source};
use burn::tensor::{Bytes, DType, Shape, TensorData};
use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipResult;

use super::storage::dtype_of;
use crate::{Error, Result};

/// The name that a tensor without one gets.
pub(super) const NAME: &str = "tensor";
/// The pickle of one tensor is far shorter.
const LONGEST_PICKLE: u64 = 1 << 20;

/// The tensor of the file at `path`, under the name [`NAME`].
pub(super) fn read(path: &Path) -> Result<Source> {
    let bad = |what: String| Error::weights(format!("{}: {what}", path.display()));
    let file = File::open(path).map_err(|e| Error::io("cannot open", path, e))?;
    let mut archive = archive_of(file).map_err(|e| {
        bad("a bare tensor can be read from zip files only; save it again, or in a dictionary".into()).with_source(e)
    })?;
    let pickle = archive.file_names().flatten().find(|name| name.ends_with("/data.pkl")).map(|name| name.into_owned());
    let pickle = pickle.ok_or_else(|| bad("expected data.pkl in the zip file, got none".into()))?;
    let folder = pickle.trim_end_matches("data.pkl").to_owned();
    let bytes = entry(&mut archive, &pickle, LONGEST_PICKLE).map_err(|e| bad(format!("cannot read {pickle}: {e}")))?;
    let view = View::parse(&bytes).map_err(|what| bad(format!("expected the pickle of one tensor: {what}")))?;

    let (dtype, shape, path) = (view.dtype, Shape::from(view.shape.clone()), path.to_path_buf());
    Ok(bridge::deferred(NAME.into(), dtype, shape.clone(), None, move || {
        let name = format!("{folder}data/{}", view.storage);
        let storage = File::open(&path)
            .map_err(|e| e.to_string())
            .and_then(|file| archive_of(file).map_err(|e| e.to_string()))
            .and_then(|mut archive| entry(&mut archive, &name, view.storage_bytes() as u64))
            .map_err(|e| PackError::IoError(format!("{name}: {e}")))?;
        let bytes = view.gather(&storage).map_err(|e| PackError::ValidationError(format!("{name}: {e}")))?;
        TensorData::try_from_bytes(Bytes::from_bytes_vec(bytes), shape.clone(), dtype)
            .map_err(|e| PackError::ValidationError(e.to_string()))
    }))
}

/// The zip file, which begins where the file begins: looking for another beginning fails on some files of 1 to 2 KiB.
fn archive_of(file: File) -> ZipResult<ZipArchive<File>> {
    ZipArchive::with_config(Config { archive_offset: ArchiveOffset::Known(0) }, file)
}

/// An entry of at most `longest` bytes; its checksum is compared at its end.
fn entry<R: Read + Seek>(archive: &mut ZipArchive<R>, name: &str, longest: u64) -> Result<Vec<u8>, String> {
    let mut file = archive.by_name(name).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(longest + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    match bytes.len() as u64 <= longest {
        true => Ok(bytes),
        false => Err(format!("expected at most {longest} bytes, got more")),
    }
}

/// A tensor as a pickle describes it: a window on a storage.
#[derive(Debug, Clone, PartialEq)]
struct View {
    storage: String,
    elements: usize,
    dtype: DType,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl View {
    fn storage_bytes(&self) -> usize {
        self.elements * self.dtype.size()
    }

    /// The elements in row-major order.
    fn gather(&self, storage: &[u8]) -> Result<Vec<u8>, String> {
        let (size, count) = (self.dtype.size(), self.shape.iter().product::<usize>());
        if storage.len() != self.storage_bytes() {
            return Err(format!("expected {} bytes, got {}", self.storage_bytes(), storage.len()));
        }
        let mut bytes = Vec::with_capacity(count * size);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..count {
            let at = self.offset + index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum::<usize>();
            bytes.extend_from_slice(&storage[at * size..(at + 1) * size]);
            for (place, extent) in index.iter_mut().zip(&self.shape).rev() {
                *place += 1;
                if *place < *extent {
                    break;
                }
                *place = 0;
            }
        }
        Ok(bytes)
    }

    /// Refuses a window that leaves its storage, or has more elements than it.
    fn checked(self) -> Result<Self, String> {
        let count = self.shape.iter().try_fold(1_usize, |n, extent| n.checked_mul(*extent));
        let last = self.shape.iter().zip(&self.strides).try_fold(self.offset, |at, (extent, stride)| {
            at.checked_add(extent.saturating_sub(1).checked_mul(*stride)?)
        });
        let inside = match (count, last) {
            (Some(0), _) => true,
            (Some(count), Some(last)) => count <= self.elements && last < self.elements,
            _ => false,
        };
        let fits = self.elements.checked_mul(self.dtype.size()).is_some() && self.shape.len() == self.strides.len();
        if inside && fits { Ok(self) } else { Err(format!("the tensor leaves its storage: {self:?}")) }
    }

    /// Reads the few opcodes that such a pickle is made of.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut input = Input { bytes, stack: Vec::new(), memo: Vec::new() };
        loop {
            if let Some(view) = input.step()? {
                return view.checked();
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Mark,
    /// What does not matter here: None, booleans, hooks.
    Other,
    Int(i64),
    Text(String),
    Name(String),
    Tuple(Vec<Value>),
    Storage(String, usize, DType),
    View(View),
}

struct Input<'a> {
    bytes: &'a [u8],
    stack: Vec<Value>,
    memo: Vec<(usize, Value)>,
}

impl Input<'_> {
    /// Follows one opcode; the tensor when it is the last.
    fn step(&mut self) -> Result<Option<View>, String> {
        let value = match self.take::<1>()?[0] {
            0x80 => {
                self.take::<1>()?;
                return Ok(None);
            }
            b'q' => return self.remember(1),
            b'r' => return self.remember(4),
            b'.' => {
                return match self.stack.pop() {
                    Some(Value::View(view)) => Ok(Some(view)),
                    other => Err(format!("it ends with {other:?}")),
                };
            }
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            b'(' => Value::Mark,
            b'N' | b'}' | 0x88 | 0x89 => Value::Other,
            b'c' => Value::Name(format!("{}.{}", self.line()?, self.line()?)),
            b'X' => {
                let length = self.number(4)?;
                Value::Text(String::from_utf8_lossy(self.take_many(length)?).into_owned())
            }
            b'K' => Value::Int(self.number(1)? as i64),
            b'M' => Value::Int(self.number(2)? as i64),
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.take::<4>()?))),
            0x8A => self.long()?,
            b')' => Value::Tuple(Vec::new()),
            code @ 0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(code - 0x84)).ok_or("its stack is too short")?;
                Value::Tuple(self.stack.split_off(from))
            }
            b't' => {
                let mark = self.stack.iter().rposition(|v| *v == Value::Mark).ok_or("a tuple has no beginning")?;
                let items = self.stack.split_off(mark);
                Value::Tuple(items.into_iter().skip(1).collect())
            }
            b'Q' => storage(self.pop()?)?,
            b'R' => {
                let arguments = self.pop()?;
                rebuilt(self.pop()?, arguments)?
            }
            other => return Err(format!("it has the opcode {other:#04x}")),
        };
        self.stack.push(value);
        Ok(None)
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().ok_or_else(|| "its stack is too short".to_owned())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (first, rest) = self.bytes.split_first_chunk::<N>().ok_or("it ends too early")?;
        self.bytes = rest;
        Ok(*first)
    }

    fn take_many(&mut self, length: usize) -> Result<&[u8], String> {
        let (first, rest) = self.bytes.split_at_checked(length).ok_or("it ends too early")?;
        self.bytes = rest;
        Ok(first)
    }

    /// An unsigned little-endian number of at most 4 bytes.
    fn number(&mut self, length: usize) -> Result<usize, String> {
        let bytes = self.take_many(length)?;
        Ok(bytes.iter().rev().fold(0, |n, byte| (n << 8) | usize::from(*byte)))
    }

    fn long(&mut self) -> Result<Value, String> {
        let length = self.number(1)?;
        let bytes = self.take_many(length)?;
        // Sizes are not negative: the highest bit of the last byte, the sign's, is 0. Nine bytes may end in a zero.
        let sign = bytes.last().is_some_and(|last| *last >= 0x80);
        let value = bytes.iter().rev().try_fold(0_i64, |n, byte| n.checked_mul(256)?.checked_add(i64::from(*byte)));
        match value {
            Some(value) if !sign => Ok(Value::Int(value)),
            _ => Err("a number is negative or too large".into()),
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let length = self.bytes.iter().position(|byte| *byte == b'\n').ok_or("it ends too early")?;
        let line = String::from_utf8_lossy(self.take_many(length)?).into_owned();
        self.take::<1>()?;
        Ok(line)
    }

    fn remember(&mut self, length: usize) -> Result<Option<View>, String> {
        let (at, value) = (self.number(length)?, self.stack.last().ok_or("its stack is too short")?.clone());
        self.memo.push((at, value));
        Ok(None)
    }

    fn recall(&mut self, length: usize) -> Result<Value, String> {
        let at = self.number(length)?;
        let found = self.memo.iter().rev().find(|(place, _)| *place == at);
        found.map(|(_, value)| value.clone()).ok_or_else(|| "it recalls what it has not kept".to_owned())
    }
}

/// The storage that a persistent id names: `('storage', class, key, device, elements)`.
fn storage(id: Value) -> Result<Value, String> {
    if let Value::Tuple(fields) = &id
        && let [Value::Text(what), Value::Name(class), Value::Text(key), Value::Text(_), Value::Int(elements)] =
            fields.as_slice()
        && what == "storage"
    {
        let dtype = dtype_of(class).ok_or_else(|| format!("its storage is a {class}"))?;
        let elements = usize::try_from(*elements).map_err(|_| "its storage has a negative size")?;
        return Ok(Value::Storage(key.clone(), elements, dtype));
    }
    Err(format!("its storage is {id:?}"))
}

/// What the call of a function would give, for the three functions that may be named.
fn rebuilt(function: Value, arguments: Value) -> Result<Value, String> {
    let (Value::Name(name), Value::Tuple(arguments)) = (&function, arguments) else {
        return Err(format!("it calls {function:?}"));
    };
    match (name.as_str(), arguments.as_slice()) {
        ("collections.OrderedDict", _) => Ok(Value::Other),
        ("torch._utils._rebuild_parameter", [Value::View(view), ..]) => Ok(Value::View(view.clone())),
        (
            "torch._utils._rebuild_tensor_v2",
            [
                Value::Storage(storage, elements, dtype),
                Value::Int(offset),
                Value::Tuple(shape),
                Value::Tuple(strides),
                ..,
            ],
        ) => Ok(Value::View(View {
            storage: storage.clone(),
            elements: *elements,
            dtype: *dtype,
            offset: usize::try_from(*offset).map_err(|_| "its offset is negative")?,
            shape: sizes(shape)?,
            strides: sizes(strides)?,
        })),
        _ => Err(format!("it calls {name}")),
    }
}

fn sizes(values: &[Value]) -> Result<Vec<usize>, String> {
    let size = |value: &Value| match value {
        Value::Int(size) => usize::try_from(*size).ok(),
        _ => None,
    };
    values.iter().map(size).collect::<Option<_>>().ok_or_else(|| format!("expected sizes, got {values:?}"))
}
