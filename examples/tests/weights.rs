//! The weights example on files that torch wrote.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The example that cargo builds along with the tests.
fn weights(arguments: &[&str]) -> Output {
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().and_then(Path::parent).unwrap();
    let example = target.join("examples").join(format!("weights{}", std::env::consts::EXE_SUFFIX));
    Command::new(example).args(arguments).output().unwrap()
}

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/fixtures/weights");
    folder.join(name).display().to_string()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn place(folder: &tempfile::TempDir, name: &str) -> (PathBuf, String) {
    let path = folder.path().join(name);
    let text = path.display().to_string();
    (path, text)
}

#[test]
fn inspect_gives_the_statistics_that_torch_gives() {
    let text = std::fs::read(fixture("numbers.json")).unwrap();
    let expected: BTreeMap<String, (Option<f64>, Option<f64>, u64)> = serde_json::from_slice(&text).unwrap();
    let output = weights(&["inspect", &fixture("numbers.pt"), "--json"]);
    assert!(output.status.success(), "{}", err(&output));
    let object = json(&output);
    let tensors = object["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), expected.len());
    let close = |got: &serde_json::Value, expected: Option<f64>| match (got.as_f64(), expected) {
        (None, None) => true,
        (Some(got), Some(expected)) => (got - expected).abs() <= 1e-12 * expected.abs().max(1.0),
        _ => false,
    };
    for (tensor, (name, (mean, std, non_finite))) in tensors.iter().zip(&expected) {
        assert_eq!(tensor["name"], **name);
        assert!(close(&tensor["mean"], *mean), "{tensor} {mean:?}");
        assert!(close(&tensor["std"], *std), "{tensor} {std:?}");
        assert_eq!(tensor["non_finite"], *non_finite, "{name}");
    }
    assert_eq!(object["non_finite"], 5);
}

#[test]
fn inspect_prints_a_table_with_the_columns_under_each_other() {
    let output = weights(&["inspect", &fixture("state.pt")]);
    let text = out(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with("state.pt (torch.save)"));
    assert!(lines[1].starts_with("tensor ") && lines[1].ends_with("non-finite"));
    assert!(lines[2].starts_with("bf16 ") && lines[2].contains("[5]") && lines[2].contains("bf16"));
    let table = &lines[1..lines.len() - 1];
    assert_eq!(table.len(), 14);
    assert!(table.iter().all(|line| line.len() == lines[1].len()), "{text}");
    assert!(lines[lines.len() - 1].starts_with("13 tensors, "), "{text}");
    let text = out(&weights(&["inspect", &fixture("nested.ckpt")]));
    assert!(text.contains("note: the model is under \"state_dict\""), "{text}");
}

#[test]
fn a_converted_file_is_no_different_and_a_cast_one_only_within_a_tolerance() {
    let folder = tempfile::tempdir().unwrap();
    let (_, same) = place(&folder, "same.safetensors");
    let (_, half) = place(&folder, "half.bpk");
    let original = fixture("state.pt");
    assert!(weights(&["convert", &original, &same]).status.success());
    let output = weights(&["diff", &original, &same]);
    assert_eq!(
        (output.status.code(), out(&output).trim()),
        (Some(0), "13 tensors equal, 0 different, 0 only in A, 0 only in B")
    );

    assert!(weights(&["convert", &original, &half, "--dtype", "bf16"]).status.success());
    let output = weights(&["diff", &original, &half]);
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("[2, 3] f32") && out(&output).contains("[2, 3] bf16"), "{}", out(&output));
    assert_eq!(weights(&["diff", &original, &half, "--tolerance", "0.02"]).status.code(), Some(0));
    assert_eq!(weights(&["diff", &original, &half, "--tolerance", "0.00001"]).status.code(), Some(1));
}

#[test]
fn diff_names_what_only_one_file_has_and_how_far_numbers_are_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (_, renamed) = place(&folder, "renamed.pt");
    let original = fixture("state.pt");
    let output =
        weights(&["convert", &original, &renamed, "--rename", "^shared\\.(.)$=common.$1", "--rename", "^u8$=u9"]);
    assert!(output.status.success(), "{}", err(&output));
    let output = weights(&["diff", &original, &renamed, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let different = json(&output)["different"].clone();
    let names: Vec<&str> = different.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["common.a", "common.b", "shared.a", "shared.b", "u8", "u9"]);
    assert!(different[0]["a"].is_null() && different[2]["b"].is_null());
    assert!(
        out(&weights(&["diff", &original, &renamed]))
            .ends_with("10 tensors equal, 0 different, 3 only in A, 3 only in B\n")
    );

    // Tensors "tensor" of [6, 4], [2, 4] and [3, 4]: shapes are compared before numbers are.
    let output = weights(&["diff", &fixture("transposed.pt"), &fixture("parameter.pt")]);
    assert!(out(&output).contains("[6, 4] f32") && out(&output).contains("[2, 4] f32"), "{}", out(&output));
    let (path, other) = place(&folder, "other.safetensors");
    assert!(weights(&["convert", &fixture("parameter.pt"), &other]).status.success());
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 4;
    let last = f32::from_le_bytes(bytes[at..].try_into().unwrap());
    bytes[at..].copy_from_slice(&(last + 0.5).to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let output = weights(&["diff", &fixture("parameter.pt"), &other, "--json"]);
    let absolute = json(&output)["different"][0]["difference"][0].as_f64().unwrap();
    assert!((absolute - 0.5).abs() < 1e-6, "{absolute}");
}

#[test]
fn nothing_is_overwritten_unasked_and_errors_say_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let (path, there) = place(&folder, "there.safetensors");
    std::fs::write(&path, "mine").unwrap();
    let original = fixture("state.pt");
    let output = weights(&["convert", &original, &there]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("there.safetensors exists"), "{}", err(&output));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    assert!(weights(&["convert", &original, &there, "--force"]).status.success());
    assert_eq!(weights(&["diff", &original, &there]).status.code(), Some(0));

    let output = weights(&["inspect", &fixture("malicious.pt")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("refused"), "{}", err(&output));
    let output = weights(&["convert", &original, &there, "--rename", "nothing"]);
    assert!(err(&output).contains("expected REGEX=TEXT"), "{}", err(&output));
    let output = weights(&["diff", &original, &there, "--tolerance", "-1"]);
    assert!(!output.status.success());
}
