//! DER on a tower with random weights.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use counterpoint::registry::{self, BuildContext};
use counterpoint::{Reward, Sample, Score, Task};
use counterpoint_der::{DerConfig, Pooling, References};
use counterpoint_encoders::preprocess::Size;
use counterpoint_encoders::{Dinov2Config, ImageProcessorConfig};
use image::{Rgb, RgbImage};
use serde_json::json;

/// Writes a tower with random weights into `dir`.
fn tower(dir: &Path) {
    let config = Dinov2Config {
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        image_size: 32,
        patch_size: 8,
        ..Dinov2Config::default()
    };
    config.init(&Device::flex()).unwrap().save(&config, dir).unwrap();
    let size = Size::Exact { height: 32, width: 32 };
    ImageProcessorConfig { size, ..Default::default() }.write(dir).unwrap();
}

fn picture(red: u8) -> Arc<RgbImage> {
    Arc::new(RgbImage::from_fn(20, 24, |x, y| Rgb([red, (x * 12) as u8, 255 - (y * 10) as u8])))
}

fn sample(image: Option<Arc<RgbImage>>, references: Vec<Arc<RgbImage>>) -> Sample {
    let task = Task::new(0, "").with_class("person").with_references(references).with_params(json!({}));
    Sample::new(&task, 0, String::new(), String::new(), image)
}

#[test]
fn an_image_is_most_like_itself_and_several_references_are_averaged() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path());
    let mut expert = DerConfig { batch: 2, ..DerConfig::new(dir.path()) }.init(&Device::flex()).unwrap();
    let (a, b, c) = (picture(0), picture(130), picture(255));
    let samples = [
        sample(Some(a.clone()), vec![a.clone()]),
        sample(Some(a.clone()), vec![b.clone()]),
        sample(Some(a.clone()), vec![c.clone()]),
        sample(Some(a.clone()), vec![b.clone(), c.clone()]),
        sample(Some(b), vec![a]),
    ];
    let scores: Vec<f64> = expert.score(&samples).unwrap().iter().map(|s| s.value().unwrap()).collect();
    assert!((scores[0] - 1.0).abs() < 1e-5, "{scores:?}");
    assert!(scores[1] < 0.9999 && scores[2] < 0.9999, "{scores:?}");
    assert!((scores[1] - scores[2]).abs() > 1e-5, "{scores:?}");
    assert!((scores[3] - (scores[1] + scores[2]) / 2.0).abs() < 1e-6, "{scores:?}");
    assert!((scores[4] - scores[1]).abs() < 1e-6, "{scores:?}");
    let alone = expert.score(&samples[2..3]).unwrap()[0].value().unwrap();
    assert!((alone - scores[2]).abs() < 1e-5);
}

#[test]
fn what_is_missing_is_abstained_from_and_keeps_its_place() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path());
    let context = BuildContext::new(Device::flex(), dir.path());
    let mut expert = registry::reward("der", &toml::toml! { weights = "." }, &context).unwrap();
    assert_eq!(expert.name(), "der");
    let samples = [
        sample(None, vec![picture(1)]),
        sample(Some(picture(1)), Vec::new()),
        sample(Some(picture(1)), vec![picture(2)]),
        sample(Some(picture(1)), vec![Arc::new(RgbImage::new(3, 0))]),
    ];
    let scores = expert.score(&samples).unwrap();
    assert_eq!(scores[0], Score::Abstain("no image to compare".into()));
    assert_eq!(scores[1], Score::Abstain("no reference image".into()));
    assert!(scores[2].value().is_some());
    assert!(matches!(scores[3], Score::Fail(_)));
    assert!(expert.score(&[]).unwrap().is_empty());
}

/// The files in `folder`.
fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn references_are_embedded_once_and_kept_on_disk_by_content() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path());
    let cache = dir.path().join("cache");
    let config = DerConfig { cache: Some(cache.clone()), ..DerConfig::new(dir.path()) };
    let expert = |config: &DerConfig| config.init(&Device::flex()).unwrap();
    let samples = [
        sample(Some(picture(1)), vec![picture(2), picture(3)]),
        sample(Some(picture(4)), vec![picture(3), Arc::new((*picture(2)).clone())]),
    ];
    let first = expert(&config).score(&samples).unwrap();
    assert_eq!(files(&cache), 2, "one for each distinct reference, none for generated images");
    assert_eq!(first, expert(&DerConfig { cache: None, ..config.clone() }).score(&samples).unwrap());

    // What is on disk is used: numbers put there show.
    assert_eq!(first, expert(&config).score(&samples).unwrap());
    for entry in std::fs::read_dir(&cache).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let start = bytes.len() - 16 * 4;
        bytes[start..].fill(0);
        std::fs::write(&path, bytes).unwrap();
    }
    let spoiled = expert(&config).score(&samples).unwrap();
    assert!(spoiled.iter().all(|s| s.value() == Some(0.0)), "{spoiled:?}");

    // Another way to pool, other weights: other hashes.
    expert(&DerConfig { pooling: Pooling::Foreground, ..config.clone() }).score(&samples).unwrap();
    assert_eq!(files(&cache), 4);
    tower(dir.path());
    let anew = expert(&config).score(&samples).unwrap();
    assert_eq!(files(&cache), 6);
    assert!(anew != first && anew != spoiled);
}

