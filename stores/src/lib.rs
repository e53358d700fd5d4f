//! The checkpoints of a run in an object store as well as on its disk: S3 and what speaks like it, Google Cloud Storage, Azure Blob
//! Storage, or a mounted folder, by the crate `object_store`.
//!
//! [`Mirror`] is an [`Observer`](counterpoint::Observer) that copies each checkpoint when it is written and removes what the run removes;
//! [`Mirror::fetch`] brings the newest one back to a machine that has none.

mod copies;
mod mirror;

pub use mirror::Mirror;
pub use object_store;
