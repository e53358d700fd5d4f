//! The tokenizer's batches.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use burn::tensor::Device;
use counterpoint_encoders::TextTokenizer;

const TOKENIZER: &str = r#"{
  "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
  "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
  "model": {"type": "WordLevel", "vocab": {"[PAD]": 0, "[UNK]": 1, "red": 2, "hat": 3}, "unk_token": "[UNK]"}
}"#;

#[test]
fn texts_are_padded_cut_and_masked() {
    let tokenizer = TextTokenizer::from_bytes(TOKENIZER.as_bytes(), 3).unwrap();
    assert_eq!(tokenizer.vocab_size(), 4);
    let batch = tokenizer.encode(&["red", "red hat blue red red"], &Device::flex()).unwrap();
    assert_eq!(batch.ids.into_data().iter::<i64>().collect::<Vec<_>>(), [2, 0, 0, 2, 3, 1]);
    assert_eq!(batch.keep.into_data().iter::<bool>().collect::<Vec<_>>(), [true, false, false, true, true, true]);
    assert!(tokenizer.encode(&["red", ""], &Device::flex()).is_err());
    assert!(TextTokenizer::from_bytes(b"{}", 3).is_err());
}
