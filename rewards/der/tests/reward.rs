//! DER on a tower with random weights.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use counterpoint::registry::{self, BuildContext};
use counterpoint::{Reward, Sample, Score};
use counterpoint_der::DerConfig;
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
        image_size: 16,
        patch_size: 8,
        ..Dinov2Config::default()
    };
    config.init(&Device::flex()).unwrap().save(&config, dir).unwrap();
    let size = Size::Exact { height: 16, width: 16 };
    ImageProcessorConfig { size, ..Default::default() }.write(dir).unwrap();
}

fn picture(red: u8) -> Arc<RgbImage> {
    Arc::new(RgbImage::from_fn(20, 24, |x, y| Rgb([red, (x * 12) as u8, 255 - (y * 10) as u8])))
}

fn sample(image: Option<Arc<RgbImage>>, references: Vec<Arc<RgbImage>>) -> Sample {
    Sample {
        candidate: 0,
        class: "person".into(),
        prompt: String::new(),
        response: String::new(),
        image,
        references,
        params: json!({}).into(),
    }
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
    let context = BuildContext { device: Device::flex(), base: dir.path().into() };
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
