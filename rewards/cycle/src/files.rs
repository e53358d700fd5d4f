//! The published files that each part needs; constructors and whoever fetches files share the lists.

use counterpoint_weights::hub::{Files, Need};

/// What is read of the folder of LPIPS's network: its weights.
pub const LPIPS_FILES: Files = Files::new(&[Need::WEIGHTS])
    .published("the package `lpips`, by torch.save(lpips.LPIPS(net=\"vgg\").state_dict(), \"pytorch_model.bin\")");

/// What is read of the captioner's folder: both halves, the tokenizer, and how images are prepared.
pub const CAPTIONER_FILES: Files = Files::new(&[
    Need::CONFIG,
    Need::WEIGHTS,
    Need::WORD_PIECES,
    Need::PREPROCESSOR,
    Need::optional(&[&["tokenizer_config.json"]]),
]);

/// What is read of BERT's folder: the tower and the tokenizer.
pub const BERT_FILES: Files =
    Files::new(&[Need::CONFIG, Need::WEIGHTS, Need::WORD_PIECES, Need::optional(&[&["tokenizer_config.json"]])]);
