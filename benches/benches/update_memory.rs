//! Peak memory of one update against the number of denoising steps T and candidates G, and with gradient checkpointing.
//!
//! `cargo bench -p counterpoint-benches --bench update_memory`
//!
//! Each size runs in a process of its own: replay of a recorded group on the embedded tiny Show-o, gradients of the
//! Sync-GRPO objective, one AdamW step. Peak resident memory is the kernel's high-water mark (`VmHWM`, Linux).
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

use burn::tensor::Device;
use counterpoint::objective::Kl;
use counterpoint::updater::accumulate;
use counterpoint::{Policy, Replay, SyncGrpoConfig};
use counterpoint_benches::process::{memory_mib, reset_peak, timed};
use counterpoint_benches::{random_group, sizes, tiny_showo};
use counterpoint_showo::{FastPaths, LoraConfig, ShowoPolicy, Trainable};

const SIZES: [(usize, usize); 4] = [(12, 4), (48, 4), (12, 16), (48, 16)];
const CHUNK: usize = 4;
/// Layers where gradient checkpointing is measured.
const DEPTH: usize = 12;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|a| a == "--update") {
        return update(args[at + 1].parse().unwrap(), args[at + 2].parse().unwrap());
    }
    if let Some(at) = args.iter().position(|a| a == "--checkpointing") {
        return checkpointed(&args[at + 1], args[at + 2].parse().unwrap(), args[at + 3].parse().unwrap());
    }
    println!("chunks of {CHUNK}, one for each core");
    println!("{:>4} {:>4}  {:>14}  {:>9}", "T", "G", "peak RSS (MiB)", "seconds");
    let mut peaks = Vec::new();
    for (steps, candidates) in SIZES {
        let started = std::time::Instant::now();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--update", &steps.to_string(), &candidates.to_string()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let peak: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        println!("{steps:>4} {candidates:>4}  {peak:>14.1}  {:>9.1}", started.elapsed().as_secs_f64());
        peaks.push(peak);
    }
    let (low, high) = peaks.iter().fold((f64::MAX, 0.0_f64), |(l, h), &p| (l.min(p), h.max(p)));
    println!("largest / smallest: {:.3}", high / low);

    println!("\ngradient checkpointing: {DEPTH} layers of the bench size, one chunk at a time");
    println!(
        "{:>8} {:>6} {:>6}  {:>14} {:>14}  {:>8}",
        "trained", "chunk", "on", "estimate (MiB)", "peak (MiB)", "seconds"
    );
    for (trained, chunk) in [("lora", 4), ("lora", 12), ("all", 12)] {
        for on in [false, true] {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--checkpointing", trained, &chunk.to_string(), &on.to_string()])
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            println!("{trained:>8} {chunk:>6} {on:>6}  {}", String::from_utf8(output.stdout).unwrap().trim_end());
        }
    }
}

/// Estimate of a chunk of images, and peak above the loaded model and time of the gradients of a group.
fn checkpointed(trained: &str, chunk: usize, on: bool) {
    let mut config = sizes::bench();
    config.phi.num_hidden_layers = DEPTH;
    let device = Device::flex();
    let (model, image) = (config.init(&device).unwrap(), config.magvitv2.init(&device));
    let trainable = match trained {
        "lora" => Trainable::Lora(LoraConfig { rank: 4, ..LoraConfig::default() }),
        _ => Trainable::All,
    };
    let mut policy = ShowoPolicy::new(config, model, None, image, &device)
        .unwrap()
        .with_fast(FastPaths { cores: false, ..FastPaths::default() })
        .with_trainable(&trainable)
        .unwrap()
        .with_gradient_checkpointing(on)
        .unwrap();
    let group = random_group(&policy, 12, 2).unwrap();
    let replays: Vec<Replay<'_>> =
        group.trajectories[..chunk].iter().map(|trajectory| Replay { trajectory, segment: 1, steps: 0..1 }).collect();
    let estimate = policy.chunk_bytes(&replays).unwrap() as f64 / f64::from(1 << 20);
    let objective = SyncGrpoConfig { kl: Kl::None, ..SyncGrpoConfig::default() }.init().unwrap();
    reset_peak();
    let before = memory_mib("VmRSS").unwrap();
    let (_, seconds, _) = timed(|| accumulate(&mut policy, &objective, &[group], chunk, None).unwrap());
    let peak = memory_mib("VmHWM").unwrap() - before;
    println!("{estimate:>14.1} {peak:>14.1}  {seconds:>8.2}");
}

fn update(steps: usize, candidates: usize) {
    let mut policy = tiny_showo().unwrap();
    let group = random_group(&policy, candidates, steps).unwrap();
    let objective = SyncGrpoConfig::default().init().unwrap();
    accumulate(&mut policy, &objective, &[group], CHUNK, None).unwrap();
    policy.learner().apply(1e-6, 1.0).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").expect("VmHWM is read from /proc, on Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: f64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("{}", kib / 1024.0);
}
