//! Captions and their tokens.

use std::path::Path;

use counterpoint::{Error, Result};
use counterpoint_shapes::language::vocabulary;
use serde_json::{Map, Value, json};

use crate::words::added_tokens;

const SPECIAL: [&str; 6] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"];
/// Ids of the tokens between which texts stand, and of the one that begins a caption.
pub const CLS: u32 = 2;
pub const SEP: u32 = 3;
pub const DEC: u32 = 5;
/// Longest text, in tokens.
pub const LONGEST: usize = 24;

/// Writes `tokenizer.json` into `out`: a token for each word. Returns their number.
pub fn write(out: &Path) -> Result<usize> {
    std::fs::create_dir_all(out).map_err(|e| Error::io("cannot create", out, e))?;
    let names: Vec<&str> = SPECIAL.into_iter().chain(vocabulary()).collect();
    let ids: Map<String, Value> = names.iter().enumerate().map(|(id, name)| ((*name).to_owned(), id.into())).collect();
    let added = added_tokens(&SPECIAL);
    let special = |token: &str, id: u32| json!({"id": token, "ids": [id], "tokens": [token]});
    let piece = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [piece("[CLS]"), {"Sequence": {"id": "A", "type_id": 0}}, piece("[SEP]")],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[CLS]": special("[CLS]", CLS), "[SEP]": special("[SEP]", SEP)}
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": ids, "unk_token": "[UNK]"}
    });
    let path = out.join("tokenizer.json");
    std::fs::write(&path, format!("{tokenizer}\n")).map_err(|e| Error::io("cannot write", &path, e))?;
    Ok(names.len())
}
