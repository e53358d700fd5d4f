//! The published files that DER needs; its constructor and whoever fetches files share the list.

use counterpoint_weights::hub::{Files, Need};

/// What DER reads of its folder: DINOv2, and how images are prepared.
pub const FILES: Files = Files::new(&[Need::CONFIG, Need::WEIGHTS, Need::PREPROCESSOR]);
