//! The towers' tokenizer and the wordings that mean the same.

use std::collections::BTreeSet;
use std::path::Path;

use counterpoint::{Error, Result, Stream};
use counterpoint_encoders::text::normalise;
use counterpoint_unifybench::language::vocabulary;
use counterpoint_unifybench::scene::Place;
use counterpoint_unifybench::{Concept, Scene};
use serde_json::json;

use super::draws::below;
use crate::words::added_tokens;

/// Writes `tokenizer.json`: one id per word of the language, sentences between `[CLS]` and `[SEP]`.
///
/// Returns the number of ids.
pub(super) fn write_tokenizer(dir: &Path) -> Result<usize> {
    let words: BTreeSet<String> = vocabulary()
        .iter()
        .flat_map(|w| normalise(w).split_whitespace().map(|w| w.trim_matches('.').to_owned()).collect::<Vec<_>>())
        .filter(|w| !w.is_empty())
        .collect();
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];
    let all = special.into_iter().chain(["."]).map(str::to_owned).chain(words);
    let vocab: serde_json::Map<String, serde_json::Value> = all.enumerate().map(|(id, w)| (w, json!(id))).collect();
    let size = vocab.len();
    let added = added_tokens(&special);
    let wrapped = |type_id: u8, id: &str| {
        json!([{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": id, "type_id": type_id}},
               {"SpecialToken": {"id": "[SEP]", "type_id": type_id}}])
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing", "single": wrapped(0, "A"),
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}
            }
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}
    });
    std::fs::create_dir_all(dir).map_err(|e| Error::io("cannot create", dir, e))?;
    let path = dir.join("tokenizer.json");
    let text =
        serde_json::to_string_pretty(&tokenizer).map_err(|e| Error::data("cannot write a tokenizer").with_source(e))?;
    std::fs::write(&path, text + "\n").map_err(|e| Error::io("cannot write", &path, e))?;
    Ok(size)
}

/// The fact of a scene in other words: the place's word or any phrase for it, any article or none, either order.
pub(super) fn wording(scene: &Scene, stream: &mut Stream) -> String {
    let place = if stream.uniform() < 0.25 { scene.place.word() } else { phrase(scene.place, stream) };
    let article = ["a ", "the ", "", "with a "][below(stream, 4)];
    let thing = format!("{article}{} {}", scene.colour.word(), scene.accessory.word());
    let text = if stream.uniform() < 0.3 { format!("{place} {thing}.") } else { format!("{thing} {place}.") };
    normalise(&text)
}

pub(super) fn phrase(place: Place, stream: &mut Stream) -> &'static str {
    place.phrases()[below(stream, 3)]
}

/// The fact of a scene as the data set words it.
pub(super) fn fact(scene: &Scene) -> String {
    normalise(&counterpoint_unifybench::language::fact(scene))
}

/// A compound prompt: base prompt, with the place in any wording or without a place, and a fact.
pub(super) fn compound(concept: Concept, place: Option<&str>, fact: &str) -> String {
    let place = place.map(|p| format!(" {p}")).unwrap_or_default();
    normalise(&format!("a photo of {}{place}. {fact}", concept.token()))
}
