//! The numbers of others' code, images, and folders of tiny networks.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use counterpoint::{Sample, Task};
use image::RgbImage;
use serde_json::Value;

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// What the towers' tests have.
pub fn towers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../encoders/tests/fixtures")
}

pub fn expected() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixtures().join("expected.json")).unwrap()).unwrap()
}

pub fn strings(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

pub fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

pub fn images() -> Vec<Arc<RgbImage>> {
    let open = |name: &String| image::open(towers().join("preprocess").join(name)).unwrap().into_rgb8();
    strings(&expected()["images"]).iter().map(|name| Arc::new(open(name))).collect()
}

/// `tower` of the towers' tests, with the vocabulary and image settings of these.
pub fn folder(tower: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let parts = [towers().join(tower), fixtures().join("text")];
    for (part, name) in
        [(0, "config.json"), (0, "model.safetensors"), (1, "vocab.txt"), (1, "preprocessor_config.json")]
    {
        std::fs::copy(parts[part].join(name), folder.path().join(name)).unwrap();
    }
    folder
}

pub fn sample(prompt: &str, image: Option<&Arc<RgbImage>>, references: &[Arc<RgbImage>]) -> Sample {
    let params = serde_json::json!({"concept": "<rex>", "noun": "dog"});
    let task = Task::new(0, "").with_references(references.to_vec()).with_params(params);
    Sample::new(&task, 0, prompt.to_owned(), String::new(), image.map(Arc::clone))
}

pub fn close(got: f64, expected: f64, what: &str) {
    assert!((got - expected).abs() < 1e-5, "{what}: {got} and {expected}");
}
