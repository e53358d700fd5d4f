//! Janus-Pro: one Llama decoder that reads images through a SigLIP tower and writes them as the codes of a VQ tokenizer, one after
//! the other.
//!
//! [`JanusConfig`] is the original's `config.json`, of any size. [`Janus`] is what is trained, [`VqTokenizer`] makes codes of pixels
//! and pixels of codes. Parameters have the names of transformers' `JanusForConditionalGeneration`.
//! [`JanusPolicy`] trains it.

mod aligner;
mod cache;
mod config;
mod export;
mod ids;
mod janus;
mod language_model;
mod llama;
mod memory;
mod original;
pub mod picture;
mod policy;
mod quantise;
mod register;
mod replay;
mod rollout;
mod rotary;
mod shown;
mod states;
mod taught;
mod text;
mod trainable;
mod vision;
mod vq;

pub use cache::KvCache;
pub use config::{JanusConfig, TextConfig, VisionConfig, VqConfig};
pub use counterpoint_policy_common::lora::LoraConfig;
pub use ids::SpecialIds;
pub use janus::Janus;
pub use policy::JanusPolicy;
pub use quantise::Quantised;
pub use register::FILES;
pub use rollout::Sequences;
pub use text::{Chat, TextTokenizer};
pub use trainable::{TARGETS, Trainable};
pub use vq::VqTokenizer;
