//! Weight files that do not fit are refused by tensor name, and nothing is half loaded.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::{Module, Param, ParamId};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{DType, Device, FloatDType, Shape, Tensor, TensorData};
use counterpoint::ErrorKind;
use counterpoint_weights::{
    ConvertOptions, LoadOptions, WeightFiles, load, load_safetensors, save_safetensors, save_tensors,
};

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
    for part in ["model.safetensors", "project.weight (expected shape [2, 3], got [5, 3])", "norm.bias"] {
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
    assert!(text.contains("missing: norm.bias (expected shape [2]), norm.weight"), "{text}");
    assert!(!text.contains("unexpected"), "{text}");
    let text = load_safetensors(&mut small.clone(), &full, &[], &[]).unwrap_err().to_string();
    assert!(text.contains("unexpected: norm.bias (got shape [2])") && !text.contains("missing"), "{text}");
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

/// The module's tensors as a file holds them.
fn tensors_of(model: &Model, folder: &Path) -> Vec<(String, TensorData)> {
    let path = folder.join("tensors.safetensors");
    save(model, &path);
    let files = WeightFiles::open(&path).unwrap();
    files.tensors().iter().map(|info| (info.name.clone(), files.read(&info.name).unwrap())).collect()
}

#[test]
fn a_module_is_loaded_from_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let saved = model(3, 2);
    let path = folder.path().join("model.safetensors");
    save(&saved, &path);
    for name in ["model.pt", "model.bpk", "copy.safetensors"] {
        let to = folder.path().join(name);
        WeightFiles::open(&path).unwrap().convert(&to, &ConvertOptions::default()).unwrap();
        let mut loaded = model(3, 2);
        load(&mut loaded, &WeightFiles::open(&to).unwrap(), &LoadOptions::default()).unwrap();
        assert_eq!(numbers(&loaded), numbers(&saved), "{name}");
    }
}

/// A file that burn itself wrote has burn's layout, also after a detour.
#[test]
fn a_burnpack_of_burn_keeps_its_layout() {
    use burn::store::{BurnpackStore, ModuleSnapshot};
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("burn.bpk"), folder.path().join("copy.safetensors"));
    let saved = model(3, 2);
    saved.save_into(&mut BurnpackStore::from_file(&path)).unwrap();
    let files = WeightFiles::open(&path).unwrap();
    assert_eq!(files.tensors()[0].name, "norm.beta");
    files.convert(&copy, &ConvertOptions::default()).unwrap();
    for path in [&path, &copy] {
        let mut loaded = model(3, 2);
        load(&mut loaded, &WeightFiles::open(path).unwrap(), &LoadOptions::default()).unwrap();
        assert_eq!(numbers(&loaded), numbers(&saved));
    }
    let error = files.convert(&folder.path().join("copy.pt"), &ConvertOptions::default()).unwrap_err();
    assert!(error.to_string().contains("burn's layout"), "{error}");
}

#[test]
fn numbers_are_cast_on_the_way_in_and_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.safetensors");
    let saved = model(3, 2);
    save_safetensors(&saved, &path, &HashMap::new(), Some(FloatDType::BF16)).unwrap();
    let files = WeightFiles::open(&path).unwrap();
    assert!(files.tensors().iter().all(|info| info.dtype == DType::BF16));
    let rounded: Vec<f32> = numbers(&saved).into_iter().map(bf16).collect();
    for (dtype, expected) in
        [(None, DType::BF16), (Some(FloatDType::F32), DType::F32), (Some(FloatDType::F16), DType::F16)]
    {
        let mut loaded = model(3, 2);
        load(&mut loaded, &files, &LoadOptions { dtype, ..LoadOptions::default() }).unwrap();
        assert_eq!(loaded.project.weight.val().dtype(), expected);
        assert_eq!(loaded.norm.gamma.val().dtype(), expected);
        assert_eq!(numbers(&loaded), rounded, "these numbers are exact in {expected:?}");
    }
}

