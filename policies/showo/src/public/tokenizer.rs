//! Text tokenizers as they are published, completed with the tokens that Show-o and UniCTokens append.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use counterpoint::{Error, Result};
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

use crate::config::ShowoConfig;

/// Files of a tokenizer that has no `tokenizer.json`; the third may be missing.
const VOCABULARY: [&str; 3] = ["vocab.json", "merges.txt", "added_tokens.json"];

/// The tokenizer at `path`: a `tokenizer.json`, or a folder with one or with `vocab.json`, `merges.txt` and
/// `added_tokens.json`.
pub(crate) fn read(path: &Path) -> Result<Tokenizer> {
    let unreadable = |file: &Path| {
        let file = file.display().to_string();
        move |e: tokenizers::Error| Error::weights("cannot read the tokenizer").at(file).with_source(e)
    };
    if !path.is_dir() {
        return Tokenizer::from_file(path).map_err(unreadable(path));
    }
    let json = path.join("tokenizer.json");
    if json.is_file() {
        return Tokenizer::from_file(&json).map_err(unreadable(&json));
    }
    let [vocab, merges, added] = VOCABULARY.map(|name| path.join(name));
    if !(vocab.is_file() && merges.is_file()) {
        return Err(Error::weights(format!(
            "{}: expected tokenizer.json, or vocab.json and merges.txt (and added_tokens.json), got neither",
            path.display()
        )));
    }
    let model =
        BPE::from_file(&vocab.to_string_lossy(), &merges.to_string_lossy()).build().map_err(unreadable(&vocab))?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    add(&mut tokenizer, &["<|endoftext|>".to_owned()], true)?;
    if added.is_file() {
        append_listed(&mut tokenizer, &added).map_err(|e| e.at(added.display()))?;
    }
    Ok(tokenizer)
}

/// Whether `folder` holds a tokenizer.
pub(crate) fn is_in(folder: &Path) -> bool {
    folder.join("tokenizer.json").is_file() || VOCABULARY[..2].iter().all(|name| folder.join(name).is_file())
}

/// Appends the tokens of `added_tokens.json`, an object of texts and ids, and checks that each gets its id.
fn append_listed(tokenizer: &mut Tokenizer, path: &Path) -> Result<()> {
    let listed: std::collections::HashMap<String, u32> =
        serde_json::from_slice(&std::fs::read(path).map_err(|e| Error::io("cannot read", path, e))?)
            .map_err(|e| Error::config("expected an object of tokens and their ids").with_source(e))?;
    let in_order: BTreeMap<u32, String> = listed.into_iter().map(|(token, id)| (id, token)).collect();
    for (id, token) in in_order {
        add(tokenizer, std::slice::from_ref(&token), false)?;
        expect_id(tokenizer, &token, id)?;
    }
    Ok(())
}

/// Appends what `config` expects and the tokenizer does not have yet: Show-o's special tokens right after the language
/// model's own tokens, then the concepts.
///
/// # Errors
/// [`Config`](counterpoint::ErrorKind::Config) when the tokenizer's size is not the one these tokens follow.
pub(crate) fn complete(tokenizer: &mut Tokenizer, config: &ShowoConfig) -> Result<()> {
    let mut specials = config.special_token_ids.named().to_vec();
    specials.sort_by_key(|(_, id)| *id);
    if specials.iter().all(|(name, _)| tokenizer.token_to_id(name).is_none()) {
        let size = tokenizer.get_vocab_size(true);
        if size != config.llm_vocab_size {
            return Err(Error::config(format!(
                "llm_vocab_size: expected a tokenizer of {} tokens, got {size}; for Phi-1.5 take all files of its \
                 repository, added_tokens.json among them",
                config.llm_vocab_size
            )));
        }
        let names: Vec<String> = specials.iter().map(|(name, _)| (*name).to_owned()).collect();
        add(tokenizer, &names, true)?;
    }
    for concept in &config.concepts {
        let ids = config.concept_ids(&concept.name)?;
        let names = concept.names();
        let known = names.iter().filter(|name| tokenizer.token_to_id(name).is_some()).count();
        if known == 0 {
            // The name stays in what is decoded, soft tokens do not.
            add(tokenizer, &names[..1], false)?;
            add(tokenizer, &names[1..], true)?;
        }
        for (name, id) in names.iter().zip(ids) {
            expect_id(tokenizer, name, id as u32)?;
        }
    }
    Ok(())
}

fn add(tokenizer: &mut Tokenizer, texts: &[String], special: bool) -> Result<()> {
    let tokens = texts.iter().map(|text| AddedToken::from(text.clone(), special).normalized(false));
    let added = if special { tokenizer.add_special_tokens(tokens) } else { tokenizer.add_tokens(tokens) };
    added.map(|_| ()).map_err(|e| Error::config("cannot add tokens to the tokenizer").with_source(e))
}

fn expect_id(tokenizer: &Tokenizer, token: &str, id: u32) -> Result<()> {
    match tokenizer.token_to_id(token) {
        Some(got) if got == id => Ok(()),
        got => {
            let got = got.map_or("no such token".to_owned(), |got| format!("id {got}"));
            Err(Error::config(format!(
                "token {token:?}: expected id {id}, got {got}; the files belong to different models"
            )))
        }
    }
}

/// The tokenizer of a model in `folder`: there, or in the folder of the language model beside it.
pub(super) fn beside(folder: &Path) -> Option<PathBuf> {
    let near = ["", "microsoft/phi-1_5", "phi-1_5"].map(|name| folder.join(name));
    near.into_iter().find(|near| is_in(near))
}
