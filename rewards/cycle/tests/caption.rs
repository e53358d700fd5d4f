//! Captions against transformers, BERTScore against torchmetrics and the package bert-score (fixtures/make.py), and the reward by them.
#![allow(clippy::unwrap_used)]

mod common;

use burn::tensor::Device;
use common::{close, expected, folder, images, numbers, sample, strings};
use counterpoint::registry::{self, BuildContext};
use counterpoint::{ErrorKind, Judges, Reward, Score};
use counterpoint_cycle::{BertScore, CaptionPart, Captions, CycleConfig};
use counterpoint_weights::Precision;
use image::RgbImage;
use tempfile::TempDir;

/// A captioner's folder, BERT's, and the part by them.
fn part() -> (TempDir, TempDir, CaptionPart) {
    let (captioner, bert) = (folder("captioner"), folder("bert"));
    let part = CaptionPart { max_new_tokens: 12, ..CaptionPart::new(captioner.path(), bert.path()) };
    (captioner, bert, part)
}

fn f1(part: &CaptionPart, pairs: &[(String, String)]) -> Vec<f64> {
    let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    BertScore::load(part, Precision::F32, &Device::flex()).unwrap().f1(&pairs).unwrap()
}

fn pairs() -> Vec<(String, String)> {
    serde_json::from_value(expected()["pairs"].clone()).unwrap()
}

#[test]
fn captions_are_those_of_transformers() {
    let (_captioner, _bert, part) = part();
    let (images, expected) = (images(), expected());
    let images: Vec<&RgbImage> = images.iter().map(AsRef::as_ref).collect();
    let written = |part: &CaptionPart, images: &[&RgbImage]| {
        Captions::load(part, Precision::F32, &Device::flex()).unwrap().of(images).unwrap()
    };
    assert_eq!(written(&part, &images), strings(&expected["captions"]));
    assert_eq!(written(&part, &images[1..2]), strings(&expected["captions"])[1..2]);
    assert!(written(&part, &[]).is_empty());
    let prompted = CaptionPart { prompt: "a photo of".into(), max_new_tokens: 6, ..part };
    assert_eq!(written(&prompted, &images), strings(&expected["prompted"]));
}

#[test]
fn bert_score_is_that_of_torchmetrics_and_of_bert_score_at_every_layer() {
    let (_captioner, _bert, part) = part();
    let expected = expected();
    let cases = [("torchmetrics", false, None), ("torchmetrics", false, Some(1)), ("torchmetrics", false, Some(0))];
    let more = [("torchmetrics", false, Some(2)), ("bert_score", true, Some(2)), ("bert_score", true, Some(1))];
    for (package, match_special, layer) in cases.into_iter().chain(more) {
        let scores = f1(&CaptionPart { match_special, layer, ..part.clone() }, &pairs());
        let name = format!("{package}_{}", layer.unwrap_or(2));
        let others = numbers(&expected["f1"][&name]);
        assert_eq!(scores.len(), others.len());
        for (got, other) in scores.into_iter().zip(others) {
            close(got, other, &name);
        }
    }
}

#[test]
fn bert_score_depends_on_the_pair_alone_and_is_rescaled_by_the_baseline() {
    let (_captioner, _bert, part) = part();
    let together = f1(&part, &pairs());
    let alone: Vec<f64> = pairs().iter().flat_map(|pair| f1(&part, std::slice::from_ref(pair))).collect();
    assert_eq!(together, alone, "to the last bit");
    let rescaled = f1(&CaptionPart { baseline: Some(0.5), ..part }, &pairs());
    for (got, raw) in rescaled.into_iter().zip(together) {
        close(got, 2.0 * raw - 1.0, "baseline");
    }
}

#[test]
fn the_reward_is_f1_of_caption_and_prompt() {
    let (_captioner, _bert, part) = part();
    let (images, expected) = (images(), expected());
    // The last three pairs are the captions and these prompts.
    let prompts: Vec<String> = pairs()[6..].iter().map(|(_, prompt)| prompt.clone()).collect();
    let others = numbers(&expected["f1"]["torchmetrics_2"]);
    let samples: Vec<_> = images.iter().zip(&prompts).map(|(image, p)| sample(p, Some(image), &[])).collect();
    for batch in [1, 2, 16] {
        let config = CycleConfig { caption: Some(part.clone()), batch, ..CycleConfig::default() };
        let scores = config.init(&Device::flex()).unwrap().score(&samples).unwrap();
        for (score, other) in scores.iter().zip(&others[6..]) {
            close(score.value().unwrap(), *other, "score");
        }
    }
}

