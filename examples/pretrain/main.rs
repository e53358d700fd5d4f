//! Makes every weight the examples start from: `cargo run --release --example pretrain`.
//!
//! A tiny Show-o (image tokenizer, text tokenizer, decoder) and the reward towers are trained from random weights on
//! UnifyBench's pre-training scenes, which exclude the held-out half; a tiny Janus on the world of coloured shapes. Each run with one
//! seed gives the same files.
#![allow(clippy::print_stdout)]

mod batches;
mod janus;
mod losses;
mod prompts;
mod questions;
mod shapes;
mod showo;
mod sizes;
mod tokenizer;
mod towers;
mod vocabulary;
mod words;
mod world;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use counterpoint::{Error, Result};

/// What to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The image and the text tokenizer, and config.json.
    Tokenizer,
    /// The decoder; needs the tokenizers.
    Showo,
    /// The reward towers.
    Towers,
    /// The image tokenizer of the tiny Janus.
    JanusTokenizer,
    /// The decoder of that, once more, with the codes as they are.
    JanusDecoder,
    /// The tiny Janus; needs its image tokenizer.
    Janus,
    /// What captions images of shapes, and what compares captions.
    Shapes,
}

/// Trains the tiny models the examples start from.
#[derive(Debug, Parser)]
struct Options {
    /// Train only this part.
    #[arg(long)]
    only: Option<Part>,
    /// Where the tiny Show-o goes.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/showo/assets/tiny"))]
    out: PathBuf,
    /// Where the tiny Janus goes.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/janus/assets/tiny"))]
    janus_out: PathBuf,
    /// Where the towers of the world of shapes go.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../benches/shapes/assets"))]
    shapes_out: PathBuf,
    /// Seed of weights and data.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    towers: towers::Options,
}

fn main() -> Result<()> {
    let options = Options::parse();
    for folder in [&options.out, &options.janus_out, &options.shapes_out] {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("cannot create", folder, e))?;
    }
    let wanted = |part| options.only.is_none_or(|only| only == part);
    if wanted(Part::Tokenizer) {
        tokenizer::run(&options.out, options.seed)?;
    }
    if wanted(Part::Showo) {
        showo::run(&options.out, options.seed)?;
    }
    if wanted(Part::Towers) {
        towers::run(&options.towers)?;
    }
    if wanted(Part::JanusTokenizer) {
        janus::tokenizer::run(&options.janus_out, options.seed)?;
    }
    if wanted(Part::JanusDecoder) {
        janus::tokenizer::decoder(&options.janus_out, options.seed)?;
    }
    if wanted(Part::Janus) {
        janus::model::run(&options.janus_out, options.seed)?;
    }
    if wanted(Part::Shapes) {
        shapes::run(&options.shapes_out, options.seed)?;
    }
    if wanted(Part::Showo) {
        showo::evaluate(&options.out)?;
    }
    Ok(())
}
