//! The published files that BER needs; its constructor and whoever fetches files share the list.

use counterpoint_weights::hub::{Files, Need};

/// What BER reads of its folder: BLIP-2 with its contrastive head, the tokenizer, and how images are prepared.
pub const FILES: Files = Files::new(&[
    Need::CONFIG,
    Need::WEIGHTS,
    Need::WORD_PIECES,
    Need::PREPROCESSOR,
    Need::optional(&[&["tokenizer_config.json"]]),
]);
