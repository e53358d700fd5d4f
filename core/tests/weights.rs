//! Weight files that do not fit are refused by tensor name, and nothing is half loaded.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::Device;
use counterpoint::ErrorKind;
use counterpoint::weights::{load_safetensors, save_safetensors};

#[derive(Module, Debug)]
struct Model {
    project: Linear,
    norm: LayerNorm,
}

fn model(inputs: usize, outputs: usize) -> Model {
    let device = Device::flex();
    Model {
        project: LinearConfig::new(inputs, outputs).init(&device),
        norm: LayerNormConfig::new(outputs).init(&device),
    }
}

#[derive(Module, Debug)]
struct Bare {
    project: Linear,
}

fn save(module: &impl Module, path: &Path) {
    save_safetensors(module, path, &HashMap::from([("format".to_owned(), "pt".to_owned())]), None).unwrap();
}

fn numbers(model: &Model) -> Vec<f32> {
    model.project.weight.val().into_data().iter::<f32>().collect()
}

#[test]
fn a_file_has_the_names_and_layout_of_pytorch_and_loads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let saved = model(3, 2);
    save(&saved, &path);
    let bytes = std::fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut names = tensors.names();
    names.sort();
    assert_eq!(names, ["norm.bias", "norm.weight", "project.bias", "project.weight"]);
    assert_eq!(tensors.tensor("project.weight").unwrap().shape(), [2, 3], "[out, in], as PyTorch stores it");
    let mut loaded = model(3, 2);
    load_safetensors(&mut loaded, &path, &[], &[]).unwrap();
    assert_eq!(numbers(&loaded), numbers(&saved));
}

#[test]
fn a_wrong_shape_is_refused_with_name_expected_and_got_and_nothing_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    save(&model(3, 5), &path);
    let mut module = model(3, 2);
    let before = numbers(&module);
    let error = load_safetensors(&mut module, &path, &[], &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Weights);
    let text = error.to_string();
    for part in ["model.safetensors", "project.weight", "expected shape", "2", "got", "5"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(numbers(&module), before);
}

#[test]
fn missing_and_unexpected_tensors_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (full, bare) = (folder.path().join("full.safetensors"), folder.path().join("bare.safetensors"));
    let small = Bare { project: LinearConfig::new(3, 2).init(&Device::flex()) };
    save(&small, &bare);
    save(&model(3, 2), &full);
    let text = load_safetensors(&mut model(3, 2), &bare, &[], &[]).unwrap_err().to_string();
    assert!(text.contains("missing") && text.contains("norm.") && !text.contains("unexpected"), "{text}");
    let text = load_safetensors(&mut small.clone(), &full, &[], &[]).unwrap_err().to_string();
    assert!(text.contains("unexpected: norm.") && !text.contains("missing"), "{text}");
    load_safetensors(&mut small.clone(), &full, &[], &["norm."]).unwrap();
}

#[test]
fn a_truncated_file_is_refused_by_name_at_whatever_byte_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    save(&model(3, 2), &path);
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 4, 20, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let mut module = model(3, 2);
        let before = numbers(&module);
        let error = load_safetensors(&mut module, &path, &[], &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Weights);
        let text = error.to_string();
        assert!(text.contains("model.safetensors") && text.contains("truncated"), "{length} bytes: {text}");
        assert_eq!(numbers(&module), before);
    }
    let missing = folder.path().join("nowhere.safetensors");
    let text = load_safetensors(&mut model(3, 2), &missing, &[], &[]).unwrap_err().to_string();
    assert!(text.contains("cannot open") && text.contains("nowhere.safetensors"), "{text}");
}
