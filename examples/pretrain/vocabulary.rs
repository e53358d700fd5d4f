//! The text tokenizer: byte-pair encoding of the world's language, in which every word is one token.

use std::path::Path;

use counterpoint::{Error, Result};
use counterpoint_unifybench::language;
use counterpoint_unifybench::{Concept, Place, Scene};
use tokenizers::decoders::metaspace::Metaspace;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, Model, SplitDelimiterBehavior, Tokenizer, TokenizerBuilder};

use crate::sizes;

/// Begins and ends a text, as in the original.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// Trains the tokenizer and writes `tokenizer.json` and `config.json` into `out`.
pub fn run(out: &Path) -> Result<()> {
    let metaspace = Metaspace::new('▁', PrependScheme::Always, true);
    let punctuation = Split::new(SplitPattern::Regex("[.,:?]".into()), SplitDelimiterBehavior::Isolated, false);
    let trained = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(None::<tokenizers::NormalizerWrapper>)
        .with_pre_tokenizer(Some(Sequence::new(vec![metaspace.clone().into(), punctuation.map_err(failed)?.into()])))
        .with_post_processor(None::<tokenizers::PostProcessorWrapper>)
        .with_decoder(Some(metaspace))
        .build();
    let mut tokenizer = trained.map_err(failed)?;
    let mut trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(4096)
        .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
        .build();
    tokenizer.train(&mut trainer, corpus().into_iter()).map_err(failed)?;
    let words = tokenizer.get_model().get_vocab_size();
    let mut tokenizer = Tokenizer::from(tokenizer);
    let endoftext = tokenizer.token_to_id(END_OF_TEXT).ok_or_else(|| Error::data("no end-of-text token"))?;
    let config = sizes::showo(words, endoftext);
    config.validate()?;
    let specials = config.special_token_ids.named().map(|(name, _)| AddedToken::from(name, true));
    tokenizer.add_special_tokens(specials).map_err(failed)?;
    let soft = Concept::ALL.iter().flat_map(|concept| {
        let name = concept.token().replace(['<', '>'], "");
        (0..sizes::SOFT_TOKENS).map(move |k| AddedToken::from(format!("<{name}_{k}>"), true))
    });
    tokenizer.add_special_tokens(soft).map_err(failed)?;
    for word in language::vocabulary() {
        let pieces = tokenizer.encode(word.as_str(), false).map_err(failed)?.len();
        let allowed = if ".,:?".contains(&word) { 2 } else { 1 };
        if pieces > allowed {
            return Err(Error::data(format!("expected one token for {word:?}, got {pieces}")));
        }
    }
    tokenizer.save(out.join("tokenizer.json"), true).map_err(failed)?;
    config.save(&out.join("config.json"))?;
    println!("text tokenizer: {words} tokens");
    Ok(())
}

/// Every kind of sentence, with every word.
fn corpus() -> Vec<String> {
    let mut sentences: Vec<String> = Scene::all().map(|scene| language::fact(&scene)).collect();
    for &concept in Concept::ALL {
        sentences.extend([language::info(concept), language::photo(concept), language::info_question(concept)]);
        sentences.extend(language::visual_questions(concept));
        for &place in Place::ALL {
            for phrase in 0..3 {
                let prompt = language::reasoning_prompt(concept, place, phrase);
                sentences.push(language::textual_question(concept, &[], &prompt));
                sentences.push(language::fact_question(concept, place, phrase));
            }
        }
    }
    sentences.extend(language::vocabulary());
    sentences
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::data(format!("cannot train the text tokenizer: {error}"))
}
