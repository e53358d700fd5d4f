//! Texts as BERT reads them: words, or pieces of words, between `[CLS]` and `[SEP]`.

use std::path::Path;

use counterpoint::{Error, Result};
use counterpoint_encoders::TextTokenizer;

/// The tokenizer in `folder`, of at most `size` tokens; texts are cut to `longest` tokens.
pub(crate) fn word_pieces(folder: &Path, longest: usize, size: usize) -> Result<TextTokenizer> {
    let tokenizer = TextTokenizer::load(folder, longest)?;
    tokenizer.check_fits(size, folder)?;
    match tokenizer.ids("").map_or(0, |ids| ids.len()) {
        2 => Ok(tokenizer),
        got => Err(Error::config(format!(
            "expected a tokenizer that writes [CLS] before a text and [SEP] after it in {}, got one that adds {got} tokens",
            folder.display()
        ))),
    }
}

/// `tokens` of a text without the first and the last one.
pub(crate) fn words<T>(tokens: &[T]) -> &[T] {
    tokens.get(1..tokens.len().saturating_sub(1)).unwrap_or_default()
}
