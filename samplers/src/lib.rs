//! Samplers for Counterpoint: MaskGIT and code-by-code writing for images, autoregressive decoding for text, and the
//! [`UnifiedSampler`] that runs both for models that reason first and paint then.
//!
//! All are batched over candidates and take one uniform per decision from the candidate's own stream, so a candidate
//! does not depend on its batch. Models take part by implementing [`TextModel`], and [`ImageModel`] or [`CodeModel`].

mod invert;
mod maskgit;
mod painter;
mod raster;
mod schedule;
mod text;
mod unified;

pub use maskgit::{Canvas, ImageModel, ImageScores, MaskGit, MaskGitConfig, RevealOrder, least_confident};
pub use painter::{Denoised, Painter, PainterConfig};
pub use raster::{CodeModel, CodeScores, Raster, RasterConfig, Written};
pub use schedule::MaskSchedule;
pub use text::{Autoregressive, AutoregressiveConfig, Continuation, TextModel};
pub use unified::{InTheMaking, Overflow, Prompt, Reasoning, Unified, UnifiedConfig, UnifiedModel, UnifiedSampler};
