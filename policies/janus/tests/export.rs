//! What is written is what transformers has, and comes back as it was.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use burn::tensor::{Device, FloatDType, TensorData};
use common::{IDS, fixture, policy};
use counterpoint::registry::BuildContext;
use counterpoint_janus::{JanusConfig, JanusPolicy, KvCache};
use counterpoint_samplers::UnifiedModel;
use counterpoint_weights::WeightFiles;
use serde_json::Value;

fn logits(policy: &JanusPolicy) -> Vec<f32> {
    let model = policy.scored();
    let ids = vec![IDS.bos, 10, 11, 12];
    let embedded = model.embed_text(&[ids], None).unwrap();
    let hidden = model.forward(embedded, &[vec![true; 4]], &mut KvCache::default());
    let text = model.text_logits(hidden.clone()).into_data().try_into_vec::<f32>().unwrap();
    [text, model.code_logits(hidden).into_data().try_into_vec::<f32>().unwrap()].concat()
}

fn tensors(folder: &std::path::Path) -> BTreeMap<String, TensorData> {
    let files = WeightFiles::open(&folder.join("model.safetensors")).unwrap();
    files.tensors().iter().map(|tensor| (tensor.name.clone(), files.read(&tensor.name).unwrap())).collect()
}

#[test]
fn every_tensor_has_its_name_and_its_bits_back() {
    let policy = policy();
    let folder = tempfile::tempdir().unwrap();
    policy.export(folder.path(), None).unwrap();
    let (written, original) = (tensors(folder.path()), tensors(&fixture()));
    assert_eq!(written.keys().collect::<Vec<_>>(), original.keys().collect::<Vec<_>>());
    for (name, data) in &original {
        assert_eq!(&written[name], data, "{name}");
    }
    let context = BuildContext::new(Device::flex(), folder.path());
    let chat = "chat = { about_image = '{image} {question}', question = '{question}', prompt = '{prompt}' }";
    let again = JanusPolicy::from_settings(&format!("weights = '.'\n{chat}").parse().unwrap(), &context).unwrap();
    assert_eq!(logits(&again), logits(&policy));
    assert_eq!(again.generation_prompt("a red hat").unwrap(), policy.generation_prompt("a red hat").unwrap());
}

#[test]
fn a_config_says_what_transformers_wants_to_know() {
    let folder = tempfile::tempdir().unwrap();
    policy().export(folder.path(), Some(FloatDType::BF16)).unwrap();
    let text = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    let written: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(written["model_type"], "janus");
    assert_eq!(written["architectures"][0], "JanusForConditionalGeneration");
    assert_eq!(written["tie_word_embeddings"], false);
    assert_eq!(written["text_config"]["rope_parameters"]["rope_type"], "default");
    let (again, original) = (
        JanusConfig::read(&folder.path().join("config.json")).unwrap(),
        JanusConfig::read(&fixture().join("config.json")).unwrap(),
    );
    assert_eq!(again.text_config.key_heads(), original.text_config.key_heads());
    assert_eq!(again.text_config.rope_base(), original.text_config.rope_base());
    assert_eq!((again.vision_config, again.vq_config), (original.vision_config, original.vq_config));
    assert!(tensors(folder.path()).values().all(|data| data.dtype() == FloatDType::BF16.into()));
}
