//! Peak memory of one update against the number of denoising steps T and candidates G.
//!
//! `cargo bench -p counterpoint-benches --bench update_memory`
//!
//! Each size runs in a process of its own: replay of a recorded group on the embedded tiny Show-o, gradients of the
//! Sync-GRPO objective, one AdamW step. Peak resident memory is the kernel's high-water mark (`VmHWM`, Linux).
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

use counterpoint::updater::accumulate;
use counterpoint::{Policy, SyncGrpoConfig};
use counterpoint_benches::{random_group, tiny_showo};

const SIZES: [(usize, usize); 4] = [(12, 4), (48, 4), (12, 16), (48, 16)];
const CHUNK: usize = 4;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|a| a == "--update") {
        return update(args[at + 1].parse().unwrap(), args[at + 2].parse().unwrap());
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
