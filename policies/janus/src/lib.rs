//! Janus-Pro: one Llama decoder that reads images through a SigLIP tower and writes them as the codes of a VQ tokenizer, one after
//! the other.
//!
//! [`JanusConfig`] is the original's `config.json`, of any size. [`Janus`] is what is trained, [`VqTokenizer`] makes codes of pixels
//! and pixels of codes. Parameters have the names of transformers' `JanusForConditionalGeneration`.

mod aligner;
mod cache;
mod config;
mod janus;
mod llama;
mod rotary;
mod vision;
mod vq;

pub use cache::KvCache;
pub use config::{JanusConfig, TextConfig, VisionConfig, VqConfig};
pub use janus::Janus;
pub use vq::VqTokenizer;
