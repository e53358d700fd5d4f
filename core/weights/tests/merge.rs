//! Merged weights are the mean, and what does not belong together is refused by name.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::{DType, TensorData};
use counterpoint_weights::{WeightFiles, merge, save_tensors};

fn model(folder: &Path, name: &str, tensors: &[(&str, TensorData)]) -> WeightFiles {
    let path = folder.join(name);
    let tensors: Vec<(String, TensorData)> =
        tensors.iter().map(|(name, data)| ((*name).to_owned(), data.clone())).collect();
    save_tensors(&path, &tensors, &HashMap::from([("format".to_owned(), "pt".to_owned())])).unwrap();
    WeightFiles::open(&path).unwrap()
}

fn floats(values: [f32; 4]) -> TensorData {
    TensorData::new(values.to_vec(), [2, 2])
}

fn ids(value: i64) -> TensorData {
    TensorData::new(vec![value], [1])
}

#[test]
fn every_number_is_the_mean_by_shares() {
    let folder = tempfile::tempdir().unwrap();
    let half = |values| floats(values).convert_dtype(DType::BF16);
    let a = model(
        folder.path(),
        "a.safetensors",
        &[("w", floats([1.0, 2.0, 3.0, -4.0])), ("h", half([1.0; 4])), ("i", ids(7))],
    );
    let b = model(
        folder.path(),
        "b.safetensors",
        &[("w", floats([3.0, 2.0, 5.0, 4.0])), ("h", half([2.0; 4])), ("i", ids(7))],
    );
    let out = folder.path().join("merged.safetensors");
    merge(&[a, b], &[0.25, 0.75], &out).unwrap();
    let merged = WeightFiles::open(&out).unwrap();
    assert_eq!(merged.read("w").unwrap(), floats([2.5, 2.0, 4.5, 2.0]));
    assert_eq!(merged.read("h").unwrap(), half([1.75; 4]));
    assert_eq!(merged.read("i").unwrap(), ids(7));
    assert_eq!(merged.metadata()["format"], "pt");
}

#[test]
fn what_does_not_belong_together_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("merged.safetensors");
    let one = |name: &str, tensors: &[(&str, TensorData)]| model(folder.path(), name, tensors);
    let refused = |a: &[(&str, TensorData)], b: &[(&str, TensorData)], shares: &[f64]| {
        let models = [one("a.safetensors", a), one("b.safetensors", b)];
        let error = merge(&models, shares, &out).unwrap_err().to_string();
        assert!(!out.exists(), "nothing is half written");
        error
    };
    let (w, other) = (("w", floats([1.0; 4])), ("w", TensorData::new(vec![1.0_f32; 4], [4])));
    let halves = [0.5, 0.5];
    assert!(refused(std::slice::from_ref(&w), &[other], &halves).contains("w: [4] is not [2, 2]"));
    assert!(
        refused(&[w.clone(), ("x", ids(1))], std::slice::from_ref(&w), &halves)
            .contains("x: the second has no such tensor")
    );
    assert!(
        refused(std::slice::from_ref(&w), &[w.clone(), ("x", ids(1))], &halves)
            .contains("x: the first has no such tensor")
    );
    assert!(refused(&[("x", ids(1))], &[("x", ids(2))], &halves).contains("no float"));
    assert!(refused(std::slice::from_ref(&w), std::slice::from_ref(&w), &[0.5, 0.6]).contains("sum to 1"));
    assert!(refused(std::slice::from_ref(&w), std::slice::from_ref(&w), &[f64::NAN, 0.5]).contains("sum to 1"));
    assert!(refused(std::slice::from_ref(&w), std::slice::from_ref(&w), &[1.0]).contains("a share for each"));
    assert!(merge(&[one("a.safetensors", &[w])], &[1.0], &out).unwrap_err().to_string().contains("two models"));
}
