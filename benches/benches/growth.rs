//! How a step's time and memory grow with candidates G, denoising steps T, image codes N and layers: each four times as large in
//! turn, from the size of the comparison with PyTorch.
//!
//! `cargo bench -p counterpoint-benches --bench growth`
//!
//! Each size runs in a process of its own: guided rollouts of G images over T steps, then gradients of the Sync-GRPO objective over all
//! of these steps, and one AdamW step. Medians of three after one that is not timed; memory is the kernel's high-water mark above the
//! loaded model (`VmHWM`, Linux). The exponent is log4 of the ratio: 1 is linear, 0 does not grow; in parentheses that of the counted
//! operations of matrix products (`counterpoint_benches::cost`).
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

use burn::tensor::Device;
use counterpoint::updater::accumulate;
use counterpoint::{Policy, SyncGrpoConfig};
use counterpoint_benches::cost::{Operations, Step};
use counterpoint_benches::process::{memory_mib, reset_peak, timed};
use counterpoint_benches::{candidates, random_group, sizes};
use counterpoint_samplers::{Canvas, ImageModel, MaskGitConfig};
use counterpoint_showo::{ShowoConfig, ShowoPolicy};

/// G, T, N and layers.
type Size = [usize; 4];

const BASE: Size = [4, 3, 64, 3];
const NAMES: [&str; 4] = ["candidates G", "denoising steps T", "image codes N", "layers"];
const FACTOR: usize = 4;
const CHUNK: usize = 4;
const REPEATS: usize = 3;
const GUIDANCE: f32 = 2.0;
const PROMPT: usize = 48;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|a| a == "--size") {
        let size: Vec<usize> = args[at + 1].split(',').map(|number| number.parse().unwrap()).collect();
        return measure(size.try_into().unwrap());
    }
    let base = measured(BASE);
    println!("| grows | from | to | rollouts, s | exponent | update, s | exponent | update, MiB | exponent |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for (i, name) in NAMES.iter().enumerate() {
        let mut size = BASE;
        size[i] *= FACTOR;
        let grown = measured(size);
        let exponent = |from: f64, to: f64| (to / from).ln() / (FACTOR as f64).ln();
        let (was, is) = (counted(BASE), counted(size));
        let counted = [Some((was.rollouts, is.rollouts)), Some((was.update, is.update)), None];
        print!("| {name} | {} | {} |", BASE[i], size[i]);
        for ((from, to), counted) in base.iter().zip(grown).zip(counted) {
            let counted = counted.map_or(String::new(), |(from, to)| format!(" ({:.2})", exponent(from, to)));
            print!(" {from:.2} to {to:.2} | {:.2}{counted} |", exponent(*from, to));
        }
        println!();
    }
}

/// What [`measure`] prints, from a process of its own.
fn measured(size: Size) -> [f64; 3] {
    let size = size.map(|number| number.to_string()).join(",");
    let output = Command::new(std::env::current_exe().unwrap()).args(["--size", &size]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().map(|number| number.parse().unwrap()).collect::<Vec<_>>().try_into().unwrap()
}

fn config([_, _, codes, layers]: Size) -> ShowoConfig {
    let mut config = sizes::bench();
    config.num_vq_tokens = codes;
    config.phi.num_hidden_layers = layers;
    config
}

fn counted(size: Size) -> Operations {
    let [images, timesteps, ..] = size;
    let step = Step { images, timesteps, scored: timesteps, guided: true, prompt: PROMPT, reference: true };
    step.operations(&config(size))
}

/// Prints seconds of rollouts and of an update, and the update's peak in MiB.
fn measure(size: Size) {
    let ([group, steps, ..], config) = (size, config(size));
    let device = Device::flex();
    let (model, image) = (config.init(&device).unwrap(), config.magvitv2.init(&device));
    let mut policy = ShowoPolicy::new(config, model, None, image, &device).unwrap();

    let prompt: Vec<u32> = (1..=PROMPT as u32).collect();
    let sampler = MaskGitConfig { timesteps: steps, guidance_scale: GUIDANCE, ..MaskGitConfig::default() };
    let (sampler, drawn) = (sampler.init().unwrap(), candidates(group as u64));
    let rollouts = median(|| {
        let prompts = policy.prepare(&vec![&prompt[..]; group], GUIDANCE).unwrap();
        let mut canvases = vec![Canvas::default(); group];
        sampler.advance(&policy, &prompts, &drawn, &mut canvases, steps).unwrap();
    });
    let groups = [random_group(&policy, group, steps).unwrap()];
    let objective = SyncGrpoConfig::default().init().unwrap();
    let before = memory_mib("VmRSS").unwrap_or(f64::NAN);
    reset_peak();
    let update = median(|| {
        accumulate(&mut policy, &objective, &groups, CHUNK, None).unwrap();
        policy.learner().apply(1e-6, 1.0).unwrap();
    });
    println!("{rollouts} {update} {}", memory_mib("VmHWM").unwrap_or(f64::NAN) - before);
}

/// The median of several, after one that is not counted.
fn median(mut work: impl FnMut()) -> f64 {
    work();
    let mut seconds: Vec<f64> = (0..REPEATS).map(|_| timed(&mut work).1).collect();
    seconds.sort_by(f64::total_cmp);
    seconds[REPEATS / 2]
}
