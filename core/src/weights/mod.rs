//! Weight files of any public format, under the names and in the layout of the PyTorch originals.
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

mod bare;
mod burnpack;
mod convert;
mod expected;
mod files;
mod finite;
mod folder;
mod format;
mod load;
mod safetensors;
mod save;
mod storage;
mod torch;
mod torch_write;

pub use convert::ConvertOptions;
pub use files::{TensorInfo, WeightFiles};
pub use finite::non_finite;
pub use folder::NAMES;
pub(crate) use folder::shards_missing;
pub use format::Format;
pub use load::{LoadOptions, load, load_safetensors};
pub use save::{save_safetensors, save_tensors, save_torch, save_torch_tensor};
