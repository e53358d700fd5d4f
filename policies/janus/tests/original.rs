//! The first release's files: the same numbers under other names, in shards, and its own config.
#![allow(clippy::unwrap_used)]

mod common;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use common::{config, fixture};
use counterpoint_janus::{JanusConfig, TextConfig, VisionConfig, VqConfig};
use counterpoint_weights::Precision;
use safetensors::tensor::{Dtype, SafeTensors, View, serialize_to_file};
use serde_json::json;

struct Stored(Vec<usize>, Vec<u8>);

impl View for &Stored {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.0
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.1)
    }

    fn data_len(&self) -> usize {
        self.1.len()
    }
}

/// The fixture's weights as the first release has them, in two shards; `spoil` may change a tensor.
fn release(folder: &Path, spoil: impl Fn(&str, &mut Stored)) {
    let bytes = std::fs::read(fixture().join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let names: BTreeMap<String, Vec<String>> =
        serde_json::from_str(include_str!("fixtures/original_names.json")).unwrap();
    let mut tensors: Vec<(String, Stored)> = Vec::new();
    for (original, parts) in names {
        let views: Vec<_> = parts.iter().map(|part| file.tensor(part).unwrap()).collect();
        let mut shape = views[0].shape().to_vec();
        if original.ends_with("pos_embed") {
            shape.insert(0, 1);
        } else {
            shape[0] *= views.len();
        }
        let mut stored = Stored(shape, views.iter().flat_map(|view| view.data().to_vec()).collect());
        spoil(&original, &mut stored);
        tensors.push((original, stored));
    }
    // What the release has besides.
    tensors.push(("vision_model.vision_tower.attn_pool.q.bias".to_owned(), Stored(vec![1], vec![0; 4])));
    let half = tensors.len() / 2;
    let mut map = BTreeMap::new();
    for (i, shard) in [&tensors[..half], &tensors[half..]].into_iter().enumerate() {
        let name = format!("model-0000{}-of-00002.safetensors", i + 1);
        map.extend(shard.iter().map(|(tensor, _)| (tensor.clone(), name.clone())));
        let views = shard.iter().map(|(name, stored)| (name.clone(), stored));
        serialize_to_file(views, None, &folder.join(&name)).unwrap();
    }
    let index = json!({ "metadata": {}, "weight_map": map });
    std::fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

fn numbers<M: Module>(module: &M) -> BTreeMap<String, Vec<f32>> {
    #[derive(Default)]
    struct Collect(Vec<String>, BTreeMap<String, Vec<f32>>);
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.push(name.to_owned());
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.insert(self.0.join("."), param.val().into_data().iter::<f32>().collect());
        }
    }
    let mut collect = Collect::default();
    module.visit(&mut collect);
    collect.1
}

#[test]
fn its_tensors_are_those_of_transformers() {
    let folder = tempfile::tempdir().unwrap();
    release(folder.path(), |_, _| {});
    let device = Device::flex();
    let (model, tokenizer) = config().load(folder.path(), Precision::F32, &device).unwrap();
    let (expected, expected_tokenizer) =
        config().load(&fixture().join("model.safetensors"), Precision::F32, &device).unwrap();
    assert_eq!(numbers(&model), numbers(&expected));
    assert_eq!(numbers(&tokenizer), numbers(&expected_tokenizer));
}

#[test]
fn what_does_not_fit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    release(folder.path(), |name, stored| {
        if name == "vision_model.vision_tower.blocks.0.attn.qkv.bias" {
            stored.0[0] -= 1;
            stored.1.truncate(4 * stored.0[0]);
        }
    });
    let error = config().load(folder.path(), Precision::F32, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("qkv.bias: expected a multiple of 3 along the first axis"), "{error}");
}

/// `config.json` of deepseek-ai/Janus-Pro-1B, as far as it says sizes.
fn published() -> serde_json::Value {
    json!({
        "aligner_config": { "cls": "MlpProjector", "params": { "depth": 2, "input_dim": 1024, "n_embed": 2048, "projector_type": "mlp_gelu" } },
        "gen_aligner_config": { "params": { "depth": 2, "input_dim": 8, "n_embed": 2048, "projector_type": "mlp_gelu" } },
        "gen_head_config": { "params": { "image_token_embed": 2048, "image_token_size": 16384, "n_embed": 2048 } },
        "gen_vision_config": { "params": { "image_token_size": 16384, "n_embed": 8 } },
        "language_config": {
            "hidden_size": 2048, "intermediate_size": 5632, "max_position_embeddings": 16384, "model_type": "llama",
            "num_attention_heads": 16, "num_hidden_layers": 24, "num_key_value_heads": 16, "torch_dtype": "bfloat16",
            "vocab_size": 102_400
        },
        "vision_config": { "params": { "image_size": 384, "model_name": "siglip_large_patch16_384", "select_feature": "same", "select_layer": -1 } }
    })
}

#[test]
fn its_config_says_what_transformers_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, published().to_string()).unwrap();
    let error = JanusConfig::read(&path).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
    let added = [(100_002, "<\u{ff5c}\u{2581}pad\u{2581}\u{ff5c}>"), (100_581, "<image_placeholder>")]
        .map(|(id, content)| json!({ "id": id, "content": content }));
    std::fs::write(folder.path().join("tokenizer.json"), json!({ "added_tokens": added }).to_string()).unwrap();
    let config = JanusConfig::read(&path).unwrap();
    // deepseek-community/Janus-Pro-1B's.
    let text = TextConfig {
        num_key_value_heads: Some(16),
        pad_token_id: Some(100_002),
        max_position_embeddings: 16384,
        ..TextConfig::default()
    };
    assert_eq!((config.image_token_id, config.text_config), (100_581, text));
    assert_eq!(config.vision_config, VisionConfig { projection_dim: 2048, depth: 2, ..VisionConfig::default() });
    let vq = VqConfig { projection_dim: 2048, image_token_embed_dim: 2048, num_patches: 24, ..VqConfig::default() };
    assert_eq!(config.vq_config, vq);
    let mut other = published();
    other["vision_config"]["params"]["model_name"] = json!("siglip_so400m_patch14_384");
    std::fs::write(&path, other.to_string()).unwrap();
    let error = JanusConfig::read(&path).unwrap_err().to_string();
    assert!(error.contains("model_name: expected siglip_large_patch16_384"), "{error}");
}
