//! What a plugin costs besides its work: the same trivial reward called directly, in a loaded library, and in a child process.
//!
//! `cargo bench -p counterpoint-benches --bench plugins`
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use burn::tensor::Device;
use counterpoint::registry::{BuildContext, named_reward};
use counterpoint::{Result, Reward, Sample, Score, Task};
use counterpoint_host::{Call, Expert, Image, Item, Library, Loaded, Pixels, Setup, Sidecar};
use criterion::{Criterion, Throughput};
use image::{Rgb, RgbImage};
use toml::Table;

/// Items of a call.
const ITEMS: u64 = 64;

/// The plugin's work without the plugin.
struct Touch;

impl Reward for Touch {
    fn name(&self) -> &str {
        "touch"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let score = |sample: &Sample| match &sample.image {
            Some(image) => Score::Value(f64::from(image.as_raw()[0])),
            None => Score::Abstain("no image".to_owned()),
        };
        Ok(samples.iter().map(score).collect())
    }
}

fn main() {
    counterpoint_examples::run_if_child();
    let folder = tempfile::tempdir().unwrap();
    install(folder.path());
    let mut criterion = Criterion::default().configure_from_args().measurement_time(Duration::from_secs(3));
    calls(&mut criterion, folder.path());
    throughput(&mut criterion, folder.path());
    criterion.final_summary();
}

fn calls(criterion: &mut Criterion, folder: &Path) {
    let mut group = criterion.benchmark_group("a call of 64 items with 64x64 images");
    let samples = samples(64);
    let mut rewards: Vec<(&str, Box<dyn Reward>)> = vec![
        ("direct", Box::new(Touch)),
        ("loaded", plugin(folder, "")),
        ("in a child process", plugin(folder, "isolation = 'process'")),
    ];
    let expected = Touch.score(&samples).unwrap();
    for (name, reward) in &mut rewards {
        assert_eq!(reward.score(&samples).unwrap(), expected, "{name}");
        group.bench_function(*name, |b| b.iter(|| reward.score(&samples).unwrap()));
    }
    // The plugin's call alone, without the way from the engine's samples to items and back.
    let library = Library::open(&folder.join(library())).unwrap();
    let setup = Setup { expert: "touch", settings: &serde_json::json!({}), base: folder };
    let mut expert = Loaded::create(library, &setup, 1).unwrap();
    let items: Vec<Item<'_>> = samples.iter().map(item).collect();
    group.bench_function("loaded, the host's part", |b| b.iter(|| expert.score(&items, &Call::default()).unwrap()));
    group.finish();
}

fn item(sample: &Sample) -> Item<'_> {
    let image = sample.image.as_ref().unwrap();
    let image = Image::new(image.width(), image.height(), Pixels::U8(image.as_raw())).unwrap();
    Item { prompt: &sample.prompt, response: &sample.response, image: Some(image), ..Item::default() }
}

fn throughput(criterion: &mut Criterion, folder: &Path) {
    let mut group = criterion.benchmark_group("a call of 64 items with 512x512 images");
    let samples = samples(512);
    group.throughput(Throughput::Bytes(ITEMS * 512 * 512 * 3)).sample_size(30);
    let mut reward = plugin(folder, "isolation = 'process'");
    group.bench_function("in a child process", |b| b.iter(|| reward.score(&samples).unwrap()));
    group.finish();
}

fn samples(side: u32) -> Vec<Sample> {
    let params = serde_json::json!({ "facts": ["a red hat"], "target": 0 });
    let task = Task::new(0, "What is she like?").with_params(params);
    let image = |i: u64| Arc::new(RgbImage::from_pixel(side, side, Rgb([i as u8; 3])));
    (0..ITEMS).map(|i| Sample::new(&task, i, "a hat".into(), "a red hat".into(), Some(image(i)))).collect()
}

fn plugin(folder: &Path, settings: &str) -> Box<dyn Reward> {
    let mut table: Table = settings.parse().unwrap();
    table.insert("kind".to_owned(), "plugin".into());
    table.insert("path".to_owned(), folder.to_str().unwrap().into());
    let context = BuildContext::new(Device::flex(), folder);
    named_reward("touch", &table, &context).unwrap()
}

fn library() -> String {
    format!("{}touch{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

/// Builds the plugin and puts it into `folder` with its sidecar.
fn install(folder: &Path) {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "-p", "counterpoint-benches", "--example", "touch"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success(), "the plugin cannot be built");
    let name = library();
    // This program is target/release/deps/plugins-<hash>.
    let profile: PathBuf = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    let plugin = folder.join(&name);
    std::fs::copy(profile.join("examples").join(&name), &plugin).unwrap();
    Sidecar::of(&plugin, Library::open(&plugin).unwrap().manifest()).unwrap().write(&plugin).unwrap();
}
