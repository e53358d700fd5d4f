//! The formats of weight files, told apart by what is in them.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use counterpoint::{Error, Result};

/// How a weight file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A safetensors file.
    Safetensors,
    /// Burn's own format, `.bpk`.
    Burnpack,
    /// A file of `torch.save`: `.pt`, `.pth`, `.bin`, `.ckpt`.
    Torch,
}

/// What the beginning of a file says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Weights(Format),
    /// JSON: the index of a sharded file.
    Index,
}

/// The longest header that the safetensors format allows.
const LONGEST_HEADER: u64 = 100_000_000;

impl Format {
    /// The format that a file to be written gets by its name's ending.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`](counterpoint::ErrorKind::Weights) when the ending is none of them.
    pub fn of_name(path: &Path) -> Result<Self> {
        match extension(path).as_str() {
            "safetensors" => Ok(Self::Safetensors),
            "bpk" => Ok(Self::Burnpack),
            "pt" | "pth" | "bin" | "ckpt" => Ok(Self::Torch),
            other => Err(Error::weights(format!(
                "{}: expected a name that ends in .safetensors, .bpk, .pt, .pth, .bin or .ckpt, got {other:?}",
                path.display()
            ))),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::Burnpack => "burnpack",
            Self::Torch => "torch.save",
        })
    }
}

pub(crate) fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// Tells what the file at `path` is from its first bytes; its name decides only what a damaged file is called.
pub(crate) fn sniff(path: &Path) -> Result<Kind> {
    let mut file =
        File::open(path).map_err(|e| Error::weights(format!("cannot open {}", path.display())).with_source(e))?;
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(512).read_to_end(&mut head).map_err(|e| Error::io("cannot read", path, e))?;
    if head.is_empty() {
        return Err(Error::weights(format!(
            "{}: expected weights, got an empty file; it is truncated, fetch it again",
            path.display()
        )));
    }
    let named = Format::of_name(path).ok();
    if head.starts_with(b"NRUB") {
        return Ok(Kind::Weights(Format::Burnpack));
    }
    if looks_like_safetensors(&head) || named == Some(Format::Safetensors) {
        return Ok(Kind::Weights(Format::Safetensors));
    }
    if head.trim_ascii_start().starts_with(b"{") {
        return Ok(Kind::Index);
    }
    let pickle = matches!(head[0], 0x80 | b'(' | b'}' | b']' | b'c');
    if head.starts_with(b"PK") || head.get(257..262) == Some(b"ustar") || pickle || named == Some(Format::Torch) {
        return Ok(Kind::Weights(Format::Torch));
    }
    if named == Some(Format::Burnpack) {
        return Ok(Kind::Weights(Format::Burnpack));
    }
    Err(Error::weights(format!(
        "{}: expected safetensors, burnpack, a file of torch.save or a sharded file's index, got a file that begins \
         with {:02x?}; the file is damaged or not a weight file",
        path.display(),
        &head[..head.len().min(8)]
    )))
}

fn looks_like_safetensors(head: &[u8]) -> bool {
    let length = head.first_chunk::<8>().map(|b| u64::from_le_bytes(*b));
    length.is_some_and(|n| n <= LONGEST_HEADER) && head.get(8) == Some(&b'{')
}
