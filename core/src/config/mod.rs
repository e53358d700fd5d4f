//! One TOML file describes a run.
//!
//! [`RunConfig::load`] reads it, applies `--set a.b=c` overrides and checks every key and range. A component's own
//! settings stay a [`toml::Table`] here and are given their type by the component itself, with [`typed`].
//! A program that embeds the engine may do without TOML: [`TrainerConfig`] has public fields and a `Default`.

mod chunk;
mod generation_rate;
mod importance;
mod load;
mod overlap;
mod run;
mod trainer;
mod typed;

pub use chunk::{Chunk, MemoryBudget};
pub use generation_rate::GenerationRate;
pub use importance::ImportanceCap;
pub use load::{load, located};
pub use overlap::Overlap;
pub use run::{Component, EvaluationSection, FilterSection, NO_EVALUATION, Placement, RunConfig, RunSection};
pub use trainer::TrainerConfig;
pub(crate) use typed::join;
pub use typed::{nearest, typed};
