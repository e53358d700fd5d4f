//! A decoder that was published alone becomes a Janus' decoder.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use common::{config, fixture};
use counterpoint::ErrorKind;
use counterpoint_janus::{Janus, KvCache};
use counterpoint_weights::{Precision, WeightFiles, save_tensors};

const DECODER: &str = "model.language_model.";
const IDS: [u32; 5] = [1, 20, 33, 21, 40];

/// The decoder of the fixture under the names of a Llama, in a folder; with a head of its own or none.
fn llama(folder: &Path, tied: bool) {
    let files = WeightFiles::open(&fixture().join("model.safetensors")).unwrap();
    let named = |name: &str| match name.strip_prefix(DECODER) {
        Some(rest) => Some(format!("model.{rest}")),
        None => (name == "lm_head.weight" && !tied).then(|| name.to_owned()),
    };
    let of = files.tensors().iter().filter_map(|t| Some((named(&t.name)?, files.read(&t.name).unwrap())));
    let tensors: Vec<(String, TensorData)> = of.collect();
    save_tensors(&folder.join("model.safetensors"), &tensors, &HashMap::new()).unwrap();
}

fn hidden(model: &Janus) -> Tensor<3> {
    let embedded = model.embed_text(&[IDS.to_vec()], None).unwrap();
    model.forward(embedded, &[vec![true; IDS.len()]], &mut KvCache::default())
}

#[test]
fn its_numbers_are_those_of_the_whole() {
    let device = Device::flex();
    let file = fixture().join("model.safetensors");
    let (whole, _) = config().load(&file, Precision::F32, &device).unwrap();
    let folder = tempfile::tempdir().unwrap();
    llama(folder.path(), false);
    let model = config().init(&device).unwrap().with_language_model(folder.path()).unwrap();
    let (expected, got) = (hidden(&whole), hidden(&model));
    assert_eq!(got.to_data(), expected.to_data());
    assert_eq!(model.text_logits(got).into_data(), whole.text_logits(expected).into_data());
}

#[test]
fn embeddings_are_the_head_where_there_is_none() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    llama(folder.path(), true);
    let model = config().init(&device).unwrap().with_language_model(folder.path()).unwrap();
    let hidden = hidden(&model);
    let ids: Vec<u32> = (0..config().text_config.vocab_size as u32).collect();
    let embeddings = model.embed_text(&[ids], None).unwrap();
    let expected = hidden.clone().matmul(embeddings.swap_dims(1, 2));
    let off = (model.text_logits(hidden) - expected).abs().max().into_scalar::<f32>();
    assert!(off < 1e-4, "{off}");
}

#[test]
fn a_decoder_of_another_size_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    llama(folder.path(), true);
    let mut other = config();
    other.text_config.num_hidden_layers = 4;
    let error = other.init(&Device::flex()).unwrap().with_language_model(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Weights);
    assert!(error.to_string().contains("layers.3."), "{error}");
}
