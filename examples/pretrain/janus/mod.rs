//! A tiny Janus for the world of coloured shapes: image tokenizer and text tokenizer, then the model, by the likelihood of answers and
//! images under its own policy.

mod lessons;
mod model;
mod sizes;
mod text;
mod tokenizer;

use std::path::Path;

use counterpoint::Result;

/// Trains the tokenizers; writes `config.json`, `tokenizer.json` and `vqmodel.safetensors` into `out`.
pub fn tokenizers(out: &Path, seed: u64) -> Result<()> {
    tokenizer::run(out, seed)
}

/// Trains the model; needs the tokenizers. Writes `model.safetensors` into `out`.
pub fn model(out: &Path, seed: u64) -> Result<()> {
    model::run(out, seed)
}
