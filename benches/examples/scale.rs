//! What a step of Sync-R1 on Show-o 1.3B (512 x 512 pixels, T 50, G 9) should take on 1, 8 and 64 GPUs, and what bounds it: counted
//! operations over the rate that a GPU is assumed to reach, and gradients over the link that it is assumed to have.
//!
//! `cargo run --release -p counterpoint-benches --example scale`
//!
//! A calculation and no measurement. How far the count can be trusted: `cargo bench -p counterpoint-benches --bench growth`.
#![allow(clippy::print_stdout)]

use clap::Parser;
use counterpoint_benches::cost::{Operations, Step, parameters};
use counterpoint_benches::sizes;

#[derive(Parser)]
struct Cli {
    /// Dense bf16 operations a second that the data sheet promises, in 10^12: 989 is an H100's or H800's.
    #[arg(long, default_value_t = 989.0)]
    peak: f64,
    /// Share of it that is reached in painting.
    #[arg(long, default_value_t = 0.35)]
    painting: f64,
    /// Share of it that is reached in updates.
    #[arg(long, default_value_t = 0.35)]
    updating: f64,
    /// Link of a GPU within a machine of eight, 10^9 bytes a second: 200 is an H800's, one way.
    #[arg(long, default_value_t = 200.0)]
    inside: f64,
    /// The same between machines: 50 is 400 Gbit.
    #[arg(long, default_value_t = 50.0)]
    between: f64,
    /// Groups a step and GPU.
    #[arg(long, default_value_t = 1)]
    groups: usize,
    /// Waves of drafts of which one is finished.
    #[arg(long, default_value_t = 4)]
    waves: usize,
    /// Denoising steps that are scored.
    #[arg(long, default_value_t = 50)]
    scored: usize,
}

/// Candidates G, denoising steps T, and the step after which a draft is looked at.
const GROUP: usize = 9;
const TIMESTEPS: usize = 50;
const CHECKPOINT: usize = 10;
const PROMPT: usize = 64;

fn main() {
    let cli = Cli::parse();
    let config = sizes::real();
    let images = GROUP * cli.groups;
    // All waves up to the look, one of them to the end.
    let timesteps = cli.waves * CHECKPOINT + TIMESTEPS - CHECKPOINT;
    let step = Step { images, timesteps, scored: cli.scored, guided: true, prompt: PROMPT, reference: true };
    let Operations { rollouts, update } = step.operations(&config);
    let seconds = |operations: f64, share: f64| operations / (cli.peak * 1e12 * share);
    let (painting, updating) = (seconds(rollouts, cli.painting), seconds(update, cli.updating));
    // Gradients in f32, each sent and received nearly twice in a ring.
    let gradients = 2.0 * 4.0 * parameters(&config);
    println!(
        "{images} images a GPU: {rollouts:.2e} operations to paint, {update:.2e} to learn; {gradients:.2e} bytes of gradients\n"
    );
    println!("| GPUs | painting, s | update, s | gradients, s | step, s | images/s/GPU | bound by |");
    println!("|---|---|---|---|---|---|---|");
    for gpus in [1_usize, 8, 64] {
        let link = if gpus > 8 { cli.between } else { cli.inside };
        let sent = gradients * (gpus as f64 - 1.0) / gpus as f64 / (link * 1e9);
        let whole = painting + updating + sent;
        let bound = [("painting", painting), ("update", updating), ("gradients", sent)];
        let bound = bound.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or("", |(name, _)| name);
        println!(
            "| {gpus} | {painting:.1} | {updating:.1} | {sent:.2} | {whole:.1} | {:.2} | {bound} |",
            images as f64 / whole
        );
    }
}
