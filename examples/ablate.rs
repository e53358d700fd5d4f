//! What each part of Sync-R1 is worth: the recipe with one part left out at a time, on the same seeds and budget.
//!
//! `cargo run --release --example ablate` does what `examples/ablate.toml` lists with five seeds and leaves the tables in
//! `runs/ablation/`. Stopped, it goes on with `--resume`. Other comparisons are other files: `--plan examples/estimators.toml`.

use std::process::ExitCode;

use counterpoint_examples::commands::ablate::{AblateArgs, run};
use counterpoint_examples::{Invocation, start};

fn main() -> ExitCode {
    start(AblateArgs::output, |args, progress| run(args, Invocation::Example("ablate"), progress))
}
