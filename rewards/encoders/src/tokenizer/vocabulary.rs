//! Tokenizers from their older files, put together as transformers puts them together.

use std::collections::HashMap;
use std::path::Path;

use counterpoint::{Error, Result};
use serde::{Deserialize, Deserializer};
use tokenizers::models::bpe::BPE;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::{BertNormalizer, Lowercase, NFC, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::{AddedToken, PaddingParams, SplitDelimiterBehavior, Tokenizer};

use crate::files;

const WORDS: &str = "vocab.txt";
const PIECES: &str = "vocab.json";
const MERGES: &str = "merges.txt";
const CONFIG: &str = "tokenizer_config.json";

/// What CLIP takes for a word.
const CLIP_WORD: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

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

/// The tokenizer of `vocab.txt`, or of `vocab.json` and `merges.txt`, in `dir`.
pub(super) fn load(dir: &Path) -> Result<Tokenizer> {
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

fn cannot(path: &Path) -> impl Fn(tokenizers::Error) -> Error {
    let what = format!("{}: expected the vocabulary of a tokenizer", path.display());
    move |e| Error::data(what.clone()).with_source(e)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))
}

/// The id of a token that no text can do without.
fn id(vocab: &HashMap<String, u32>, token: &str, path: &Path) -> Result<u32> {
    vocab.get(token).copied().ok_or_else(|| {
        Error::data(format!(
            "{}: expected the special token {token}, got none; name it in {CONFIG} if it is called otherwise",
            path.display()
        ))
    })
}

/// Makes those of `tokens` that the vocabulary has recognisable in texts, and pads with `pad`.
fn add_special(tokenizer: &mut Tokenizer, vocab: &HashMap<String, u32>, tokens: &[&String], pad: &str) -> tokenizers::Result<()> {
    let known = tokens.iter().filter(|t| vocab.contains_key(t.as_str()));
    tokenizer.add_special_tokens(known.map(|t| AddedToken::from(t.as_str(), true)))?;
    if let Some(&pad_id) = vocab.get(pad) {
        tokenizer.with_padding(Some(PaddingParams { pad_id, pad_token: pad.to_owned(), ..Default::default() }));
    }
    Ok(())
}

/// BERT's: one token a line, `##` before what continues a word.
fn word_piece(path: &Path, config: Config) -> Result<Tokenizer> {
    let text = read(path)?;
    let vocab: HashMap<String, u32> = text.lines().map(str::to_owned).zip(0..).collect();
    let unknown = named(config.unk_token, "[UNK]");
    let (begin, end) = (named(config.cls_token, "[CLS]"), named(config.sep_token, "[SEP]"));
    let (pad, mask) = (named(config.pad_token, "[PAD]"), named(config.mask_token, "[MASK]"));
    id(&vocab, &unknown, path)?;
    let special = vec![(begin.as_str(), id(&vocab, &begin, path)?), (end.as_str(), id(&vocab, &end, path)?)];

    let build = || -> tokenizers::Result<Tokenizer> {
        let entries = vocab.iter().map(|(token, id)| (token.clone(), *id)).collect::<ahash::AHashMap<_, _>>();
        let model = WordPiece::builder().vocab(entries).unk_token(unknown.clone()).build()?;
        let mut tokenizer = Tokenizer::new(model);
        tokenizer.with_normalizer(Some(BertNormalizer::new(
            true,
            config.tokenize_chinese_chars,
            config.strip_accents,
            config.do_lower_case,
        )));
        tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
        let template = TemplateProcessing::builder()
            .try_single(format!("{begin}:0 $A:0 {end}:0"))?
            .special_tokens(special)
            .build()?;
        tokenizer.with_post_processor(Some(template));
        add_special(&mut tokenizer, &vocab, &[&unknown, &end, &pad, &begin, &mask], &pad)?;
        Ok(tokenizer)
    };
    build().map_err(cannot(path))
}

/// CLIP's: byte pairs whose last piece of a word ends in `</w>`; padded with the end of the text.
fn clip(path: &Path, merges: &Path, config: Config) -> Result<Tokenizer> {
    let vocab: HashMap<String, u32> = files::read_json(path)?;
    let text = read(merges)?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("#version"));
    let pairs: Vec<(String, String)> = lines
        .map(|line| {
            line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).ok_or_else(|| {
                Error::data(format!("{}: expected two pieces on a line, got {line:?}", merges.display()))
            })
        })
        .collect::<Result<_>>()?;
    let (begin, end) = (named(config.bos_token, "<|startoftext|>"), named(config.eos_token, "<|endoftext|>"));
    let (unknown, pad) = (named(config.unk_token, "<|endoftext|>"), named(config.pad_token, "<|endoftext|>"));
    let (begin_id, end_id) = (id(&vocab, &begin, path)?, id(&vocab, &end, path)?);

    let build = || -> tokenizers::Result<Tokenizer> {
        let entries = vocab.iter().map(|(token, id)| (token.clone(), *id)).collect::<ahash::AHashMap<_, _>>();
        let model = BPE::builder()
            .vocab_and_merges(entries, pairs)
            .unk_token(unknown.clone())
            .end_of_word_suffix("</w>".to_owned())
            .build()?;
        let mut tokenizer = Tokenizer::new(model);
        let blanks = Replace::new(ReplacePattern::Regex(r"\s+".to_owned()), " ")?;
        tokenizer.with_normalizer(Some(Normalizers::new(vec![NFC.into(), blanks.into(), Lowercase.into()])));
        let words = SplitPattern::Regex(CLIP_WORD.to_owned());
        tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(vec![
            Split::new(words, SplitDelimiterBehavior::Removed, true)?.into(),
            ByteLevel::default().add_prefix_space(false).into(),
        ])));
        let ends = RobertaProcessing::new((end.clone(), end_id), (begin.clone(), begin_id));
        tokenizer.with_post_processor(Some(ends.trim_offsets(false).add_prefix_space(false)));
        add_special(&mut tokenizer, &vocab, &[&unknown, &begin, &end, &pad], &pad)?;
        Ok(tokenizer)
    };
    build().map_err(cannot(path))
}
