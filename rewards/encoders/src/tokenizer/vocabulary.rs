//! Tokenizers from their older files, put together as transformers puts them together.

use std::collections::HashMap;
use std::path::Path;

use counterpoint::{Error, Result};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::files;

const WORDS: &str = "vocab.txt";
const PIECES: &str = "vocab.json";
const MERGES: &str = "merges.txt";
const CONFIG: &str = "tokenizer_config.json";

/// What CLIP takes for a word.
const CLIP_WORD: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// The keys of `tokenizer_config.json` that change ids.
#[derive(Deserialize)]
#[serde(default)]
struct Config {
    do_lower_case: bool,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: bool,
    unk_token: Option<Token>,
    cls_token: Option<Token>,
    sep_token: Option<Token>,
    pad_token: Option<Token>,
    mask_token: Option<Token>,
    bos_token: Option<Token>,
    eos_token: Option<Token>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            do_lower_case: true,
            strip_accents: None,
            tokenize_chinese_chars: true,
            unk_token: None,
            cls_token: None,
            sep_token: None,
            pad_token: None,
            mask_token: None,
            bos_token: None,
            eos_token: None,
        }
    }
}

/// A special token: its text, or an object with its text as `content`.
struct Token(String);

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Object { content: String },
        }
        Ok(Self(match Form::deserialize(deserializer)? {
            Form::Text(text) | Form::Object { content: text } => text,
        }))
    }
}

fn named(token: Option<Token>, usual: &str) -> String {
    token.map_or_else(|| usual.to_owned(), |t| t.0)
}

/// The `tokenizer.json` that says the same as the older files in `dir`.
pub(super) fn read(dir: &Path) -> Result<Value> {
    let config = dir.join(CONFIG);
    let config = if config.is_file() { files::read_json(&config)? } else { Config::default() };
    if dir.join(WORDS).is_file() {
        word_piece(&dir.join(WORDS), config)
    } else if dir.join(PIECES).is_file() && dir.join(MERGES).is_file() {
        clip(&dir.join(PIECES), &dir.join(MERGES), config)
    } else {
        Err(Error::data(format!(
            "{}: expected a tokenizer.json, a vocab.txt, or a vocab.json and a merges.txt, got none of them",
            dir.display()
        )))
    }
}

type Vocab = HashMap<String, u32>;

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))
}

/// A token that no text can do without, with its id.
fn needed(vocab: &Vocab, token: &str, path: &Path) -> Result<Value> {
    vocab.get(token).map(|id| json!([token, id])).ok_or_else(|| {
        Error::data(format!(
            "{}: expected the special token {token}, got none; name it in {CONFIG} if it is called otherwise",
            path.display()
        ))
    })
}

/// Those of `tokens` that the vocabulary has, to be recognised in texts as they are.
fn special(vocab: &Vocab, tokens: &[&String]) -> Value {
    let mut known: Vec<(u32, &str)> = tokens.iter().filter_map(|t| Some((*vocab.get(*t)?, t.as_str()))).collect();
    known.sort_unstable();
    known.dedup();
    let entry = |(id, content): &(u32, &str)| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    known.iter().map(entry).collect()
}

fn padding(vocab: &Vocab, pad: &str) -> Value {
    vocab.get(pad).map_or(Value::Null, |id| {
        json!({"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": null, "pad_id": id,
               "pad_type_id": 0, "pad_token": pad})
    })
}

/// BERT's: one token a line, `##` before what continues a word.
fn word_piece(path: &Path, config: Config) -> Result<Value> {
    let vocab: Vocab = text(path)?.lines().map(str::to_owned).zip(0..).collect();
    let unknown = named(config.unk_token, "[UNK]");
    let (begin, end) = (named(config.cls_token, "[CLS]"), named(config.sep_token, "[SEP]"));
    let (pad, mask) = (named(config.pad_token, "[PAD]"), named(config.mask_token, "[MASK]"));
    needed(&vocab, &unknown, path)?;
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": padding(&vocab, &pad),
        "added_tokens": special(&vocab, &[&unknown, &end, &pad, &begin, &mask]),
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": config.tokenize_chinese_chars,
            "strip_accents": config.strip_accents, "lowercase": config.do_lower_case
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "BertProcessing", "sep": needed(&vocab, &end, path)?, "cls": needed(&vocab, &begin, path)?
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab
        }
    }))
}

/// CLIP's: byte pairs whose last piece of a word ends in `</w>`; padded with the end of the text.
fn clip(path: &Path, merges: &Path, config: Config) -> Result<Value> {
    let vocab: Vocab = files::read_json(path)?;
    let lines = text(merges)?;
    let lines = lines.lines().filter(|line| !line.is_empty() && !line.starts_with("#version"));
    let pairs: Vec<(&str, &str)> = lines
        .map(|line| {
            line.split_once(' ').ok_or_else(|| {
                Error::data(format!("{}: expected two pieces on a line, got {line:?}", merges.display()))
            })
        })
        .collect::<Result<_>>()?;
    let (begin, end) = (named(config.bos_token, "<|startoftext|>"), named(config.eos_token, "<|endoftext|>"));
    let (unknown, pad) = (named(config.unk_token, "<|endoftext|>"), named(config.pad_token, "<|endoftext|>"));
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": padding(&vocab, &pad),
        "added_tokens": special(&vocab, &[&unknown, &begin, &end, &pad]),
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
            {"type": "Lowercase"}
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": CLIP_WORD}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
        ]},
        "post_processor": {
            "type": "RobertaProcessing", "sep": needed(&vocab, &end, path)?, "cls": needed(&vocab, &begin, path)?,
            "trim_offsets": false, "add_prefix_space": false
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": pairs
        }
    }))
}
