//! BER on a tower with random weights.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use counterpoint::registry::{self, BuildContext};
use counterpoint::{Reward, Sample, Score, Task};
use counterpoint_ber::{BerConfig, Head};
use counterpoint_encoders::blip2::{QFormerConfig, VisionConfig};
use counterpoint_encoders::preprocess::Size;
use counterpoint_encoders::{Blip2Config, ImageProcessorConfig};
use image::{Rgb, RgbImage};
use serde_json::json;

/// Writes a tower with random weights into `dir`; its processor gives images of `side` pixels.
fn tower(dir: &Path, side: u32) {
    let words = "[PAD] [UNK] . a photo of ada red hat at the beach";
    let vocab: serde_json::Map<_, _> = words.split(' ').enumerate().map(|(i, w)| (w.to_owned(), json!(i))).collect();
    let config = Blip2Config {
        vision_config: VisionConfig {
            hidden_size: 16,
            intermediate_size: 32,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            image_size: 16,
            patch_size: 8,
            ..VisionConfig::default()
        },
        qformer_config: QFormerConfig {
            vocab_size: vocab.len(),
            hidden_size: 16,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            intermediate_size: 32,
            max_position_embeddings: 32,
            encoder_hidden_size: 16,
            ..QFormerConfig::default()
        },
        num_query_tokens: 3,
        image_text_hidden_size: 8,
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}
    });
    config.init(&Device::flex()).unwrap().save(&config, dir).unwrap();
    std::fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let size = Size::Exact { height: side, width: side };
    ImageProcessorConfig { size, ..Default::default() }.write(dir).unwrap();
}

fn sample(prompt: &str, image: Option<RgbImage>) -> Sample {
    let task = Task::new(0, "").with_class("person").with_params(json!({}));
    Sample::new(&task, 0, prompt.into(), String::new(), image.map(Arc::new))
}

fn picture(red: u8) -> Option<RgbImage> {
    Some(RgbImage::from_fn(20, 24, |x, y| Rgb([red, (x * 12) as u8, (y * 10) as u8])))
}

#[test]
fn scores_are_cosines_that_depend_on_image_and_prompt_but_not_on_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path(), 16);
    let mut expert = BerConfig { batch: 2, ..BerConfig::new(dir.path()) }.init(&Device::flex()).unwrap();
    let samples = [
        sample("a photo of <ada>. a red hat at the beach.", picture(250)),
        sample("A photo of ada! a red hat at the beach", picture(250)),
        sample("a photo of <ada>. a red hat at the beach.", picture(10)),
        sample("the hat.", picture(250)),
    ];
    let scores: Vec<f64> = expert.score(&samples).unwrap().iter().map(|s| s.value().unwrap()).collect();
    assert!(scores.iter().all(|s| (-1.0001..=1.0001).contains(s)), "{scores:?}");
    assert!((scores[0] - scores[1]).abs() < 1e-6, "wording variants count the same");
    assert!((scores[0] - scores[2]).abs() > 1e-4, "the image matters: {scores:?}");
    assert!((scores[0] - scores[3]).abs() > 1e-4, "the prompt matters: {scores:?}");
    for (sample, score) in samples.iter().zip(&scores) {
        let alone = expert.score(std::slice::from_ref(sample)).unwrap();
        assert!((alone[0].value().unwrap() - score).abs() < 1e-5);
    }
}

#[test]
fn what_is_missing_is_abstained_from_and_keeps_its_place() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path(), 16);
    let context = BuildContext::new(Device::flex(), dir.path());
    let mut expert = registry::reward("ber", &toml::toml! { weights = "." }, &context).unwrap();
    assert_eq!(expert.name(), "ber");
    let samples = [
        sample("a hat.", None),
        sample("a hat.", picture(1)),
        sample(" . ", picture(1)),
        sample("a hat.", Some(RgbImage::new(0, 4))),
    ];
    let scores = expert.score(&samples).unwrap();
    assert_eq!(scores[0], Score::Abstain("no image to compare".into()));
    assert!(scores[1].value().is_some());
    assert_eq!(scores[2], Score::Abstain("no prompt to compare".into()));
    assert!(matches!(scores[3], Score::Fail(_)));
    assert!(expert.score(&[]).unwrap().is_empty());
}

#[test]
fn an_image_processor_of_another_size_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path(), 24);
    let error = BerConfig { batch: 2, ..BerConfig::new(dir.path()) }.init(&Device::flex()).unwrap_err();
    assert!(error.to_string().contains("16x16, got 24x24"), "{error}");
}

