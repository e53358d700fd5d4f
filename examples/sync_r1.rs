//! Sync-R1: a small unified model learns personalised reasoning and generation from one reward.
//!
//! `cargo run --release --example sync_r1` trains on the embedded default, evaluates before and after on the held-out
//! half and leaves everything in `runs/sync_r1/`. With `--seeds 5` it does so five times and says how sure the change is.

use std::path::Path;
use std::process::ExitCode;

use counterpoint_examples::{Invocation, RecipeArgs, job, start};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sync_r1.toml");

fn main() -> ExitCode {
    start(RecipeArgs::output, |args, progress| job(args, Path::new(CONFIG), Invocation::Example("sync_r1"), progress))
}
