//! The published files that CLIP needs; its constructor and whoever fetches files share the list.

use counterpoint_weights::hub::{Files, Need};

/// What is read of CLIP's folder: both towers, the tokenizer, and how images are prepared.
pub const FILES: Files = Files::new(&[
    Need::CONFIG,
    Need::WEIGHTS,
    Need::file(&[&["tokenizer.json"], &["vocab.json", "merges.txt"]]),
    Need::PREPROCESSOR,
    Need::optional(&[&["tokenizer_config.json"]]),
]);
