//! Weights of published models: files of any public format, under the names and in the layout of the PyTorch originals, and
//! ([`hub`]) where they are.
//!
//! [`WeightFiles::open`] takes a file or a folder: safetensors, `torch.save` files (zip, legacy and tar pickles, which
//! are interpreted as data and never run), burnpack, and the sharded forms of the first two with their index. It reads
//! names, shapes and dtypes alone; the numbers come one tensor at a time.
//!
//! [`load`] puts them into a burn module. Every tensor is accounted for: what is missing, unexpected or of another
//! shape is listed by name with the shape that was expected and the one that came, and a module is never half loaded.
//!
//! # Memory
//!
//! A tensor is read from the file at the moment its parameter is made, cast on the way, and nothing else of the file is
//! held: a load needs the model once, plus its largest tensor once or twice. The initial values of a module that was
//! just made are never computed. Files are read at offsets rather than mapped: the pages of a map count as memory of
//! the process, and a file that somebody truncates would kill it.
//!
//! # Features
//!
//! - `cuda`: NVIDIA GPUs.
//! - `hf-hub`: what is not on this machine is fetched from the Hugging Face hub.

mod burnpack;
mod complaints;
mod contents;
mod convert;
mod entry;
mod expected;
mod files;
mod finite;
mod format;
mod index;
mod layout;
mod load;
mod merge;
mod precision;
mod rename;
mod safetensors;
mod save;
mod split;
mod torch;

pub mod hub;

pub use convert::ConvertOptions;
pub use files::{TensorInfo, WeightFiles};
pub use finite::non_finite;
pub use format::Format;
pub use index::FILE_NAMES;
pub use load::{LoadOptions, load, load_safetensors};
pub use merge::{Shares, merge};
pub use precision::Precision;
pub use save::{save_renamed, save_safetensors, save_tensors, save_torch, save_torch_tensor};

/// The guide's chapter on weights: its listings are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/weights.md")]
mod guide {}
