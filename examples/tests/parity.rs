//! The parity example on the golden fixture, and on one that lies.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The example that cargo builds along with the tests.
fn parity(folder: &Path) -> Output {
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().and_then(Path::parent).unwrap();
    let example = target.join("examples").join(format!("parity{}", std::env::consts::EXE_SUFFIX));
    Command::new(example).arg("showo").arg(folder).output().unwrap()
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
    let output = parity(&fixture());
    let summary = summary(&output);
    assert!(output.status.success(), "{summary}");
    assert_eq!(summary["ok"], true);
    assert!(summary["quantities"].as_array().unwrap().len() > 25);
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
    let output = parity(folder.path());
    assert_eq!(output.status.code(), Some(1));
    let failed = summary(&output)["failed"].clone();
    assert!(failed.as_array().unwrap().iter().all(|name| name.as_str().unwrap().starts_with("grpo.loss")), "{failed}");
    assert!(!failed.as_array().unwrap().is_empty());
}

#[test]
fn a_folder_without_the_files_says_which_one_is_missing() {
    let output = parity(Path::new("nowhere"));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("expected.safetensors"));
}
