//! Show-o 1.3B for images of 512 x 512 on the CPU: random weights in bf16 are written, loaded, and used for one denoising
//! step and one token of text. Prints seconds and peak memory.
//!
//! `cargo run --release -p counterpoint-benches --example real_size -- --folder DIR`
//!
//! The folder takes 3.3 GB of disk and is kept; a later run reads what is there. `--dtype bf16` computes in bf16.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor};
use clap::Parser;
use counterpoint::{Error, Result};
use counterpoint_benches::process::{memory_mib, reset_peak, timed};
use counterpoint_benches::random_weights::{Format, write_decoder};
use counterpoint_benches::{load, sizes};
use counterpoint_samplers::{ImageModel, TextModel};
use counterpoint_showo::{Precision, prompting};

#[derive(Parser)]
struct Cli {
    /// Where the files are, or are to be written.
    #[arg(long)]
    folder: PathBuf,
    /// `flex` (CPU), `cuda:N`, `wgpu` or another device by its name.
    #[arg(long, default_value = "flex")]
    device: String,
    /// What the decoder computes in; its file is bf16 in any case.
    #[arg(long, default_value_t)]
    dtype: Precision,
    /// A small model instead, to try the program.
    #[arg(long)]
    small: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let device = counterpoint::device::named(&cli.device)?;
    if !cli.folder.join("model.safetensors").exists() {
        stage("written", || write(&cli.folder, cli.small))?;
    }
    let policy = stage("loaded", || load::policy(&cli.folder, cli.dtype, &device))?;
    let config = policy.config();

    let prompt: Vec<u32> = (0..config.max_seq_length as u32 / 2).collect();
    let logits = stage("one denoising step of guided logits", || {
        let prompts = policy.prepare(&[&prompt], config.guidance_scale)?;
        let masked = Tensor::<2, Int>::full([1, config.num_vq_tokens], config.codebook_size as i64, &device);
        host(policy.image_scores(&prompts, masked).guided.reshape([-1]))
    })?;
    println!("  {} numbers, first {:?}", logits.len(), &logits[..4]);

    let codes: Vec<u32> = (0..config.num_vq_tokens as u32).map(|i| i % config.codebook_size as u32).collect();
    let question = prompting::mmu_prompt(config, &codes, &prompt)?;
    let token = stage("one token of text", || {
        let (_, logits) = policy.prefill(&question, 1)?;
        host(logits.argmax(1).float().reshape([-1]))
    })?;
    println!("  after a prompt of {} tokens: token {}", question.len(), token[0]);
    Ok(())
}

fn write(folder: &Path, small: bool) -> Result<()> {
    let config = if small { sizes::bench() } else { sizes::real() };
    std::fs::create_dir_all(folder).map_err(|e| Error::io("cannot create", folder, e))?;
    config.save(&folder.join("config.json"))?;
    config.magvitv2.init(&Device::flex()).save(&folder.join("magvitv2.safetensors"))?;
    write_decoder(&config, &folder.join("model.safetensors"), Format::Bf16, 0)
}

fn host(values: Tensor<1>) -> Result<Vec<f32>> {
    values.try_into_vec_as::<f32>().map_err(|e| Error::contract("cannot read numbers").with_source(e.to_string()))
}

/// Does `work` and prints what it took.
fn stage<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    reset_peak();
    let (result, seconds, user) = timed(work);
    let result = result?;
    let [peak, now] = ["VmHWM", "VmRSS"].map(|field| memory_mib(field).unwrap_or(f64::NAN) / 1024.0);
    println!("{name}: {seconds:.1} s ({user:.1} s of CPU time), peak {peak:.2} GiB, {now:.2} GiB afterwards");
    Ok(result)
}
