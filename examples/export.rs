//! A trained Show-o or Janus back into the files of the PyTorch originals:
//!
//!     cargo run --release --example export -- --checkpoint runs/NAME/checkpoints/step-000100 OUT
//!
//! Of a Show-o OUT is read by Show-o's `Showo.from_pretrained`, its folder `concepts` by UniCTokens' scripts, and all of it by
//! `model = "OUT"` in a recipe. With `--logits` it also gets what `benches/peers/load_export.py` compares with. Of a Janus it is read by
//! transformers' `JanusForConditionalGeneration.from_pretrained`, and by `weights = "OUT"`.
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::module::Module;
use burn::tensor::{Bool, FloatDType, Int, Tensor, TensorData};
use clap::{Parser, ValueEnum};
use counterpoint::checkpoint::Reader;
use counterpoint::config::RunConfig;
use counterpoint::file::folder_of;
use counterpoint::registry::BuildContext;
use counterpoint::{Error, Learner, Policy as _, Result};
use counterpoint_examples::status;
use counterpoint_janus::JanusPolicy;
use counterpoint_showo::ShowoPolicy;
use counterpoint_weights::save_tensors;

#[derive(Parser)]
#[command(about = "Writes a policy in the layout of the PyTorch originals")]
struct Args {
    /// The recipe whose `[policy]` it is.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/sync_r1.toml"))]
    config: PathBuf,
    /// A checkpoint of a run of this recipe. Default: the policy as it begins.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// What float tensors are written as. Default: what they are.
    #[arg(long)]
    dtype: Option<Float>,
    /// Of a Show-o: reads OUT back and writes some token ids and their logits to OUT/logits.safetensors.
    #[arg(long)]
    logits: bool,
    /// The folder to write.
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Float {
    F32,
    F16,
    Bf16,
}

impl From<Float> for FloatDType {
    fn from(float: Float) -> Self {
        match float {
            Float::F32 => Self::F32,
            Float::F16 => Self::F16,
            Float::Bf16 => Self::BF16,
        }
    }
}

fn main() -> ExitCode {
    status(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let config = RunConfig::load(&args.config, &[])?;
    let base = folder_of(&args.config).to_owned();
    let context = BuildContext::new(counterpoint::device::named("flex")?, base);
    let (settings, dtype) = (&config.policy.settings, args.dtype.map(FloatDType::from));
    match (config.policy.kind.as_str(), args.logits) {
        ("showo", with_logits) => {
            let mut policy = ShowoPolicy::from_settings(settings, &context)?;
            restore(policy.learner(), args, &config)?;
            policy.export(&args.out, dtype)?;
            if with_logits {
                logits(&ShowoPolicy::load(&args.out, &context.device)?, &args.out.join("logits.safetensors"))?;
            }
        }
        ("janus", false) => {
            let mut policy = JanusPolicy::from_settings(settings, &context)?;
            restore(policy.learner(), args, &config)?;
            policy.export(&args.out, dtype)?;
        }
        ("janus", true) => return Err(Error::config("--logits: expected a policy of kind showo, got janus")),
        (other, _) => {
            return Err(Error::config(format!(
                "policy.kind: expected showo or janus, got {other:?}; others have no files of their own"
            )));
        }
    }
    println!("{}", args.out.display());
    Ok(())
}

/// Goes to the checkpoint that was asked for, if one was.
fn restore(learner: &mut dyn Learner, args: &Args, config: &RunConfig) -> Result<()> {
    let Some(checkpoint) = &args.checkpoint else { return Ok(()) };
    learner.configure(&config.trainer.optimizer());
    learner.load(Reader::open(checkpoint)?.dir())
}

/// Writes ids from every part of the vocabulary and their logits under causal attention.
fn logits(policy: &ShowoPolicy, path: &Path) -> Result<()> {
    let (config, device) = (policy.config(), policy.device());
    let step = config.vocab_size / 24;
    let ids: Vec<i64> = (0..24).map(|i| (i * step) as i64).chain([i64::from(config.mask_token_id), 0]).collect();
    let length = ids.len();
    let ids = TensorData::new(ids, [1, length]);
    let causal: Vec<bool> = (0..length * length).map(|at| at % length <= at / length).collect();
    let causal = Tensor::<3, Bool>::from_data(TensorData::new(causal, [1, length, length]), device);
    let model = policy.decoder().valid();
    let hidden = model.forward(Tensor::<2, Int>::from_data(ids.clone(), device), causal);
    let tensors = [("ids".to_owned(), ids), ("logits".to_owned(), model.logits(hidden).into_data())];
    save_tensors(path, &tensors, &HashMap::new())
}
