//! The text tokenizer: every word of the world's language is one token.

use std::path::Path;

use counterpoint::{Error, Result};
use counterpoint_shapes::language::vocabulary;
use serde_json::{Map, Value, json};

use crate::words::added_tokens;

/// The special tokens of Janus-Pro that lay out a sequence, in the order of their ids.
const SPECIAL: [&str; 7] = [
    PAD,
    "<\u{ff5c}begin\u{2581}of\u{2581}sentence\u{ff5c}>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
    "<unk>",
    IMAGE,
    "<begin_of_image>",
    "<end_of_image>",
];
const PAD: &str = "<\u{ff5c}\u{2581}pad\u{2581}\u{ff5c}>";
const IMAGE: &str = "<image_placeholder>";

/// How many tokens there are, that which stands for an image and that which stands for nothing.
pub struct Ids {
    pub words: usize,
    pub image: u32,
    pub pad: u32,
}

/// Writes `tokenizer.json` into `out`.
pub fn write(out: &Path) -> Result<Ids> {
    let names: Vec<&str> = SPECIAL.into_iter().chain(vocabulary()).collect();
    let ids: Map<String, Value> = names.iter().enumerate().map(|(id, name)| ((*name).to_owned(), id.into())).collect();
    let added = added_tokens(&SPECIAL);
    // Words are what stands between white space; a full stop or a question mark is one of its own.
    let split = json!({"type": "Split", "pattern": {"Regex": "[.?]"}, "behavior": "Isolated", "invert": false});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, split]},
        "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": ids, "unk_token": "<unk>"},
    });
    let path = out.join("tokenizer.json");
    std::fs::write(&path, tokenizer.to_string()).map_err(|e| Error::io("cannot write", &path, e))?;
    let id = |wanted: &str| names.iter().position(|name| *name == wanted).unwrap_or_default() as u32;
    Ok(Ids { words: names.len(), image: id(IMAGE), pad: id(PAD) })
}
