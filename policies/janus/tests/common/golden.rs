//! A folder of golden numbers of Janus.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use counterpoint_janus::{Janus, JanusConfig, VqTokenizer};
use counterpoint_weights::Precision;
use safetensors::SafeTensors;

/// The folder's model and what is expected of it.
pub struct Golden {
    bytes: Vec<u8>,
    pub config: JanusConfig,
    pub fixture: serde_json::Value,
    pub model: Janus,
    pub tokenizer: VqTokenizer,
}

/// `janus_tiny`, or the folder of the same schema in `COUNTERPOINT_JANUS`.
pub fn folder() -> PathBuf {
    match std::env::var_os("COUNTERPOINT_JANUS") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/janus_tiny"),
    }
}

impl Golden {
    pub fn open() -> Self {
        let folder = folder();
        let config = JanusConfig::read(&folder.join("config.json")).unwrap();
        let device = Device::flex();
        let (model, tokenizer) = config.load(&folder.join("model.safetensors"), Precision::F32, &device).unwrap();
        let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
        let fixture = serde_json::from_str::<serde_json::Value>(&text).unwrap()["fixture"].clone();
        Self { bytes: std::fs::read(folder.join("expected.safetensors")).unwrap(), config, fixture, model, tokenizer }
    }

    pub fn floats<const D: usize>(&self, name: &str) -> Tensor<D> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap_or_else(|_| panic!("{name} is not in the fixture"));
        let values: Vec<f32> = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        Tensor::from_data(TensorData::new(values, view.shape().to_vec()), &Device::flex())
    }

    pub fn rows(&self, name: &str) -> Vec<Vec<u32>> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap();
        let flat: Vec<u32> =
            view.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32).collect();
        flat.chunks(*view.shape().last().unwrap()).map(<[u32]>::to_vec).collect()
    }

    pub fn number(&self, name: &str) -> u32 {
        self.fixture[name].as_f64().unwrap() as u32
    }

    pub fn table(&self, name: &str) -> Vec<Vec<f32>> {
        let tensor: Tensor<2> = self.floats(name);
        let width = tensor.dims()[1];
        tensor.into_data().iter::<f32>().collect::<Vec<_>>().chunks(width).map(<[f32]>::to_vec).collect()
    }

    pub fn numbers(&self, name: &str) -> Vec<f64> {
        self.floats::<1>(name).into_data().iter::<f64>().collect()
    }

    /// Names that begin with `prefix`, without it.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        file.names().into_iter().filter_map(|name| name.strip_prefix(prefix)).map(str::to_owned).collect()
    }
}

/// Within 1e-4 of the expected value, or of the mean magnitude where that is larger.
pub fn close<const D: usize>(name: &str, got: Tensor<D>, expected: Tensor<D>) {
    assert_eq!(got.dims(), expected.dims(), "{name}");
    let (got, expected) = (got.into_data(), expected.into_data());
    let (got, expected): (Vec<f32>, Vec<f32>) = (got.iter().collect(), expected.iter().collect());
    let mean = expected.iter().map(|v| v.abs()).sum::<f32>() / expected.len() as f32;
    for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
        let error = (got - expected).abs() / expected.abs().max(mean);
        assert!(error < 1e-4, "{name}[{i}]: expected {expected}, got {got}");
    }
}