#[test]
fn the_score_of_a_sample_does_not_depend_on_what_was_scored_before() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path());
    let fresh = || DerConfig::new(dir.path()).init(&Device::flex()).unwrap();
    let batch = |k: u8| {
        [sample(Some(picture(k)), vec![picture(200), picture(100)]), sample(Some(picture(9)), vec![picture(k)])]
    };
    let mut resumed = fresh();
    let mut uninterrupted = fresh();
    uninterrupted.score(&batch(1)).unwrap();
    uninterrupted.score(&batch(2)).unwrap();
    let (a, b) = (uninterrupted.score(&batch(3)).unwrap(), resumed.score(&batch(3)).unwrap());
    assert_eq!(a, b, "to the last bit");
}

#[test]
fn the_foreground_is_compared_where_the_settings_say_so() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path());
    let scores = |pooling| {
        let mut expert = DerConfig { pooling, ..DerConfig::new(dir.path()) }.init(&Device::flex()).unwrap();
        let tiny = Arc::new(RgbImage::from_pixel(1, 1, Rgb([9, 8, 7])));
        let long = Arc::new(RgbImage::from_fn(500, 3, |x, _| Rgb([x as u8, 0, 9])));
        let samples = [
            sample(Some(picture(1)), vec![picture(1)]),
            sample(Some(picture(1)), vec![picture(250)]),
            sample(Some(tiny.clone()), vec![tiny]),
            sample(Some(long.clone()), vec![picture(1), long]),
        ];
        expert.score(&samples).unwrap().iter().map(|s| s.value().unwrap()).collect::<Vec<f64>>()
    };
    let (mean, foreground) = (scores(Pooling::Mean), scores(Pooling::Foreground));
    for all in [&mean, &foreground] {
        assert!((all[0] - 1.0).abs() < 1e-5 && (all[2] - 1.0).abs() < 1e-5 && all[1] < 0.9999, "{all:?}");
    }
    assert!((mean[1] - foreground[1]).abs() > 1e-5, "{mean:?} {foreground:?}");
}

#[test]
fn the_settings_choose_which_references_count() {
    let (cosines, none): ([f64; 3], [f64; 0]) = ([0.25, 0.75, -0.25], []);
    assert_eq!(References::Mean.score(&cosines), 0.25);
    assert_eq!(References::Max.score(&cosines), 0.75);
    assert_eq!(References::First.score(References::First.of(&cosines)), 0.25);
    assert!(References::First.of(&none).is_empty());
    for how in [References::Mean, References::Max, References::First] {
        assert!(how.score(&[f64::NAN, 0.5]).is_nan() && how.score(&none).is_nan(), "{how:?}");
    }

    let dir = tempfile::tempdir().unwrap();
    tower(dir.path());
    let context = BuildContext::new(Device::flex(), dir.path());
    let (a, b, c) = (picture(0), picture(130), picture(255));
    let samples = [vec![&b], vec![&c], vec![&b, &c], vec![&c, &b], vec![&b, &a]]
        .map(|references| sample(Some(a.clone()), references.into_iter().cloned().collect()));
    let scores = |table: toml::Table| -> Vec<f64> {
        let mut expert = registry::reward("der", &table, &context).unwrap();
        expert.score(&samples).unwrap().iter().map(|s| s.value().unwrap()).collect()
    };
    let mean = scores(toml::toml! { weights = "." references = "mean" });
    assert_eq!(mean, scores(toml::toml! { weights = "." }), "the default");
    let (first, max) = (
        scores(toml::toml! { weights = "." references = "first" }),
        scores(toml::toml! { weights = "." references = "max" }),
    );
    let (b, c) = (mean[0], mean[1]);
    let near = |got: &[f64], expected: [f64; 5]| {
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "expected {expected:?}, got {got:?}");
    };
    near(&mean, [b, c, (b + c) / 2.0, (b + c) / 2.0, (b + 1.0) / 2.0]);
    near(&first, [b, c, b, c, b]);
    near(&max, [b, c, b.max(c), b.max(c), 1.0]);
    let error = registry::reward("der", &toml::toml! { weights = "." references = "all" }, &context).err().unwrap();
    assert!(format!("{error:#}").contains("known: mean, max, first"), "{error:#}");

    // The others are not even embedded.
    let cache = dir.path().join("cache");
    let config = DerConfig { references: References::First, cache: Some(cache.clone()), ..DerConfig::new(dir.path()) };
    config.init(&Device::flex()).unwrap().score(&samples[2..3]).unwrap();
    assert_eq!(files(&cache), 1);
}
