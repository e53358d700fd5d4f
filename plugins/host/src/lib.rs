//! Loads reward plugins: reads the manifest, checks the hash, takes a first look in a child process, opens the library once and
//! for ever, and calls its experts so that a broken one can neither corrupt the program nor pass unnoticed.
//!
//! The interface is `plugins/abi/include/counterpoint_plugin.h`. Nothing here knows the engine; `counterpoint-plugins` makes
//! rewards of it.
//!
//! From a file to a score: [`discover`] finds sidecars, [`load`] makes a [`Library`] of a file, [`Loaded::create`] an [`Expert`]
//! of a library, [`Expert::score`] a [`Scores`] of [`Item`]s.

mod context;
mod discover;
mod environment;
mod error;
mod expert;
mod fp_mode;
mod instance;
mod item;
mod library;
mod load;
mod loaded;
mod manifest;
mod marshal;
mod output;
mod probe;
mod runner;
mod sealed;
mod sidecar;
mod statistics;
mod table;

pub use discover::{Found, discover};
pub use environment::{contain, in_path};
pub use error::{Error, ErrorKind, Result};
pub use expert::{Call, Expert, Scores, State};
pub use instance::Setup;
pub use item::{Image, Item, Pixels};
pub use library::{Functions, Library};
pub use load::{load, same};
pub use loaded::Loaded;
pub use manifest::{AbiVersion, ExpertManifest, Judges, MANIFEST_LIMIT, Manifest, Need, Output};
pub use probe::{PROBE, Probed, ended, look, probe};
pub use runner::{CHILD, RUNNER, Runner, this_program_runs_children};
pub use sealed::Sealed;
pub use sidecar::Sidecar;
pub use statistics::Statistics;
