//! CoRL: a small Janus learns to paint and to answer from one reward, both halves in one group (unified reinforcement learning).
//!
//! `cargo run --release --example corl` trains on the world of coloured shapes, verifies images and answers before and after on held-out
//! rows and leaves everything in `runs/corl/`. With `--seeds 5` it does so five times and says how sure the change is.

use std::path::Path;
use std::process::ExitCode;

use counterpoint_examples::{Invocation, RecipeArgs, job, start};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/corl.toml");

fn main() -> ExitCode {
    start(RecipeArgs::output, |args, progress| job(args, Path::new(CONFIG), Invocation::Example("corl"), progress))
}
