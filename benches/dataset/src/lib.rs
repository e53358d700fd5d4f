//! Data sets of personal concepts, in the layout of the public UniCTokens data set: checked, begun, converted and prepared.
//!
//! ```text
//! concepts_list.json, template.json, black_512x512.png, random_images/
//! concept/train/train_images.json
//! concept/train/<name>/  0.png ...  cropped/  info.json  conversations.json  positive_recognitions.json
//!                        random_recognitions.json  negative_example/ (with score.json)
//! concept/test/<name>/   0.png ...  t2i_conditions.json  vqa.json  text_only.json  dense_reasoning.json
//! ```
//!
//! | | |
//! |---|---|
//! | [`check`] | finds everything that is wrong, all at once; reads other layouts too ([`Layout`]) |
//! | [`begin`] | begins a concept from photographs and lines of text ([`NewConcept`]) |
//! | [`convert`] | rewrites the layouts of Yo'LLaVA, MC-LLaVA and DreamBench |
//! | [`derive()`] | makes the training samples of UniCTokens' three stages |
//! | [`Schema`] | the JSON Schema of each file |
//! | [`run`] | the command line, `unifybench` |
//!
//! Nothing here needs a model or the engine. The layout is that of UniCTokens; no file, text or code of that data set is in here.
//! `dense_reasoning.json` and the keys of `t2i_conditions.json` besides `personalized_driven_generation` are this project's own: how
//! the public files of the tasks with dense prompts look is not known.

mod check;
mod cli;
mod convert;
pub mod derive;
mod error;
mod folder;
mod json;
mod layout;
mod name;
mod new;
mod photo;
mod plain;
mod report;
mod schema;
mod staged;
mod wording;

pub use check::check;
pub use cli::{Options, run};
pub use convert::{Converted, convert};
pub use derive::{DeriveOptions, Derived, derive};
pub use error::{Error, ErrorKind, Result};
pub use layout::Layout;
pub use name::is_name;
pub use new::{ConceptType, Fact, NewConcept, begin};
pub use report::{Finding, Report, Summary};
pub use schema::Schema;
