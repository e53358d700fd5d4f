//! A device whose default type is half precision: models compute in the types that their config names. The setting is a
//! process's, and made once.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use burn::tensor::{DType, Device, FloatDType, IntDType, Tensor};
use counterpoint::Trainer;
use counterpoint::config::RunConfig;
use counterpoint::metrics::Metrics;
use counterpoint_examples::parts;

/// Metrics of two steps of the recipe, shortened, with every reward expert.
fn metrics() -> Vec<Metrics> {
    let base = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let short = [
        "trainer.group_size=3",
        "trainer.images_per_answer=1",
        "data.answer_share=0",
        "objective.denoising_steps=2",
        "trainer.max_attempts=2",
        "sampler.image.timesteps=4",
        "trainer.steps=2",
    ];
    let config = RunConfig::load(&base.join("sync_r1.toml"), &short.map(str::to_owned)).unwrap();
    let parts = parts(&config, Path::new(&base), &Device::flex()).unwrap();
    let mut trainer = Trainer::new(parts, config.trainer, config.run.seed).unwrap();
    (0..2).map(|_| trainer.step().unwrap().metrics.without_timings()).collect()
}

/// What this program writes as a child of itself, whose default type is then bf16.
const HALF: &str = "COUNTERPOINT_DEFAULT_BF16";

#[test]
fn a_default_type_of_bf16_changes_nothing() {
    if let Some(path) = std::env::var_os(HALF) {
        Device::flex().configure((FloatDType::BF16, IntDType::I32)).unwrap();
        assert_eq!(Tensor::<1>::zeros([1], &Device::flex()).dtype(), DType::BF16);
        return std::fs::write(path, format!("{:?}", metrics())).unwrap();
    }
    let written = tempfile::NamedTempFile::new().unwrap();
    let child = Command::new(std::env::current_exe().unwrap()).env(HALF, written.path()).output().unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!(std::fs::read_to_string(written.path()).unwrap(), format!("{:?}", metrics()));
}
