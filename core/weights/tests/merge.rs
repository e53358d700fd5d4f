//! Merged weights are the mean, and what does not belong together is refused by name.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::{DType, TensorData};
use counterpoint_weights::{Shares, WeightFiles, merge, save_tensors};

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
    merge(&[a, b], Shares::Given(&[0.25, 0.75]), &out).unwrap();
    let merged = WeightFiles::open(&out).unwrap();
    assert_eq!(merged.read("w").unwrap(), floats([2.5, 2.0, 4.5, 2.0]));
    assert_eq!(merged.read("h").unwrap(), half([1.75; 4]));
    assert_eq!(merged.read("i").unwrap(), ids(7));
    assert_eq!(merged.metadata()["format"], "pt");
}

#[test]
fn what_moved_least_counts_most() {
    let folder = tempfile::tempdir().unwrap();
    let named = |name: &str, w: [f32; 4], v: [f32; 4]| {
        model(folder.path(), name, &[("w", floats(w)), ("v", floats(v)), ("i", ids(7))])
    };
    let base = named("base.safetensors", [1.0; 4], [2.0; 4]);
    // Changes of w have norms 1 and 3; of v the first model learned nothing.
    let a = named("a.safetensors", [2.0, 1.0, 1.0, 1.0], [2.0; 4]);
    let b = named("b.safetensors", [1.0, 4.0, 1.0, 1.0], [2.0, 2.0, 2.0, 6.0]);
    let models = [a, b];
    let out = folder.path().join("merged.safetensors");
    let merged = |base| {
        merge(&models, Shares::InverseNorm { base }, &out).unwrap();
        let merged = WeightFiles::open(&out).unwrap();
        ["w", "v"].map(|name| merged.read(name).unwrap().try_into_vec::<f32>().unwrap())
    };
    assert_eq!(merged(Some(&base)), [vec![1.75, 1.75, 1.0, 1.0], vec![2.0, 2.0, 2.0, 6.0]]);
    // By hand: norms sqrt(7) and sqrt(19), 4 and sqrt(48).
    let [w, v] = merged(None);
    let near = |got: f32, expected: f64| assert!((f64::from(got) - expected).abs() < 1e-6, "{got} {expected}");
    near(w[0], 1.0 + 7.0_f64.sqrt().recip() / (7.0_f64.sqrt().recip() + 19.0_f64.sqrt().recip()));
    near(v[3], 2.0 + 4.0 * 48.0_f64.sqrt().recip() / (0.25 + 48.0_f64.sqrt().recip()));
    let other = model(folder.path(), "other.safetensors", &[("w", floats([1.0; 4])), ("i", ids(7))]);
    let error = merge(&models, Shares::InverseNorm { base: Some(&other) }, &out).unwrap_err().to_string();
    assert!(error.contains("other.safetensors: v: the second has no such tensor"), "{error}");
}

#[test]
fn what_does_not_belong_together_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("merged.safetensors");
    let one = |name: &str, tensors: &[(&str, TensorData)]| model(folder.path(), name, tensors);
    let refused = |a: &[(&str, TensorData)], b: &[(&str, TensorData)], shares: &[f64]| {
        let models = [one("a.safetensors", a), one("b.safetensors", b)];
        let error = merge(&models, Shares::Given(shares), &out).unwrap_err().to_string();
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
    assert!(
        merge(&[one("a.safetensors", &[w])], Shares::Given(&[1.0]), &out)
            .unwrap_err()
            .to_string()
            .contains("two models")
    );
}
