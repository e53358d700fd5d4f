//! A small world of coloured shapes on a grid, whose images and answers can be verified without a model: the embedded counterpart of
//! GenEval (<https://arxiv.org/abs/2310.11513>; colours, counting, two objects with their colours, position) and of questions about images.
//!
//! A [`Prompt`] says what to paint, a [`Scene`] is one way to do so, [`render`] draws it, [`observe`] reads shapes back from any image's
//! pixels, and [`Prompt::verdict`] compares. [`dataset`] writes prompts and questions in the columns of CoRL's data; in a config they are
//! `data.kind = "corl"`, and `evaluation.kind = "shapes"` judges what was painted and answered, and `rewards.shapes` rewards what was painted.

pub mod dataset;
mod evaluator;
pub mod language;
mod prompt;
mod render;
mod reward;
mod scene;
mod truth;

pub use evaluator::ShapesEvaluator;
pub use language::{Question, question};
pub use prompt::{Category, Prompt, Relation, Verdict};
pub use render::render;
pub use reward::ShapesReward;
pub use scene::{CELL, Cell, Colour, GRID, Scene, Shape, Thing};
pub use truth::{Seen, observe};

/// Width and height of images, in pixels.
pub const SIZE: u32 = GRID as u32 * CELL;
