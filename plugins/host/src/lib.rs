//! Loads reward plugins: reads the manifest, checks the hash, takes a first look in a child process, opens the library once and
//! for ever, and calls its experts so that a broken one can neither corrupt the program nor pass unnoticed.
//!
//! The interface is `plugins/abi/include/counterpoint_plugin.h`. Nothing here knows the engine; `counterpoint-plugins` makes
//! rewards of it.

mod error;
mod expert;
mod item;
mod manifest;
mod runner;
mod statistics;

pub use error::{Error, ErrorKind, Result};
pub use expert::{Call, Expert, Scores, State};
pub use item::{Image, Item, Pixels};
pub use manifest::{AbiVersion, ExpertManifest, MANIFEST_LIMIT, Manifest, Need, Output};
pub use runner::{CHILD, RUNNER, Runner, this_program_runs_children};
pub use statistics::Statistics;
