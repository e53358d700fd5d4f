//! The parity example on the golden fixture, and on one that lies.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The example that cargo builds along with the tests.
fn parity(what: &str, folder: &Path) -> Output {
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().and_then(Path::parent).unwrap();
    let example = target.join("examples").join(format!("parity{}", std::env::consts::EXE_SUFFIX));
    Command::new(example).arg(what).arg(folder).output().unwrap()
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/showo/tests/fixtures/showo_tiny")
}

fn summary(output: &Output) -> serde_json::Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn the_golden_fixture_passes_in_every_quantity() {
    let output = parity("showo", &fixture());
    let summary = summary(&output);
    assert!(output.status.success(), "{summary}");
    assert_eq!(summary["ok"], true);
    assert!(summary["quantities"].as_array().unwrap().len() > 25);
}

#[test]
fn janus_passes_in_every_quantity() {
    let output =
        parity("janus", &Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/janus/tests/fixtures/janus_tiny"));
    let summary = summary(&output);
    assert!(output.status.success(), "{summary}");
    assert_eq!(summary["quantities"].as_array().unwrap().len(), 62);
}

#[test]
fn one_wrong_number_fails_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "showo.safetensors", "magvitv2.safetensors", "expected.safetensors"] {
        std::fs::copy(fixture().join(file), folder.path().join(file)).unwrap();
    }
    let path = folder.path().join("expected.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let start = {
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let loss = tensors.tensor("grpo.loss").unwrap().data().as_ptr() as usize;
        loss - bytes.as_ptr() as usize
    };
    bytes[start..start + 4].copy_from_slice(&2.05_f32.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let output = parity("showo", folder.path());
    assert_eq!(output.status.code(), Some(1));
    let failed = summary(&output)["failed"].clone();
    assert!(failed.as_array().unwrap().iter().all(|name| name.as_str().unwrap().starts_with("grpo.loss")), "{failed}");
    assert!(!failed.as_array().unwrap().is_empty());
}

#[test]
fn a_folder_without_the_files_says_which_one_is_missing() {
    let output = parity("showo", Path::new("nowhere"));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("expected.safetensors"));
}

#[test]
fn every_tower_passes_on_its_fixture() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rewards/encoders/tests/fixtures");
    let towers = [
        ("bert", "bert", 2),
        ("ernie", "ernie", 2),
        ("clip", "clip", 3),
        ("dinov2", "dinov2", 3),
        ("dinov2", "dinov2_swiglu", 3),
        ("dinov2", "dinov2_registers", 2),
        ("blip2", "blip2", 4),
        ("captioner", "captioner", 3),
        ("mtcnn", "mtcnn", 4),
        ("facenet", "facenet", 2),
    ];
    for (tower, folder, outputs) in towers {
        let output = parity(tower, &fixtures.join(folder));
        let summary = summary(&output);
        assert!(output.status.success(), "{folder}: {summary} {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(summary["quantities"].as_array().unwrap().len(), outputs, "{folder}");
    }
    // The weights of another tower.
    let output = parity("bert", &fixtures.join("dinov2"));
    assert_eq!(output.status.code(), Some(1));
}
