//! The engine's half of the comparison with PyTorch; `benches/peers/run.py` runs both halves.
//!
//! `cargo bench -p counterpoint-benches --bench peers -- <command> --folder DIR`
//!
//! Each command prints one JSON object: seconds and user CPU seconds of each repeat, peak memory, and numbers that must
//! equal the other half's.
#![allow(missing_docs, clippy::print_stdout)]

mod inputs;
mod step;
mod work;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use counterpoint::Result;
use counterpoint_benches::random_weights::{Format, write_decoder};
use counterpoint_benches::{load, sizes};
use counterpoint_kernels::keep_pages;
use counterpoint_showo::{AnswerIds, FastPaths, Precision, ShowoPolicy};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// `cargo bench` says this.
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Writes config, random weights and prompts.
    Write {
        #[command(flatten)]
        common: Common,
        #[arg(long, value_enum, default_value = "bench")]
        size: Size,
    },
    /// Records the group that updates learn from.
    Record(Common),
    /// Guided MaskGIT rollouts of the group.
    Rollout(Common),
    /// Reasoning text of the group.
    Text(Common),
    /// A Sync-GRPO update from the recorded group.
    Update(Common),
    /// A whole step with Dynamic Group Scaling, phase by phase.
    Step(Common),
}

#[derive(Args, Clone)]
struct Common {
    /// Folder of config, weights and inputs.
    #[arg(long)]
    folder: PathBuf,
    /// `flex` (CPU), `cuda:N`, `wgpu` or another device by its name.
    #[arg(long, default_value = "flex")]
    device: String,
    /// Number format of the decoder.
    #[arg(long, default_value_t)]
    dtype: Precision,
    /// Candidates G.
    #[arg(long, default_value_t = 9)]
    group: usize,
    /// Denoising steps T.
    #[arg(long, default_value_t = 12)]
    timesteps: usize,
    /// Guidance scale g.
    #[arg(long, default_value_t = 5.0)]
    guidance: f32,
    /// Tokens of a reasoning text.
    #[arg(long, default_value_t = 32)]
    new_tokens: usize,
    /// Sequences per replay chunk; the engine's default is 8.
    #[arg(long, default_value_t = 8)]
    chunk: usize,
    /// Waves of G drafts of which one is finished: 4 is a pass rate of a quarter.
    #[arg(long, default_value_t = 4)]
    waves: usize,
    /// Takes none of the short cuts.
    #[arg(long)]
    plain: bool,
    /// Timed repeats, after one that is not timed.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
}

impl Common {
    /// The policy of the folder.
    fn policy(&self) -> Result<ShowoPolicy> {
        let policy = load::policy(&self.folder, self.dtype, &counterpoint::device::named(&self.device)?)?;
        // As the peers do.
        Ok(policy.with_fast(FastPaths::all(!self.plain)).with_answer_ids(AnswerIds::All))
    }
}

#[derive(ValueEnum, Clone, Copy, PartialEq)]
enum Size {
    Bench,
    Real,
}

fn main() -> Result<()> {
    keep_pages();
    if std::env::args().skip(1).all(|arg| arg == "--bench") {
        println!("peers: needs PyTorch beside it; run `python3 benches/peers/run.py`");
        return Ok(());
    }
    let report = match Cli::parse().command {
        Command::Write { common, size } => write(&common, size)?,
        Command::Record(common) => work::record(&common)?,
        Command::Rollout(common) => work::rollout(&common)?,
        Command::Text(common) => work::text(&common)?,
        Command::Update(common) => work::update(&common)?,
        Command::Step(common) => step::step(&common)?,
    };
    println!("{report}");
    Ok(())
}

fn write(common: &Common, size: Size) -> Result<serde_json::Value> {
    let config = match size {
        Size::Bench => sizes::bench(),
        Size::Real => sizes::real(),
    };
    let format = match common.dtype {
        Precision::Bf16 => Format::Bf16,
        _ => Format::F32,
    };
    std::fs::create_dir_all(&common.folder).map_err(|e| counterpoint::Error::io("cannot create", &common.folder, e))?;
    config.save(&common.folder.join("config.json"))?;
    write_decoder(&config, &common.folder.join("model.safetensors"), format, 0)?;
    write_decoder(&config, &common.folder.join("reference.safetensors"), format, 1)?;
    inputs::Inputs::new(&config, common.group).save(&common.folder)?;
    Ok(serde_json::json!({ "written": common.folder }))
}
