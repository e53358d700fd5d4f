//! What tokenizers of words have in common.

use serde_json::{Value, json};

/// The special tokens of a `tokenizer.json`, whose ids are their places.
pub fn added_tokens(names: &[&str]) -> Vec<Value> {
    let added = |(id, name): (usize, &&str)| {
        json!({"id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    names.iter().enumerate().map(added).collect()
}
