//! The tiny tokenizers that come with the crate belong together.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use counterpoint_showo::{MagvitV2, ShowoConfig, TextTokenizer, prompting};

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/tiny").join(name)
}

fn text() -> (ShowoConfig, TextTokenizer) {
    let config = ShowoConfig::load(&asset("config.json")).unwrap();
    let text = TextTokenizer::load(&asset("tokenizer.json"), &config).unwrap();
    (config, text)
}

#[test]
fn every_word_is_a_token_and_sentences_survive() {
    let (config, text) = text();
    for (sentence, tokens) in [("beach red hat.", 4), ("what is with the kite?", 6), ("in the hall, by the cactus.", 8)]
    {
        let ids = text.encode(sentence).unwrap();
        assert_eq!(ids.len(), tokens, "{sentence}");
        assert!(ids.iter().all(|&id| (id as usize) < config.llm_vocab_size));
        assert_eq!(text.decode(&ids).unwrap(), sentence);
    }
}

#[test]
fn a_concept_brings_its_soft_tokens_and_prompts_still_fit() {
    let (config, text) = text();
    let name = text.concept_id("<ada>").unwrap();
    let ids = text.encode("a photo of <ada> by the sea. beach red hat.").unwrap();
    let soft: Vec<u32> = ids.iter().copied().filter(|&id| id as usize >= config.llm_vocab_size).collect();
    assert_eq!(soft.len(), config.num_concept_tokens / 6);
    assert!(ids.windows(soft.len() + 1).any(|w| w[..soft.len()] == soft[..] && w[soft.len()] == name));
    assert!(prompting::fits_t2i(&config, &ids));
    assert_eq!(text.decode(&ids).unwrap(), "a photo of <ada> by the sea. beach red hat.");
}

#[test]
fn flat_colours_pass_through_the_image_tokenizer() {
    let config = ShowoConfig::load(&asset("config.json")).unwrap();
    let device = Device::flex();
    let tokenizer = MagvitV2::load(&config.magvitv2, &asset("magvitv2.safetensors"), &device).unwrap();
    let side = config.image_size();
    let dark = Tensor::<4>::full([1, 3, side, side], -0.8, &device);
    let light = Tensor::<4>::full([1, 3, side, side], 0.8, &device);
    let codes = tokenizer.encode(Tensor::cat(vec![dark, light], 0)).unwrap();
    assert_eq!(codes.dims(), [2, config.num_vq_tokens]);
    let made = tokenizer.decode(codes).unwrap();
    assert_eq!(made.dims(), [2, 3, side, side]);
    let mean = |row: usize| made.clone().narrow(0, row, 1).mean().into_scalar::<f32>();
    assert!(mean(0) + 0.2 < mean(1), "{} {}", mean(0), mean(1));
}
