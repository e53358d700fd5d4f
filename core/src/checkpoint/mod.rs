//! Checkpoints that are either complete and intact or refused by name.
//!
//! A checkpoint is a folder `<root>/step-000123` of any files and a `manifest.json` with the size and SHA-256 of each.
//! A [`Writer`] fills a temporary folder, makes it durable and then renames it, so a kill at any moment leaves the
//! checkpoints that were there before and at most a temporary folder, which the next writer removes. One writer at a time
//! works in a root: it holds the lock of the file `.lock` there, which a kill releases. A [`Reader`] hands out files only
//! after all of them were verified. Neither knows what the files hold.
//!
//! ```
//! use counterpoint::checkpoint::{Keep, Reader, Writer, latest};
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # let root = dir.path();
//! let mut writer = Writer::begin(root, 10)?;
//! std::fs::write(writer.dir().join("notes.txt"), "anything").unwrap();
//! writer.metric(0.7);
//! writer.commit(Keep { last: 2, best: true })?;
//!
//! let newest = latest(root)?.unwrap();
//! let reader = Reader::open(&newest)?;
//! assert_eq!(reader.step(), 10);
//! assert_eq!(std::fs::read_to_string(reader.path("notes.txt")?).unwrap(), "anything");
//! # Ok::<(), counterpoint::Error>(())
//! ```

mod folder;
mod lock;
mod manifest;
mod read;
mod write;

pub use folder::latest;
pub(crate) use folder::{checkpoints, entries, rename, set_aside, sync, unused};
pub(crate) use lock::Lock;
pub use manifest::FORMAT;
pub use read::Reader;
pub use write::{Keep, Writer};

#[cfg(test)]
mod tests;
