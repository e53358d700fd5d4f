//! How much memory a load takes, measured in a process of its own: at most 1.3 times what is loaded.
//!
//! It prints its figures; `COUNTERPOINT_LAYERS=400 cargo test --test memory` takes a file of 200 MB in bf16. The
//! program is its own child, begun again in a role. Linux only: elsewhere nothing tells the peak.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::{Device, FloatDType};
use counterpoint_weights::{ConvertOptions, LoadOptions, WeightFiles, load, save_safetensors};
use libtest_mimic::{Arguments, Failed, Trial};

const WIDTH: usize = 512;
/// What a peak may be over what is loaded, a bare process left out of it.
const BOUND: f64 = 1.3;
const ROLE: &str = "COUNTERPOINT_WEIGHTS_MEMORY";

/// How many square layers there are: 96, 25 million parameters, if `COUNTERPOINT_LAYERS` does not say otherwise.
fn layers() -> usize {
    std::env::var("COUNTERPOINT_LAYERS").map_or(96, |layers| layers.parse().unwrap())
}

/// Square layers and an embedding four times as large as one.
#[derive(Module, Debug)]
struct Model {
    embedding: Embedding,
    layers: Vec<Linear>,
}

fn model(device: &Device) -> Model {
    Model {
        embedding: EmbeddingConfig::new(4 * WIDTH, WIDTH).init(device),
        layers: (0..layers()).map(|_| LinearConfig::new(WIDTH, WIDTH).init(device)).collect(),
    }
}

/// The highest resident memory of this process so far, in bytes.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

fn dtype(name: &str) -> FloatDType {
    match name {
        "f32" => FloatDType::F32,
        _ => FloatDType::BF16,
    }
}

/// The child: makes a file, or loads one and prints its peak before and after, and the seconds.
fn play(role: &str) {
    let parts: Vec<&str> = role.split(' ').collect();
    match parts.as_slice() {
        ["save", path, kind] => {
            save_safetensors(&model(&Device::flex()), Path::new(path), &HashMap::new(), Some(dtype(kind))).unwrap();
        }
        ["load", path, kind] => {
            let mut model = model(&Device::flex());
            let bare = peak();
            let begun = Instant::now();
            let files = WeightFiles::open(Path::new(path)).unwrap();
            load(&mut model, &files, &LoadOptions { dtype: Some(dtype(kind)), ..LoadOptions::default() }).unwrap();
            let (loaded, seconds) = (peak(), begun.elapsed().as_secs_f64());
            let last = model.layers[layers() - 1].weight.val();
            assert_eq!((last.dims(), last.dtype()), ([WIDTH, WIDTH], dtype(kind).into()));
            println!("{bare} {loaded} {seconds}");
        }
        _ => panic!("unknown role {role}"),
    }
}

fn child(role: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap()).env(ROLE, role).output().unwrap();
    assert!(output.status.success(), "{role}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// One test for all, so that no two loads share the machine.
fn measure() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let parameters = ((4 + layers()) * WIDTH * WIDTH + layers() * WIDTH) as f64;
    for stored in ["bf16", "f32"] {
        let path = folder.path().join(format!("{stored}.safetensors"));
        child(&format!("save {} {stored}", path.display()));
        let files = WeightFiles::open(&path)?;
        let mut paths = vec![path];
        let others: &[&str] = if stored == "bf16" { &["bin", "bpk"] } else { &[] };
        for ending in others {
            paths.push(folder.path().join(format!("{stored}.{ending}")));
            files.convert(&paths[paths.len() - 1], &ConvertOptions::default())?;
        }
        for path in paths {
            for kind in ["bf16", "f32"] {
                let text = child(&format!("load {} {kind}", path.display()));
                let peaks: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
                let bytes = parameters * if kind == "f32" { 4.0 } else { 2.0 };
                let ratio = (peaks[1] - peaks[0]) / bytes;
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                println!(
                    "{name} as {kind}: {:.0} MB loaded in {:.2} s, peak {:.0} MB over a bare process of {:.0} MB, {ratio:.3} times",
                    bytes / 1e6,
                    peaks[2],
                    (peaks[1] - peaks[0]) / 1e6,
                    peaks[0] / 1e6
                );
                if ratio > BOUND {
                    return Err(format!("{name} as {kind}: peak {ratio:.3} times what is loaded").into());
                }
            }
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn main() {
    if let Ok(role) = std::env::var(ROLE) {
        return play(&role);
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let tests = if cfg!(target_os = "linux") {
        vec![Trial::test("a_load_takes_little_more_memory_than_the_model", measure)]
    } else {
        Vec::new()
    };
    libtest_mimic::run(&arguments, tests).exit();
}
