//! Folders in the published layout, and what torch computed with them.
#![allow(dead_code)] // each test file uses some of it

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use counterpoint::Result;
use counterpoint_showo::{ConceptFiles, ModelFiles, Showo, ShowoPolicy};
use counterpoint_weights::WeightFiles;
use serde_json::Value;

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A folder with a checkpoint, a language model's files and an image tokenizer as they are published.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn published() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for name in ["phi-1_5", "magvitv2"] {
            std::fs::create_dir(folder.path(name)).unwrap();
        }
        for name in ["config.json", "pytorch_model.bin", "phi-1_5/config.json"] {
            std::fs::copy(fixtures().join("published_tiny").join(name), folder.path(name)).unwrap();
        }
        folder.copy_tokenizer("phi-1_5");
        let magvit = fixtures().join("showo_tiny/magvitv2.safetensors");
        std::fs::copy(magvit, folder.path("magvitv2/model.safetensors")).unwrap();
        folder
    }

    pub fn copy_tokenizer(&self, to: &str) {
        for name in ["vocab.json", "merges.txt", "added_tokens.json"] {
            std::fs::copy(fixtures().join("phi_tokenizer").join(name), self.path(to).join(name)).unwrap();
        }
    }

    pub fn device() -> Device {
        Device::flex()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn load(&self) -> Result<ShowoPolicy> {
        ShowoPolicy::load(self.0.path(), &Self::device())
    }

    /// The folder's files and those of the concept `<bo>`.
    pub fn with_bo(&self) -> ModelFiles {
        let mut files = ModelFiles::in_folder(self.0.path()).unwrap();
        files.concepts.push(ConceptFiles {
            name: "bo".into(),
            files: fixtures().join("published_tiny"),
            epoch: 15,
            understanding: 16,
            generation: 8,
            perception: 0,
        });
        files
    }

    /// Overwrites keys of a JSON file.
    pub fn change(&self, name: &str, keys: &Value) {
        let path = self.path(name);
        let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        file.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        std::fs::write(&path, file.to_string()).unwrap();
    }
}

/// The numbers of torch.
pub struct Expected(WeightFiles);

impl Expected {
    pub fn open() -> Self {
        Self(WeightFiles::open(&fixtures().join("published_tiny/expected.safetensors")).unwrap())
    }

    pub fn data(&self, key: &str) -> TensorData {
        self.0.read(key).unwrap()
    }

    pub fn tensor<const D: usize>(&self, key: &str) -> Tensor<D> {
        Tensor::from_data(self.data(key), &Folder::device())
    }

    pub fn ids(&self, key: &str) -> Tensor<2, Int> {
        Tensor::from_data(self.data(key), &Folder::device())
    }

    #[track_caller]
    pub fn assert_close<const D: usize>(&self, key: &str, got: Tensor<D>) {
        let expected = self.tensor::<D>(key);
        assert_eq!(got.dims(), expected.dims(), "{key}");
        let scale = expected.clone().abs().max().into_scalar::<f32>();
        let worst = (got - expected).abs().max().into_scalar::<f32>();
        assert!(worst <= 1e-5 * scale, "{key}: off by {worst}, largest value {scale}");
    }
}

pub fn bits(data: &TensorData) -> (Vec<usize>, Vec<u8>) {
    (data.shape().to_vec(), data.as_bytes().to_vec())
}

pub fn decoder(policy: &ShowoPolicy) -> Showo {
    policy.decoder().valid()
}

pub fn causal(length: usize) -> Tensor<3, Bool> {
    let allowed: Vec<bool> = (0..length * length).map(|at| at % length <= at / length).collect();
    Tensor::from_data(TensorData::new(allowed, [1, length, length]), &Folder::device())
}

/// Causal logits of the last three positions.
pub fn last_logits(policy: &ShowoPolicy, ids: Tensor<2, Int>) -> Tensor<2> {
    let (model, length) = (decoder(policy), ids.dims()[1]);
    let hidden = model.forward(ids, causal(length)).narrow(1, length - 3, 3);
    model.logits(hidden).squeeze_dim::<2>(0)
}

/// Shapes of a module's parameters by the names that PyTorch gives them; nothing is initialised for it.
#[derive(Default)]
pub struct Shapes(pub BTreeMap<String, Vec<usize>>, Vec<(String, String)>);

impl ModuleVisitor for Shapes {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.1.push((name.to_owned(), container.to_owned()));
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.1.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let mut shape = param.lazy_shape().to_vec();
        let names: Vec<&str> = self.1.iter().map(|(name, _)| name.as_str()).collect();
        if self.1.iter().any(|(_, container)| container.ends_with("Linear")) && shape.len() == 2 {
            shape.reverse();
        }
        let name = names.join(".").replace("gamma", "weight").replace("beta", "bias");
        self.0.insert(name, shape);
    }
}
