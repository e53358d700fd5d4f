//! A folder of golden numbers.

use std::path::{Path, PathBuf};

use counterpoint::{Error, Result};
use safetensors::{Dtype, SafeTensors};

/// `expected.safetensors` of a fixture folder.
pub struct Expected {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// A tensor of it.
pub struct Golden {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Expected {
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("expected.safetensors");
        let bytes = std::fs::read(&path).map_err(|e| Error::io("cannot read", &path, e))?;
        Ok(Self { path, bytes })
    }

    fn tensors(&self) -> Result<SafeTensors<'_>> {
        SafeTensors::deserialize(&self.bytes).map_err(|e| Error::data(self.path.display().to_string()).with_source(e))
    }

    /// Names that begin with `prefix`, the prefix left out.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names: Vec<String> =
            self.tensors()?.names().into_iter().filter_map(|n| n.strip_prefix(prefix)).map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    pub fn get(&self, name: &str) -> Result<Golden> {
        let tensors = self.tensors()?;
        let missing = |e| Error::data(format!("{} has no usable tensor `{name}`", self.path.display())).with_source(e);
        let view = tensors.tensor(name).map_err(missing)?;
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => {
                data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()
            }
            Dtype::I64 => data
                .chunks_exact(8)
                .map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f64)
                .collect(),
            Dtype::U8 | Dtype::BOOL => data.iter().map(|&b| f64::from(b)).collect(),
            other => {
                return Err(Error::data(format!(
                    "{}: `{name}`: expected f32, i64 or u8, got {other:?}",
                    self.path.display()
                )));
            }
        };
        Ok(Golden { shape: view.shape().to_vec(), values })
    }
}

impl Golden {
    /// Rows of the last axis as token ids.
    pub fn id_rows(&self) -> Vec<Vec<u32>> {
        let width = self.shape.last().copied().unwrap_or(1).max(1);
        self.values.chunks(width).map(|row| row.iter().map(|&v| v as u32).collect()).collect()
    }

    pub fn ids(&self) -> Vec<u32> {
        self.values.iter().map(|&v| v as u32).collect()
    }

    pub fn floats(&self) -> Vec<f32> {
        self.values.iter().map(|&v| v as f32).collect()
    }
}
