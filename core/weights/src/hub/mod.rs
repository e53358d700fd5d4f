//! Files of published models: where a setting says that they are, which of them a component needs, and where they lie.
//!
//! A setting such as `weights` is a path, or `hf:OWNER/NAME`: a repository of the Hugging Face hub, at its newest revision or,
//! as `hf:OWNER/NAME@REVISION`, at a branch, tag or commit. The component says
//! which [`Files`] it needs and gets the folder that has them ([`locate`]):
//!
//! 1. `weights/OWNER/NAME`, or `weights/OWNER/NAME@REVISION`, under the config's folder,
//! 2. the cache of the hub's clients: `HF_HUB_CACHE`, `HF_HOME/hub` or `~/.cache/huggingface/hub`,
//! 3. with the feature `hf-hub` the network (`HF_ENDPOINT`), from where they go into that cache;
//!
//! else an error that names every file that is missing, where it is published and the folder to put it into.
//!
//! ```
//! use counterpoint_weights::hub::{Files, Need, Source, locate};
//!
//! const TOWER: Files = Files::new(&[Need::CONFIG, Need::WEIGHTS, Need::optional(&[&["vocab.txt"]])]);
//!
//! let base = std::env::temp_dir().join("counterpoint-hub-example");
//! let folder = base.join("weights/some-owner/tower");
//! std::fs::create_dir_all(&folder)?;
//! std::fs::write(folder.join("config.json"), "{}")?;
//! assert!(TOWER.missing_in(&folder)[0].starts_with("model.safetensors (or "));
//!
//! std::fs::write(folder.join("pytorch_model.bin"), "")?;
//! let found = locate(&Source::parse("hf:some-owner/tower")?, &TOWER, &base)?;
//! assert_eq!(found.folder, folder);
//! # std::fs::remove_dir_all(&base)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cache;
mod context;
mod files;
mod listed;
mod locate;
mod network;
mod reference;
mod source;

pub use context::Locate;
pub use files::{Files, Need};
pub use locate::{Found, Place, locate};
pub use reference::Reference;
pub use source::{Repository, Source};
