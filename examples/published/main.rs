//! A small model and towers in the layouts in which the big ones are published, with random weights, and the recipe that
//! trains them on your own concepts: what `sync_r1_full.toml` does, on a CPU and in minutes.
//!
//!     cargo run --release --example published -- DATA OUT
//!     cargo run --release --example personalize -- --config OUT/personalize.toml
//!     cargo run --release --example sync_r1 -- --config OUT/sync_r1.toml --set policy.personalised=$PWD/runs/personalised
//!     cargo run --release --example evaluate -- --config OUT/sync_r1.toml --measures OUT/evaluate.toml runs/published
//!
//! It shows that data and settings work from start to report before weights are downloaded and a GPU is rented. The model
//! knows nothing: its words and pictures are noise.
#![allow(clippy::print_stdout)]

mod model;
mod recipe;
mod towers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::tensor::Device;
use clap::Parser;
use counterpoint::{Error, Result};
use counterpoint_examples::status;

#[derive(Parser)]
#[command(
    about = "Writes a small Show-o, MAGVIT-v2 and towers in their published layouts, with random weights, and a recipe"
)]
struct Args {
    /// Concepts in the layout of UniCTokens; see the chapter "Your own data" of the guide.
    data: PathBuf,
    /// The folder to write.
    out: PathBuf,
    /// Seed of the weights.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    status(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let device = Device::flex();
    device.seed(args.seed);
    // The data are looked at before anything is written.
    let recipe = recipe::of(&args.data)?;
    if std::fs::read_dir(&args.out).is_ok_and(|mut entries| entries.next().is_some()) {
        let message =
            format!("{}: expected a folder that is not there or empty; name another, or remove it", args.out.display());
        return Err(Error::config(message));
    }
    model::write(&args.out, &device)?;
    towers::write(&args.out.join("towers"), &device)?;
    let path = args.out.join("sync_r1.toml");
    write(&path, &recipe.to_toml()?)?;
    let first = args.out.join("personalize.toml");
    write(&first, &recipe::personalisation(&recipe))?;
    let measures = args.out.join("evaluate.toml");
    write(&measures, &recipe::measures())?;
    println!("wrote {}; train it with", args.out.display());
    println!("cargo run --release --example sync_r1 -- --config {}", path.display());
    println!("and evaluate the run with");
    println!(
        "cargo run --release --example evaluate -- --config {} --measures {} runs/published",
        path.display(),
        measures.display()
    );
    println!("or teach it your concepts first:");
    println!("cargo run --release --example personalize -- --config {}", first.display());
    Ok(())
}

/// Writes a file of `text`, and makes its folder.
fn write(path: &Path, text: &str) -> Result<()> {
    counterpoint::file::replace(path, text.as_bytes())
}

fn cannot_write(path: &Path, error: std::io::Error) -> Error {
    Error::io("cannot write", path, error)
}
