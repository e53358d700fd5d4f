//! CLIP-T and CLIP-I against transformers and torchmetrics (fixtures/make.py).
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use counterpoint::{Reward, Sample, Score, Task, serde_json};
use counterpoint_clip::{ClipScoreConfig, With};
use image::RgbImage;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn images() -> Vec<Arc<RgbImage>> {
    (0..3).map(|i| Arc::new(image::open(fixtures().join(format!("{i}.png"))).unwrap().into_rgb8())).collect()
}

fn expected() -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(fixtures().join("expected.json")).unwrap()).unwrap()
}

fn table(value: &serde_json::Value) -> Vec<Vec<f64>> {
    serde_json::from_value(value.clone()).unwrap()
}

fn sample(prompt: &str, image: Option<&Arc<RgbImage>>, references: &[Arc<RgbImage>]) -> Sample {
    let params = serde_json::json!({"concept": "<rex>", "noun": "dog"});
    let task = Task::new(0, "").with_references(references.to_vec()).with_params(params);
    Sample::new(&task, 0, prompt.to_owned(), String::new(), image.map(Arc::clone))
}

fn scores(config: ClipScoreConfig, samples: &[Sample]) -> Vec<Score> {
    config.init(&Device::flex()).unwrap().score(samples).unwrap()
}

fn close(score: &Score, expected: f64) {
    let value = score.value().unwrap();
    assert!((value - expected).abs() < 1e-5, "{value} and {expected}");
}

#[test]
fn clip_t_is_the_cosine_of_transformers_and_a_hundredth_of_torchmetrics_clip_score() {
    let (images, expected) = (images(), expected());
    let texts: Vec<String> = serde_json::from_value(expected["texts"].clone()).unwrap();
    let (cosines, clip_scores) = (table(&expected["with_texts"]), table(&expected["torchmetrics"]));
    let pairs = || (0..3).flat_map(|i| (0..3).map(move |t| (i, t)));
    let samples: Vec<Sample> = pairs().map(|(i, t)| sample(&texts[t], Some(&images[i]), &[])).collect();
    // Batches of two: nothing hangs on who shares one.
    let config = ClipScoreConfig { batch: 2, ..ClipScoreConfig::new(fixtures().join("clip"), With::Prompt) };
    for ((i, t), score) in pairs().zip(scores(config, &samples)) {
        close(&score, cosines[i][t]);
        assert!((100.0 * score.value().unwrap().max(0.0) - clip_scores[i][t]).abs() < 2e-3);
    }
}

#[test]
fn clip_i_is_the_mean_cosine_with_the_references() {
    let (images, cosines) = (images(), table(&expected()["with_images"]));
    let config = ClipScoreConfig::new(fixtures().join("clip"), With::References);
    let samples = [
        sample("", Some(&images[0]), &images[1..]),
        sample("", Some(&images[1]), &images[1..2]),
        sample("", Some(&images[1]), &[]),
        sample("", None, &images),
    ];
    let scores = scores(config, &samples);
    close(&scores[0], (cosines[0][1] + cosines[0][2]) / 2.0);
    close(&scores[1], 1.0);
    assert!(matches!(&scores[2], Score::Abstain(why) if why.contains("reference")));
    assert!(matches!(&scores[3], Score::Abstain(why) if why.contains("image")));
}

#[test]
fn the_concept_is_read_by_what_it_is() {
    let (images, cosines) = (images(), table(&expected()["with_texts"]));
    let named = [sample("a photo of a <rex> by the sea", Some(&images[1]), &[])];
    let config = ClipScoreConfig::new(fixtures().join("clip"), With::Prompt);
    close(&scores(config.clone(), &named)[0], cosines[1][0]);
    let as_written = scores(ClipScoreConfig { concept_noun: false, ..config }, &named)[0].value().unwrap();
    assert!((as_written - cosines[1][0]).abs() > 1e-3);
}
