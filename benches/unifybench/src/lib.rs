//! UnifyBench in miniature: a 64x64 world of photographs with a truth that can be read back from pixels.
//!
//! [`scene`] says what there is, [`language`] how it is spoken of, [`render`] draws it, [`verify`] reads it back,
//! [`dataset`] writes it in the folder layout of the UniCTokens data set and [`metrics`] scores a model on it.

pub mod dataset;
pub mod language;
pub mod metrics;
mod place;
pub mod render;
mod rng;
pub mod scene;
mod shape;
pub mod verify;

pub use metrics::{HeldOutTable, Item, Metrics};
pub use render::{Jitter, Renderer};
pub use scene::{Accessory, Colour, Concept, Place, Scene};
pub use verify::{Margins, Observation, Truth, Verdict};

/// Width and height of every image, in pixels.
pub const SIZE: u32 = 64;
