//! Peak memory of an update of a Janus against candidates G and codes of an image, with and without gradient checkpointing.
//!
//! `cargo bench -p counterpoint-benches --bench janus_memory`
//!
//! Each size runs in a process of its own: gradients of a recorded group, an image and an answer about a real one for each candidate, on 12 layers
//! of 256 with random weights, all of the decoder trained, chunks of 4 one at a time. The peak is that above the loaded model (`VmHWM`, Linux).
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use burn::tensor::{Device, Tensor};
use counterpoint::objective::Kl;
use counterpoint::updater::accumulate;
use counterpoint::{Group, Key, Policy, Replay, Segment, SegmentKind, Streams, SyncGrpoConfig, Trajectory};
use counterpoint_benches::process::{memory_mib, reset_peak, timed};
use counterpoint_janus::{JanusConfig, JanusPolicy, SpecialIds, Trainable, VqTokenizer};

const IDS: SpecialIds = SpecialIds { bos: 1, eos: 2, pad: 0, boi: 6, eoi: 7 };
const CHUNK: usize = 4;
const DEPTH: usize = 12;
const WIDTH: usize = 256;
/// Candidates, and codes along a side of an image.
const SIZES: [(usize, usize); 4] = [(4, 8), (16, 8), (4, 16), (16, 16)];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|a| a == "--update") {
        return update(args[at + 1].parse().unwrap(), args[at + 2].parse().unwrap(), args[at + 3].parse().unwrap());
    }
    println!("{:>4} {:>6} {:>6}  {:>18} {:>11} {:>8}", "G", "codes", "on", "estimate (MiB)", "peak (MiB)", "seconds");
    for on in [false, true] {
        for (candidates, side) in SIZES {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--update", &candidates.to_string(), &side.to_string(), &on.to_string()])
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let measured = String::from_utf8(output.stdout).unwrap();
            println!("{candidates:>4} {:>6} {on:>6}  {}", side * side, measured.trim_end());
        }
    }
}

/// Estimate of a chunk of images, and peak above the loaded model and time of the gradients of a group.
fn update(candidates: usize, side: usize, on: bool) {
    // One thread of chunks.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/janus/assets/tiny/config.json");
    let mut config = JanusConfig::read(&tiny).unwrap();
    let text = &mut config.text_config;
    (text.hidden_size, text.intermediate_size, text.num_hidden_layers) = (WIDTH, 704, DEPTH);
    (text.num_attention_heads, text.num_key_value_heads, text.max_position_embeddings) = (8, Some(8), 512);
    (config.vq_config.projection_dim, config.vq_config.image_token_embed_dim) = (WIDTH, WIDTH);
    config.vision_config.projection_dim = WIDTH;
    config.vq_config.num_patches = side;
    let device = Device::flex();
    let model = config.init(&device).unwrap();
    let (tokenizer, pixels) = (VqTokenizer::init(&config.vq_config, &device), config.vision_config.image_size);
    let (embeddings, image_token) = (config.image_embeddings(), config.image_token_id);
    let mut policy = JanusPolicy::new(config, IDS, model, tokenizer, &device)
        .unwrap()
        .with_trainable(&Trainable::Decoder)
        .unwrap()
        .with_gradient_checkpointing(on)
        .unwrap();
    let shown = policy.show(Tensor::zeros([1, 3, pixels, pixels], &device));
    let question = [vec![shown, 1, 20, 6], vec![image_token; embeddings], vec![7, 30, 31]].concat();
    let candidate = |n: u64| {
        let mut stream = Streams::new(0).stream(Key { step: 0, task: 0, candidate: n }, "bench.tokens", 0);
        let mut draw = |count: usize, from: u32, below: usize| -> Vec<u32> {
            (0..count).map(|_| from + stream.below(below) as u32).collect()
        };
        let answer = Segment::text(question.clone(), draw(16, 10, 30), vec![-3.0; 16]);
        let codes = side * side;
        let image =
            Segment::text([vec![1], draw(10, 10, 30), vec![6]].concat(), draw(codes, 0, 256), vec![-5.0; codes]);
        Trajectory::new(n, vec![answer, image.with_kind(SegmentKind::Generation)])
    };
    let trajectories: Vec<Trajectory> = (0..candidates as u64).map(candidate).collect();
    let chunk: Vec<Replay<'_>> = trajectories[..CHUNK]
        .iter()
        .map(|trajectory| Replay { trajectory, segment: 1, steps: 0..side * side })
        .collect();
    let estimate = policy.chunk_bytes(&chunk).unwrap() as f64 / f64::from(1 << 20);
    let advantages = (0..candidates).map(|i| i as f64 / candidates as f64 - 0.5).collect();
    let group = Group::new(0, trajectories, advantages);
    let objective = SyncGrpoConfig { kl: Kl::None, ..SyncGrpoConfig::default() }.init().unwrap();
    reset_peak();
    let before = memory_mib("VmRSS").unwrap();
    let (_, seconds, _) = timed(|| accumulate(&mut policy, &objective, &[group], CHUNK, None).unwrap());
    let peak = memory_mib("VmHWM").unwrap() - before;
    println!("{estimate:>18.1} {peak:>11.1} {seconds:>8.2}");
}