#[test]
fn the_matching_head_gives_a_probability_and_previews_the_cosine() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path(), 16);
    let matching = BerConfig { head: Head::Matching, batch: 2, ..BerConfig::new(dir.path()) };
    let mut matching = matching.init(&Device::flex()).unwrap();
    let mut contrastive = BerConfig { batch: 2, ..BerConfig::new(dir.path()) }.init(&Device::flex()).unwrap();
    let samples = [
        sample("a photo of <ada>. a red hat at the beach.", picture(250)),
        sample("the hat.", picture(250)),
        sample("the hat.", picture(10)),
        sample("the hat.", None),
    ];
    let values = |scores: &[Score]| scores.iter().map(Score::value).collect::<Vec<_>>();
    let probabilities = values(&matching.score(&samples).unwrap());
    assert!(probabilities[..3].iter().flatten().all(|p| (0.0..=1.0).contains(p)), "{probabilities:?}");
    assert!(probabilities[0] != probabilities[1] && probabilities[1] != probabilities[2], "{probabilities:?}");
    assert_eq!(probabilities[3], None);
    let cosines = values(&contrastive.score(&samples).unwrap());
    assert_ne!(probabilities, cosines);
    assert_eq!(values(&matching.preview(&samples).unwrap()), cosines);
    assert_eq!(values(&contrastive.preview(&samples).unwrap()), cosines);
    assert_eq!(contrastive.device().as_deref(), Some("flex"));
}

#[test]
fn texts_without_end_and_texts_of_one_emoji_have_a_result() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path(), 16);
    let mut expert = BerConfig::new(dir.path()).init(&Device::flex()).unwrap();
    let long = "red hat ".repeat(10_000);
    let tiny = Some(RgbImage::from_pixel(1, 1, Rgb([9, 8, 7])));
    let samples = [
        sample(&long, picture(3)),
        sample("\u{1f600}", picture(3)),
        sample("the hat.", tiny),
        sample("\u{e9}", picture(3)),
    ];
    let scores = expert.score(&samples).unwrap();
    assert!(scores[0].value().is_some() && scores[2].value().is_some() && scores[3].value().is_some(), "{scores:?}");
    assert_eq!(scores[1], Score::Abstain("no prompt to compare".into()));
    let mut matching = BerConfig { head: Head::Matching, ..BerConfig::new(dir.path()) }.init(&Device::flex()).unwrap();
    assert!(matching.score(&samples).unwrap()[0].value().is_some());
}

#[test]
fn a_device_or_a_precision_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path(), 16);
    let context = BuildContext::new(Device::flex(), dir.path());
    let error = |table| registry::reward("ber", &table, &context).err().unwrap().to_string();
    let message = error(toml::toml! { weights = "." device = "gpu" });
    assert!(message.contains("`flex`, `cuda`") && message.contains("got `gpu`"), "{message}");
    assert!(error(toml::toml! { weights = "." dtype = "f8" }).contains("bf16"));
    assert!(error(toml::toml! { weights = "hf:nobody/nothing" }).contains("preprocessor_config.json"));
    assert!(registry::reward("ber", &toml::toml! { weights = "." dtype = "bf16" device = "flex" }, &context).is_ok());
}

#[test]
fn the_concepts_noun_is_read_where_the_prompt_has_its_name() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path(), 16);
    let told = |prompt: &str, params: serde_json::Value| {
        let task = Task::new(0, "").with_params(params);
        Sample::new(&task, 0, prompt.into(), String::new(), picture(250).map(Arc::new))
    };
    let prompt = "a photo of <ada> at the beach. <ada>";
    let ada = json!({ "concept": "<ada>", "noun": "red hat" });
    let samples = [
        told(prompt, ada.clone()),
        told("a photo of red hat at the beach. red hat", json!({})),
        told(prompt, json!({ "concept": "<ada>" })),
        told(prompt, json!({ "concept": "<ada>", "noun": " " })),
        told(prompt, json!({ "concept": "<leo>", "noun": "red hat" })),
        told(prompt, json!({})),
    ];
    let context = BuildContext::new(Device::flex(), dir.path());
    let scores = |table: toml::Table| {
        let mut expert = registry::reward("ber", &table, &context).unwrap();
        let values = |scores: Vec<Score>| scores.iter().map(|s| s.value().unwrap()).collect::<Vec<f64>>();
        (values(expert.score(&samples).unwrap()), values(expert.preview(&samples).unwrap()))
    };
    for table in [toml::toml! { weights = "." }, toml::toml! { weights = "." head = "matching" }] {
        let (finals, previews) = scores(table);
        for s in [finals, previews] {
            assert!((s[0] - s[1]).abs() < 1e-6 && (s[0] - s[5]).abs() > 1e-5, "the noun is read: {s:?}");
            assert!(s[2..].iter().all(|x| (x - s[5]).abs() < 1e-6), "without a noun the prompt is as it is: {s:?}");
        }
    }
    let (finals, previews) = scores(toml::toml! { weights = "." concept_noun = false });
    for s in [finals, previews] {
        assert!((s[0] - s[5]).abs() < 1e-6, "the name is read where the settings say so: {s:?}");
    }
}
