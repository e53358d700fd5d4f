//! `cargo run --release --example weights -- inspect PATH`: what is in a weight file of any public format.
//!
//! PATH is a file or a folder: safetensors, files of `torch.save` (`.pt`, `.pth`, `.bin`, `.ckpt`, also old pickles, which
//! are never run), burnpack, or the index of a sharded file. `diff A B` compares two of them (exit status 1 when they
//! differ), `convert A B` writes B in the format that its ending says, one tensor at a time; `merge OUT A B ..` writes the mean of models. Exit status 2
//! when a file cannot be read or written.
//!
//! `fetch CONFIG.toml` says of every setting of a config that names weights where they are. Those of the Hugging Face hub are
//! fetched in a build with `--features hf-hub`. Of others it says which files are missing, where they are published and into
//! which folder they belong; the exit status is 1 then.

use std::process::ExitCode;

use clap::Parser;
use counterpoint_examples::commands::weights::{WeightsArgs, run};

fn main() -> ExitCode {
    run(WeightsArgs::parse())
}
