//! The towers of the world of coloured shapes: a small BLIP that captions images, and a small BERT whose token states compare captions.

mod captioner;
mod language;
mod scorer;

use std::path::Path;

use counterpoint::Result;

/// Trains both and writes them into `out/captioner` and `out/bert`.
pub fn run(out: &Path, seed: u64) -> Result<()> {
    captioner::run(&out.join("captioner"), seed)?;
    scorer::run(&out.join("bert"), seed)
}