#[test]
fn what_cannot_be_scored_says_so_and_leaves_the_others_as_they_are() {
    let (_captioner, _bert, part) = part();
    let images = images();
    let config = CycleConfig { caption: Some(part), ..CycleConfig::default() };
    let mut reward = config.init(&Device::flex()).unwrap();
    let empty = std::sync::Arc::new(RgbImage::new(0, 3));
    let samples = [
        sample("a red hat", None, &[]),
        sample("a photo of a <rex> on the beach", Some(&images[0]), &[]),
        sample(" ", Some(&images[0]), &[]),
        sample("a red hat", Some(&empty), &[]),
    ];
    let scores = reward.score(&samples).unwrap();
    assert!(matches!(&scores[0], Score::Abstain(why) if why.contains("image")), "{scores:?}");
    assert!(matches!(&scores[2], Score::Abstain(why) if why.contains("prompt")), "{scores:?}");
    assert!(matches!(&scores[3], Score::Fail(why) if why.contains("pixels")), "{scores:?}");
    // By the noun it is the first caption's prompt.
    close(scores[1].value().unwrap(), numbers(&expected()["f1"]["torchmetrics_2"])[6], "by its noun");
    let mut named = CycleConfig { concept_noun: false, ..config }.init(&Device::flex()).unwrap();
    let by_name = named.score(&samples[1..2]).unwrap()[0].value().unwrap();
    assert!((by_name - scores[1].value().unwrap()).abs() > 1e-3);
    assert!(reward.score(&[]).unwrap().is_empty());
    assert_eq!((reward.name(), reward.judges()), ("cycle", Judges::Both));
}

#[test]
fn settings_out_of_range_and_files_that_do_not_fit_are_refused_by_name() {
    let (captioner, bert, part) = part();
    let refused = |part: CaptionPart| {
        let config = CycleConfig { caption: Some(part), ..CycleConfig::default() };
        config.init(&Device::flex()).unwrap_err().to_string()
    };
    let long = refused(CaptionPart { max_new_tokens: 25, ..part.clone() });
    assert!(long.contains("caption.max_new_tokens") && long.contains("24") && long.contains("25"), "{long}");
    let prompted = refused(CaptionPart { prompt: "a photo".into(), max_new_tokens: 23, ..part.clone() });
    assert!(prompted.contains("2 tokens"), "{prompted}");
    assert!(refused(CaptionPart { max_new_tokens: 0, ..part.clone() }).contains("got 0"));
    let layer = refused(CaptionPart { layer: Some(3), ..part.clone() });
    assert!(layer.contains("caption.layer") && layer.contains("up to 2") && layer.contains("got 3"), "{layer}");
    assert!(refused(CaptionPart { baseline: Some(1.0), ..part.clone() }).contains("caption.baseline"));
    let swapped = refused(CaptionPart::new(bert.path(), captioner.path()));
    assert!(swapped.starts_with("cycle: ") && swapped.contains(bert.path().to_str().unwrap()), "{swapped}");
    std::fs::remove_file(bert.path().join("vocab.txt")).unwrap();
    let missing = refused(part);
    assert!(missing.contains("caption.bert") && missing.contains("vocab.txt"), "{missing}");
}

#[test]
fn it_is_built_by_name_and_one_part_at_least_is_asked_for() {
    let context = BuildContext::new(Device::flex(), ".");
    let refused = |table: toml::Table| registry::reward("cycle", &table, &context).err().unwrap();
    let neither = refused(toml::Table::new());
    assert_eq!(neither.kind(), ErrorKind::Config);
    assert!(neither.to_string().contains("`lpips`, `caption` or both, got neither"), "{neither}");
    let wrong = format!("{:#}", refused(toml::toml! { lpips = { weights = "w", net = "resnet" } }));
    assert!(wrong.contains("resnet") && wrong.contains("squeeze"), "{wrong}");
    let (_captioner, _bert, part) = part();
    let table = toml::Table::try_from(CycleConfig { caption: Some(part), ..CycleConfig::default() }).unwrap();
    let mut reward = registry::reward("cycle", &table, &context).unwrap();
    assert!(reward.score(&[sample("a hat", Some(&images()[0]), &[])]).unwrap()[0].value().is_some());
    let none = CycleConfig { batch: 0, caption: Some(CaptionPart::new("", "")), ..CycleConfig::default() };
    assert!(none.init(&Device::flex()).unwrap_err().to_string().contains("batch of 1"));
}

#[test]
#[cfg(not(feature = "lpips"))]
fn without_the_feature_lpips_says_how_it_can_be_had() {
    let part = counterpoint_cycle::LpipsPart::new("anywhere");
    let config = CycleConfig { lpips: Some(part), ..CycleConfig::default() };
    let error = config.init(&Device::flex()).unwrap_err().to_string();
    assert!(error.contains("--features lpips"), "{error}");
}
