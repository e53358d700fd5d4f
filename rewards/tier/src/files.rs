//! The published files that TIER needs; its constructor and whoever fetches files share the list.

use counterpoint_weights::hub::{Files, Need};

/// What TIER reads of its folder: a sentence encoder, its tokenizer, and how its tokens are pooled where it says so.
pub const FILES: Files = Files::new(&[
    Need::CONFIG,
    Need::WEIGHTS,
    Need::WORD_PIECES,
    Need::optional(&[&["tokenizer_config.json"]]),
    Need::optional(&[&["1_Pooling/config.json"]]),
]);
