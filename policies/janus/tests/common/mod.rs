//! The fixture's model with a text tokenizer of its own, in a folder as published ones are.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use counterpoint::registry::BuildContext;
use counterpoint_janus::{JanusConfig, JanusPolicy, SpecialIds};
use counterpoint_weights::Precision;
use serde_json::json;

pub const IDS: SpecialIds = SpecialIds { bos: 1, eos: 2, pad: 0, boi: 6, eoi: 7 };

pub fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/janus_tiny")
}

pub fn config() -> JanusConfig {
    JanusConfig::read(&fixture().join("config.json")).unwrap()
}

/// Without a text tokenizer; all of it trained, in f32.
pub fn plain_policy() -> JanusPolicy {
    let device = Device::flex();
    let (model, tokenizer) = config().load(&fixture().join("model.safetensors"), Precision::F32, &device).unwrap();
    JanusPolicy::new(config(), IDS, model, tokenizer, &device).unwrap()
}

/// `config.json`, the weights and a `tokenizer.json` of words.
pub fn model_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture().join(file), folder.path().join(file)).unwrap();
    }
    let special = [
        (0, "<\u{ff5c}\u{2581}pad\u{2581}\u{ff5c}>"),
        (1, "<\u{ff5c}begin\u{2581}of\u{2581}sentence\u{ff5c}>"),
        (2, "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>"),
        (3, "<unk>"),
        (5, "<image_placeholder>"),
        (6, "<begin_of_image>"),
        (7, "<end_of_image>"),
    ];
    let words = ["a", "red", "blue", "hat", "what", "is", "it", "?", "the", "sea"];
    let vocabulary: serde_json::Map<String, serde_json::Value> = special
        .iter()
        .map(|&(id, name)| (name.to_owned(), id))
        .chain(words.iter().zip(10..).map(|(word, id)| ((*word).to_owned(), id)))
        .chain((20..150).map(|id| (format!("w{id}"), id)))
        .map(|(name, id)| (name, json!(id)))
        .collect();
    let added: Vec<_> = special
        .iter()
        .map(|(id, name)| {
            json!({"id": id, "content": name, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false})
        })
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    });
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    folder
}

/// The policy that a config would make of the folder.
pub fn policy() -> JanusPolicy {
    let folder = model_folder();
    let context = BuildContext::new(Device::flex(), folder.path());
    let chat = "chat = { about_image = '{image} {question}', question = '{question}', prompt = '{prompt}' }";
    let table = format!("weights = '.'\n{chat}").parse().unwrap();
    JanusPolicy::from_settings(&table, &context).unwrap()
}
