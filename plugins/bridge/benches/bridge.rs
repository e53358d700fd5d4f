//! What a call through the bridge costs besides the work: `cargo bench -p counterpoint-bridge`.
//!
//! The plugins look at no pixel. Python is what the environment variable PYTHON names, or `python3`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use counterpoint_bad_plugins::build_source;
use counterpoint_bridge::{BridgeOptions, Bridged};
use counterpoint_host::{Call, Expert, Image, Item, Library, Loaded, Pixels, Runner, Sealed, Setup};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;

const C: &str = r#"
#include "counterpoint_plugin.h"
static const char MANIFEST[] = "{\"abi\":{\"major\":1,\"minor\":1},\"name\":\"idle\",\"version\":\"1\",\"experts\":["
                               "{\"name\":\"idle\",\"outputs\":[{\"name\":\"score\"}]}]}";
static int instance;
static int32_t create(const cpt_host *host, const cpt_setup *setup, void **made) {
    (void)host, (void)setup;
    *made = &instance;
    return CPT_OK;
}
static int32_t score(void *made, const cpt_host *host, const cpt_batch *batch, const cpt_scores *scores) {
    (void)made, (void)host;
    for (uint64_t i = 0; i < batch->n_items; i++) {
        scores->values[i] = cpt_item_at(batch, i)->image->width;
        scores->status[i] = CPT_VALUE;
    }
    return CPT_OK;
}
static void destroy(void *made) { (void)made; }
static const cpt_plugin_v1 TABLE = {CPT_MAGIC, CPT_ABI_MAJOR, CPT_ABI_MINOR, sizeof(cpt_plugin_v1), 0,
                                    {MANIFEST, sizeof(MANIFEST) - 1}, create, score, destroy, NULL};
const cpt_plugin_v1 *cpt_plugin_v1_get(void) { return &TABLE; }
"#;

const PYTHON: &str = "
from counterpoint_reward import reward

@reward
def idle(batch):
    return [64.0 for item in batch]
";

fn bench(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let library = build_source("idle", C, folder.path());
    let file = folder.path().join("idle.py");
    std::fs::write(&file, PYTHON).unwrap();
    let settings = json!({});
    let setup = Setup { expert: "idle", settings: &settings, base: Path::new(".") };
    let runner = Runner::at(env!("CARGO_BIN_EXE_counterpoint-plugin-child"));
    let here = Loaded::create(Library::open(&library).unwrap(), &setup, 1).unwrap();
    let there = Bridged::of_library(&runner, Sealed::of(&library).unwrap(), &setup, BridgeOptions::default()).unwrap();
    let mut experts: Vec<(&str, Box<dyn Expert>)> = vec![("in process", Box::new(here)), ("bridge", Box::new(there))];

    let mut python = Command::new(std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned()));
    python.env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("python"));
    python.args(["-m", "counterpoint_reward"]).arg(file);
    match Bridged::start(python, &setup, BridgeOptions::default()) {
        Ok(python) => experts.push(("bridge, Python", Box::new(python))),
        Err(error) => eprintln!("not run: Python ({error})"),
    }
    // Items, and the side of their images.
    for (items, side) in [(64u32, 64u32), (64, 512), (64, 1024)] {
        let bytes = (items * side * side * 3) as usize;
        let pixels: Vec<u8> = (0..bytes).map(|i| (i % 251) as u8).collect();
        let batch: Vec<Item<'_>> = pixels
            .chunks_exact(bytes / items as usize)
            .map(|pixels| Item {
                prompt: "a photo of a person in a red hat on a beach",
                params: "{\"count\": 2}",
                image: Some(Image::new(side, side, Pixels::U8(pixels)).unwrap()),
                ..Item::default()
            })
            .collect();
        let mut group = criterion.benchmark_group(format!("{items} items with {side}x{side} images"));
        group.sample_size(20).throughput(Throughput::Bytes(bytes as u64));
        for (name, expert) in &mut experts {
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter(|| {
                    let scores = expert.score(black_box(&batch), &Call::default()).unwrap();
                    assert!(scores.values.len() == batch.len());
                    scores
                });
            });
        }
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
