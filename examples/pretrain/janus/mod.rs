//! A tiny Janus for the world of coloured shapes: image tokenizer and text tokenizer, then the model, by the likelihood of answers and
//! images under its own policy.

mod lessons;
mod model;
mod sizes;
mod text;
mod tokenizer;

use std::path::Path;

use counterpoint::Result;

/// Trains the image tokenizer; writes `vqmodel.safetensors` into `out`.
pub fn tokenizer(out: &Path, seed: u64) -> Result<()> {
    tokenizer::run(out, seed)
}

/// Trains the decoder of the image tokenizer once more, with codes that no longer move.
pub fn decoder(out: &Path, seed: u64) -> Result<()> {
    tokenizer::decoder(out, seed)
}

/// Goes on with the model in `out` for one round.
pub fn again(out: &Path, seed: u64, round: usize) -> Result<()> {
    model::round(out, seed, round)
}

/// Trains the model with the image tokenizer in `out`; writes `config.json`, `tokenizer.json` and `model.safetensors`.
pub fn model(out: &Path, seed: u64) -> Result<()> {
    model::run(out, seed)
}
