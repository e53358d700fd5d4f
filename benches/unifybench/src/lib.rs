//! UnifyBench in miniature: a 64x64 world of photographs with a truth that can be read back from pixels.
//!
//! [`scene`] says what there is, [`language`] how it is spoken of, [`render`] draws it, [`verify`] reads it back,
//! [`dataset`] writes it in the folder layout of the UniCTokens data set, [`judged`] and [`metrics`] score a model on it,
//! `TruthEvaluator` does so for a run; [`benchmark`] is UnifyBench++ on data that have no such truth, with [`Bleu`] and
//! [`Recognition`] for answers; [`methods`] compares models on any evaluation, [`statistics`] and [`repeated`] say how sure a
//! change is over several runs, [`ablation`] what its parts are worth, [`generalisation`] how far what was learned carries, and
//! [`agreement`] how far rewards can be trusted.

pub mod ablation;
pub mod agreement;
pub mod benchmark;
mod bleu;
mod cells;
pub mod dataset;
mod evaluator;
pub mod generalisation;
pub mod judged;
pub mod language;
pub mod methods;
pub mod metrics;
mod place;
mod recognition;
pub mod render;
pub mod repeated;
mod rng;
pub mod scene;
mod shape;
pub mod statistics;
pub mod verify;

pub use ablation::{AblationTable, Arm};
pub use agreement::AgreementTable;
pub use benchmark::{Benchmark, BenchmarkConfig};
pub use bleu::{Bleu, Unit};
pub use cells::Cells;
pub use evaluator::TruthEvaluator;
pub use generalisation::{GeneralisationTable, Without};
pub use judged::{Item, Right};
pub use methods::{Method, MethodTable};
pub use metrics::{HeldOutTable, Metrics};
pub use recognition::Recognition;
pub use render::{Jitter, Renderer};
pub use repeated::RepeatedTable;
pub use scene::{Accessory, Colour, Concept, Place, Scene, World};
pub use statistics::Change;
pub use verify::{Margins, Observation, Truth, Verdict};

/// Width and height of every image, in pixels.
pub const SIZE: u32 = 64;
