//! Samplers for Counterpoint: MaskGIT for image tokens, autoregressive decoding for text, and the [`UnifiedSampler`]
//! that runs both for models that reason first and paint then.
//!
//! Both are batched over candidates and take one uniform per decision from the candidate's own stream, so a candidate
//! does not depend on its batch. Models take part by implementing [`TextModel`] and [`ImageModel`].

mod invert;
mod maskgit;
mod schedule;
mod text;
mod unified;

pub use maskgit::{Canvas, ImageModel, ImageScores, MaskGit, MaskGitConfig, RevealOrder, least_confident};
pub use schedule::MaskSchedule;
pub use text::{Autoregressive, AutoregressiveConfig, Continuation, TextModel};
pub use unified::{Overflow, Reasoning, UnifiedConfig, UnifiedModel, UnifiedSampler};
