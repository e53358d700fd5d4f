//! Token ids against transformers' (fixtures/tokenizers/make.py), and the batches.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use counterpoint_encoders::TextTokenizer;
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizers").join(name)
}

/// The ids of the real tokens of each text.
fn ids(tokenizer: &TextTokenizer, texts: &[&str]) -> Vec<Vec<i64>> {
    let batch = tokenizer.encode(texts, &Device::flex()).unwrap();
    let length = batch.ids.dims()[1];
    let ids: Vec<i64> = batch.ids.into_data().iter::<i64>().collect();
    let keep: Vec<bool> = batch.keep.into_data().iter::<bool>().collect();
    let real = |(ids, keep): (&[i64], &[bool])| ids.iter().zip(keep).filter(|(_, k)| **k).map(|(i, _)| *i).collect();
    ids.chunks(length).zip(keep.chunks(length)).map(real).collect()
}

/// Compares the tokenizer in `dir` with the ids in `expected`.
fn same(dir: &Path, expected: &Path) {
    let expected: Value = serde_json::from_slice(&std::fs::read(expected).unwrap()).unwrap();
    let list = |v: &Value| v.as_array().unwrap().iter().map(|i| i.as_i64().unwrap()).collect::<Vec<_>>();
    let texts: Vec<&str> = expected["texts"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();

    let tokenizer = TextTokenizer::load(dir, 200).unwrap();
    for ((text, got), ids) in texts.iter().zip(ids(&tokenizer, &texts)).zip(expected["ids"].as_array().unwrap()) {
        assert_eq!(got, list(ids), "{text:?}");
    }
    let batch = tokenizer.encode(&["photo", "photo of the sea"], &Device::flex()).unwrap();
    let last = batch.ids.into_data().iter::<i64>().collect::<Vec<_>>()[3..6].to_vec();
    assert_eq!(last, vec![expected["pad"].as_i64().unwrap(); 3], "padding");

    // 20,000 words, cut with both special tokens kept.
    let length = expected["max_length"].as_u64().unwrap() as usize;
    let long = ["photo of the sea"; 5000].join(" ");
    let cut = ids(&TextTokenizer::load(dir, length).unwrap(), &[&long]);
    assert_eq!(cut, [list(&expected["cut"])]);
    assert_eq!(cut[0].len(), length);
}

#[test]
fn vocab_txt_is_berts_word_piece() {
    same(&folder("bert"), &folder("bert/expected.json"));
}

#[test]
fn tokenizer_config_decides_on_case_accents_and_chinese() {
    same(&folder("bert_cased"), &folder("bert_cased/expected.json"));
}

#[test]
fn vocab_json_and_merges_txt_are_clips_byte_pairs() {
    same(&folder("clip"), &folder("clip/expected.json"));
}

#[test]
fn a_text_of_nothing_known_has_unknown_tokens() {
    let tokenizer = TextTokenizer::load(&folder("bert"), 8).unwrap();
    let unknown = i64::from(tokenizer.id("[UNK]").unwrap());
    assert_eq!(ids(&tokenizer, &["\u{1f600}"])[0][1..2], [unknown]);
    assert_eq!(ids(&tokenizer, &[""])[0].len(), 2, "the special tokens are left of an empty text");
}

#[test]
fn the_pieces_of_a_word_are_one_word_again() {
    let tokenizer = TextTokenizer::load(&folder("bert"), 40).unwrap();
    let ids = tokenizer.ids("photographs, photo of the sea").unwrap();
    assert!(ids.contains(&tokenizer.id("##s").unwrap()));
    assert_eq!(tokenizer.decode(&ids).unwrap(), "photographs, photo of the sea");
}

#[test]
fn files_that_are_no_tokenizer_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = |length| TextTokenizer::load(dir.path(), length).unwrap_err().to_string();
    assert!(error(8).contains("merges.txt"), "{}", error(8));
    std::fs::write(dir.path().join("vocab.txt"), "[UNK]\n[CLS]\nhat\n").unwrap();
    assert!(error(8).contains("[SEP]"), "{}", error(8));
    std::fs::write(dir.path().join("vocab.txt"), "[UNK]\n[CLS]\n[SEP]\nhat\n").unwrap();
    assert!(error(2).contains("above the 2 special tokens"), "{}", error(2));
    assert_eq!(ids(&TextTokenizer::load(dir.path(), 3).unwrap(), &["hat hat"]), [[1, 3, 2]]);
    std::fs::write(dir.path().join("tokenizer_config.json"), r#"{"sep_token": {"content": "</s>"}}"#).unwrap();
    assert!(error(8).contains("</s>"), "{}", error(8));
}

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
