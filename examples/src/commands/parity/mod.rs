//! This implementation against a folder of golden numbers of the original.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod fixture;
mod janus;
mod report;
mod showo;
mod towers;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use counterpoint::Result;
use counterpoint_showo::FastPaths;
use counterpoint_weights::Precision;

/// What to compare with which numbers.
#[derive(Debug, Parser)]
#[command(about = "Compares this implementation with golden numbers of the reference implementation")]
pub struct ParityArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show-o: masks, logits, a rollout, greedy text, the objective with its gradients, the image tokenizer.
    Showo {
        /// Folder with config.json, showo.safetensors, magvitv2.safetensors and expected.safetensors.
        dir: PathBuf,
        /// Where to compute: `flex` (CPU), `cuda:N`, `wgpu` or another device by its name.
        #[arg(long, default_value = "flex")]
        device: String,
        /// What to compute in: `f32`, `bf16` or `f16`. Half precision is held to looser tolerances.
        #[arg(long, default_value_t)]
        dtype: Precision,
        /// A short cut to leave out; may be given several times. `all` leaves out all of them.
        #[arg(long, value_name = "NAME", value_parser = short_cut())]
        without: Vec<String>,
    },
    /// Janus: tower, logits, greedy text and image, the tokenizer, CoRL's objective with its gradients.
    Janus {
        /// Folder with config.json, model.safetensors and expected.safetensors.
        dir: PathBuf,
        /// Where to compute: `flex` (CPU), `cuda:N`, `wgpu` or another device by its name.
        #[arg(long, default_value = "flex")]
        device: String,
    },
    /// BERT: hidden states, pooled.
    Bert(TowerArgs),
    /// ERNIE: as BERT, with task types.
    Ernie(TowerArgs),
    /// CLIP: both towers, logits.
    Clip(TowerArgs),
    /// DINOv2: tokens, also of an image of another size.
    Dinov2(TowerArgs),
    /// BLIP-2: embeddings, contrastive and matching head.
    Blip2(TowerArgs),
    /// BLIP's captioner: logits, captions.
    Captioner(TowerArgs),
    /// MTCNN: boxes, landmarks, probabilities, crops.
    Mtcnn(TowerArgs),
    /// FaceNet: embeddings.
    Facenet(TowerArgs),
}

#[derive(Debug, Args)]
struct TowerArgs {
    /// Folder with the original's config.json and weights, and expected.safetensors (inputs.* and outputs.*).
    dir: PathBuf,
    /// Where to compute: `flex` (CPU), `cuda:N`, `wgpu` or another device by its name.
    #[arg(long, default_value = "flex")]
    device: String,
    /// What matrices are stored and multiplied in: `f32`, `bf16` or `f16`. Half precision is held to looser tolerances.
    #[arg(long, default_value_t)]
    dtype: Precision,
}

fn short_cut() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(FastPaths::NAMES.into_iter().chain(["all"]))
}

/// Prints a line per quantity (largest absolute and relative error, tolerance, ok or FAIL) and a JSON summary. Status 1 when anything
/// failed.
pub fn run(args: ParityArgs) -> ExitCode {
    let mut report = report::Report::default();
    let outcome = compare(args.what, &mut report);
    let ok = report.summary();
    match outcome {
        Ok(()) if ok => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(what: What, report: &mut report::Report) -> Result<()> {
    use towers::Tower;

    let tower = |tower, args: TowerArgs, report: &mut _| {
        let device = counterpoint::device::named(&args.device)?;
        towers::run(tower, &args.dir, &device, args.dtype, report)
    };
    match what {
        What::Showo { dir, device, dtype, without } => {
            let mut fast = FastPaths::all(!without.iter().any(|name| name == "all"));
            for name in &without {
                if let Some(switch) = fast.switch(name) {
                    *switch = false;
                }
            }
            showo::run(&dir, &counterpoint::device::named(&device)?, dtype, fast, report)
        }
        What::Janus { dir, device } => janus::run(&dir, &counterpoint::device::named(&device)?, report),
        What::Bert(args) => tower(Tower::Bert, args, report),
        What::Ernie(args) => tower(Tower::Ernie, args, report),
        What::Clip(args) => tower(Tower::Clip, args, report),
        What::Dinov2(args) => tower(Tower::Dinov2, args, report),
        What::Blip2(args) => tower(Tower::Blip2, args, report),
        What::Captioner(args) => tower(Tower::Captioner, args, report),
        What::Mtcnn(args) => tower(Tower::Mtcnn, args, report),
        What::Facenet(args) => tower(Tower::Facenet, args, report),
    }
}
