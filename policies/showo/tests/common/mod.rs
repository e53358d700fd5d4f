//! The tiny fixture as a policy, and numbers that torch computed on it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use counterpoint::{Learner, OptimizerConfig, Segment, Trajectory};
use counterpoint_showo::{LoraConfig, Showo, ShowoConfig, ShowoPolicy, Trainable};
use safetensors::{Dtype, SafeTensors};

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub fn config() -> ShowoConfig {
    ShowoConfig::load(&fixture("showo_tiny/config.json")).unwrap()
}

pub fn decoder() -> Showo {
    Showo::load(&config(), &fixture("showo_tiny/showo.safetensors"), &Device::flex()).unwrap()
}

pub fn policy_of(decoder: Showo) -> ShowoPolicy {
    let image = config().magvitv2.init(&Device::flex());
    ShowoPolicy::new(config(), decoder, None, image, &Device::flex()).unwrap()
}

pub fn policy(trainable: &Trainable) -> ShowoPolicy {
    let mut policy = policy_of(decoder()).with_trainable(trainable).unwrap();
    let mut optimizer = OptimizerConfig::default();
    optimizer.weight_decay = 0.1;
    policy.learner_of().configure(&optimizer);
    policy
}

pub fn lora(rank: usize) -> Trainable {
    Trainable::Lora(LoraConfig { rank, ..LoraConfig::default() })
}

pub fn every_sort() -> [Trainable; 4] {
    [Trainable::All, Trainable::Decoder, Trainable::ConceptTokens, lora(2)]
}

/// Sugar for tests.
pub trait LearnerOf {
    fn learner_of(&mut self) -> &mut dyn Learner;
}

impl LearnerOf for ShowoPolicy {
    fn learner_of(&mut self) -> &mut dyn Learner {
        self.module_learner()
    }
}

/// Tensors of a safetensors file: shape and f32 values (integers converted).
pub fn tensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let read = |view: safetensors::tensor::TensorView<'_>| match view.dtype() {
        Dtype::F32 => view.data().as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        Dtype::I64 => view.data().as_chunks::<8>().0.iter().map(|&b| i64::from_le_bytes(b) as f32).collect(),
        other => panic!("{other:?}"),
    };
    file.tensors().into_iter().map(|(name, view)| (name, (view.shape().to_vec(), read(view)))).collect()
}

pub fn torch() -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    tensors(&fixture("lora_tiny/expected.safetensors"))
}

/// The fixed ids of the numbers in [`torch`].
pub fn fixed_ids() -> (Vec<i32>, [usize; 2]) {
    let (shape, ids) = torch()["ids"].clone();
    (ids.into_iter().map(|id| id as i32).collect(), shape.try_into().unwrap())
}

/// Causal logits of the fixed ids `[2, 24, vocab]`, and the mean cross entropy of each next id `[1]`.
pub fn cross_entropy(model: &Showo) -> (Tensor<3>, Tensor<1>) {
    let device = model.devices()[0].clone();
    let (ids, [batch, length]) = fixed_ids();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [batch, length]), &device);
    let causal: Vec<bool> = (0..length * length).map(|i| i % length <= i / length).collect();
    let causal = Tensor::from_data(TensorData::new(causal, [1, length, length]), &device);
    let logits = model.logits(model.forward(ids.clone(), causal));
    let next = ids.narrow(1, 1, length - 1).unsqueeze_dim::<3>(2);
    let scores = log_softmax(logits.clone().narrow(1, 0, length - 1), 2).gather(2, next);
    (logits, scores.mean().neg())
}

/// Back-propagates the cross entropy into the policy's learner.
pub fn accumulate(policy: &mut ShowoPolicy) -> f32 {
    let (_, loss) = cross_entropy(policy.decoder());
    let value = loss.clone().detach().into_scalar::<f32>();
    policy.learner_of().accumulate(loss).unwrap();
    value
}

/// One optimizer step on the cross entropy.
pub fn step(policy: &mut ShowoPolicy) {
    accumulate(policy);
    policy.learner_of().apply(0.01, 1.0).unwrap();
}

/// Every weight under its official name, what is trained beside the weights merged into them.
pub fn weights(policy: &ShowoPolicy) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    policy.decoder().save(&path).unwrap();
    tensors(&path)
}

/// An answer of two tokens after a question that has concept tokens in it.
pub fn answer() -> Trajectory {
    answer_of(&config())
}

pub fn answer_of(config: &ShowoConfig) -> Trajectory {
    let first = (config.text_vocab_size - config.num_concept_tokens) as u32;
    let question = counterpoint_showo::prompting::mmu_prompt(config, &[1; 16], &[4, first, first + 1]).unwrap();
    Trajectory::new(0, vec![Segment::text(question, vec![7, first + 2], vec![0.0; 2])])
}

#[track_caller]
pub fn assert_close(what: &str, got: &[f32], expected: &[f32], relative: f32) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let worst = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= relative * scale, "{what}: off by {worst}, largest value {scale}");
}

pub fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().unwrap()
}
