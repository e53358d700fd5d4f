//! Supervised fine-tuning of a Janus before reinforcement learning (the cold start of CoRL's Table 3), on rows of prompts, images, questions
//! and answers:
//!
//!     cargo run --release --example sft -- OUT
//!
//! learns from the rows of `corl.toml` by the likelihood of their solutions and images and writes OUT, from which `policy.weights` begins. What is
//! trained is what `[policy]` says; it is not resumed.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use counterpoint::config::RunConfig;
use counterpoint::file::folder_of;
use counterpoint::registry::{BuildContext, settings};
use counterpoint::{Error, Key, Policy as _, Result, Streams, device};
use counterpoint_corl::{CorlConfig, CorlTasks, Halves};
use counterpoint_examples::{learn, status};
use counterpoint_janus::JanusPolicy;

#[derive(Parser)]
#[command(about = "Fine-tunes a Janus on rows of prompts, images, questions and answers")]
struct Args {
    /// The recipe whose `[policy]` and `[data]` they are.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/corl.toml"))]
    config: PathBuf,
    /// Overrides a key of the config, such as `--set data.halves=understanding`. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Optimizer steps.
    #[arg(long, default_value_t = 100)]
    steps: u64,
    /// Rows of a step.
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Learning rate, after a tenth of the steps in which it grows.
    #[arg(long, default_value_t = 1e-4)]
    rate: f64,
    /// Largest norm of a gradient.
    #[arg(long, default_value_t = 1.0)]
    clip: f64,
    /// Seed of the rows' order.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to compute: `flex` (CPU), `cuda:N`, `wgpu` or another device by its name.
    #[arg(long, default_value = "flex")]
    device: String,
    /// The folder to write.
    out: PathBuf,
}

fn main() -> ExitCode {
    status(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    if args.batch == 0 || args.steps == 0 {
        return Err(Error::config("--batch and --steps: expected 1 or more, got 0"));
    }
    let config = RunConfig::load(&args.config, &args.set)?;
    for (key, expected, kind) in
        [("policy.kind", "janus", &config.policy.kind), ("data.kind", "corl", &config.data.kind)]
    {
        if kind != expected {
            return Err(Error::config(format!(
                "{key}: expected {expected:?}, got {kind:?}; `personalize` trains a Show-o"
            )));
        }
    }
    let base = folder_of(&args.config);
    let context = BuildContext::new(device::named(&args.device)?, base);
    let mut policy = JanusPolicy::from_settings(&config.policy.settings, &context)?;
    policy.learner().configure(&config.trainer.optimizer());
    let data: CorlConfig = settings("data", &config.data.settings)?;
    let (halves, tasks) = (data.halves, data.init(base)?);
    let streams = Streams::new(args.seed);
    for step in 0..args.steps {
        let mut stream = streams.stream(Key::task(step, 0), "rows", 0);
        let rows: Vec<usize> = (0..args.batch).map(|_| stream.below(tasks.rows().len())).collect();
        let [answers, images] = examples(&policy, &tasks, &rows, halves)?;
        let warm = ((step + 1) as f64 / (args.steps as f64 / 10.0).max(1.0)).min(1.0);
        let losses = learn(&mut policy, [&answers, &images], args.rate * warm, args.clip, &stream)?;
        if step == 0 || (step + 1).is_multiple_of(10) || step + 1 == args.steps {
            println!("{}/{} steps  loss of answers {:.3}, of images {:.3}", step + 1, args.steps, losses[0], losses[1]);
        }
    }
    policy.export(&args.out, None)?;
    println!("{}", args.out.display());
    Ok(())
}

/// The solutions and the images of these rows, as far as `halves` asks for them.
fn examples(
    policy: &JanusPolicy,
    tasks: &CorlTasks,
    rows: &[usize],
    halves: Halves,
) -> Result<[Vec<counterpoint::Segment>; 2]> {
    let (mut answers, mut prompts, mut pictures) = (Vec::new(), Vec::new(), Vec::new());
    for &row in rows {
        let (task, row) = (tasks.of(row)?, &tasks.rows()[row]);
        if halves != Halves::Generation {
            answers.push(policy.answered(&task, &row.solution)?);
        }
        if halves != Halves::Understanding {
            prompts.push(row.prompt.clone());
            pictures.push(row.picture()?);
        }
    }
    let images = match prompts.is_empty() {
        true => Vec::new(),
        false => policy.painted(&prompts, &pictures.iter().map(AsRef::as_ref).collect::<Vec<_>>())?,
    };
    Ok([answers, images])
}