#[test]
fn what_is_not_finite_is_refused_by_name_and_count_and_nothing_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut tensors = tensors_of(&model(3, 2), folder.path());
    let weight = tensors.iter_mut().find(|(name, _)| name == "project.weight").unwrap();
    weight.1 = TensorData::new(vec![1.0, f32::NAN, 2.0, f32::INFINITY, 1e30, 3.0], [2, 3]);
    save_tensors(&path, &tensors, &HashMap::new()).unwrap();
    let files = WeightFiles::open(&path).unwrap();
    let mut module = model(3, 2);
    let before = numbers(&module);
    let error = load(&mut module, &files, &LoadOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Weights);
    let text = error.to_string();
    assert!(text.contains("project.weight") && text.contains("2 of 6 numbers are not finite"), "{text}");
    assert_eq!(numbers(&module), before);
    let how = LoadOptions { dtype: Some(FloatDType::F16), ..LoadOptions::default() };
    let text = load(&mut module, &files, &how).unwrap_err().to_string();
    assert!(text.contains("3 of 6 numbers are not finite"), "1e30 is none in f16: {text}");
    load(&mut module, &files, &LoadOptions { reject_non_finite: false, ..LoadOptions::default() }).unwrap();
    assert!(numbers(&module)[2].is_nan(), "the NaN, [0, 1] in the file, [1, 0] here");
}

#[test]
fn integers_are_no_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut tensors = tensors_of(&model(3, 2), folder.path());
    tensors[0].1 = TensorData::new(vec![1_i64, 2], [2]);
    save_tensors(&path, &tensors, &HashMap::new()).unwrap();
    let text = load_safetensors(&mut model(3, 2), &path, &[], &[]).unwrap_err().to_string();
    assert!(text.contains("norm.bias (expected Float numbers, got I64)"), "{text}");
}

/// Any single bit of the header: the file is refused, or it does not fit.
#[test]
fn a_flipped_bit_in_the_header_never_loads() {
    let folder = tempfile::tempdir().unwrap();
    let (path, damaged) = (folder.path().join("model.safetensors"), folder.path().join("damaged.safetensors"));
    let mut module = Bare { project: LinearConfig::new(3, 2).init(&Device::flex()) };
    save_safetensors(&module, &path, &HashMap::new(), None).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let padding = whole[..header].iter().rev().take_while(|byte| **byte == b' ').count();
    let mut file = std::fs::File::create(&damaged).unwrap();
    file.write_all(&whole).unwrap();
    for bit in 0..(header - padding) * 8 {
        let (at, byte) = (bit / 8, whole[bit / 8]);
        put(&mut file, at, byte ^ (1 << (bit % 8)));
        let error = load_safetensors(&mut module, &damaged, &[], &[]).expect_err(&format!("bit {bit}"));
        assert!(error.to_string().contains("damaged.safetensors"), "{error}");
        put(&mut file, at, byte);
    }
}

/// One byte of a file, in place: much quicker than the whole file.
fn put(file: &mut std::fs::File, at: usize, byte: u8) {
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(&[byte]).unwrap();
}

/// A parameter that tells how often its initial value was computed.
fn counting(count: &Arc<AtomicUsize>) -> Model {
    let (device, mut model, count) = (Device::flex(), model(3, 2), Arc::clone(count));
    let init = move |device: &Device, _: bool| {
        count.fetch_add(1, Ordering::SeqCst);
        Tensor::zeros([3, 2], device)
    };
    model.project.weight = Param::uninitialized(ParamId::new(), init, device, true, Shape::from([3, 2]));
    model
}

#[test]
fn loading_never_computes_initial_values_whether_it_succeeds_or_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (path, wrong) = (folder.path().join("model.safetensors"), folder.path().join("wrong.safetensors"));
    save(&model(3, 2), &path);
    save(&model(3, 4), &wrong);
    let count = Arc::new(AtomicUsize::new(0));
    let mut module = counting(&count);
    load_safetensors(&mut module, &wrong, &[], &[]).unwrap_err();
    assert_eq!(count.load(Ordering::SeqCst), 0);
    load_safetensors(&mut module, &path, &[], &[]).unwrap();
    assert_eq!(numbers(&module).len(), 6);
    assert_eq!(count.load(Ordering::SeqCst), 0);
    assert_eq!(numbers(&counting(&count)), [0.0; 6]);
    assert_eq!(count.load(Ordering::SeqCst), 1, "it counts");
}

/// `x` as bf16, through burn's own cast.
fn bf16(x: f32) -> f32 {
    let data = TensorData::new(vec![x], [1]).convert_dtype(DType::BF16).convert_dtype(DType::F32);
    data.iter::<f32>().next().unwrap()
}
