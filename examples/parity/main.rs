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

use clap::{Parser, Subcommand};
use counterpoint::Result;
use counterpoint_showo::{FastPaths, Precision};

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
        /// Where to compute: `flex` (CPU) or `cuda:N`.
        #[arg(long, default_value = "flex")]
        device: String,
        /// What to compute in: `f32`, `bf16` or `f16`. Half precision is held to looser tolerances.
        #[arg(long, default_value_t)]
        dtype: Precision,
        /// A short cut to leave out; may be given several times. `all` leaves out all of them.
        #[arg(long, value_name = "NAME", value_parser = short_cut())]
        without: Vec<String>,
    },
}

fn short_cut() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(FastPaths::NAMES.into_iter().chain(["all"]))
}

fn main() -> ExitCode {
    let mut report = report::Report::default();
    let outcome = run(Args::parse().what, &mut report);
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

fn run(what: What, report: &mut report::Report) -> Result<()> {
    let What::Showo { dir, device, dtype, without } = what;
    let mut fast = FastPaths::all(!without.iter().any(|name| name == "all"));
    for name in &without {
        if let Some(switch) = fast.switch(name) {
            *switch = false;
        }
    }
    showo::run(&dir, &counterpoint::device::named(&device)?, dtype, fast, report)
}
