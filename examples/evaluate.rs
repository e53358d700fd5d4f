//! UnifyBench++: recognition, questions, plain, knowledge-driven and dense generation of a model, trained or not.
//!
//! `cargo run --release --example evaluate -- runs/sync_r1` compares a run with the model that it began from and leaves tables,
//! images and a report in `runs/evaluation/`. What is measured is said by `examples/evaluate.toml`, or by `--measures FILE`.

use std::process::ExitCode;

use counterpoint_examples::commands::evaluate::{EvaluateArgs, run};
use counterpoint_examples::start;

fn main() -> ExitCode {
    start(EvaluateArgs::output, run)
}
