//! `cargo run --release --example parity -- showo DIR`: our implementation against a folder of golden numbers.
//!
//! Prints a line per quantity (largest absolute and relative error, tolerance, ok or FAIL) and a JSON summary. Exit
//! status 1 when anything failed. All sizes come from DIR's `config.json`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod fixture;
mod report;
mod showo;

use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::Device;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Compares this implementation with golden numbers of the reference implementation")]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Show-o: masks, logits, a rollout, greedy text, the objective with its gradients, the image tokenizer.
    Showo {
        /// Folder with config.json, showo.safetensors, magvitv2.safetensors and expected.safetensors.
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let What::Showo { dir } = Args::parse().what;
    let mut report = report::Report::default();
    let outcome = showo::run(&dir, &Device::flex(), &mut report);
    let ok = report.summary();
    match outcome {
        Ok(()) if ok => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
