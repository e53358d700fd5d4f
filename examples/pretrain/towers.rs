//! Trains the reward towers of UnifyBench in miniature: an ERNIE-style text encoder for TIER, a small BLIP-2 for BER, a
//! small DINOv2 for DER and a small FaceNet for FER, each from random weights, on the CPU, on scenes that are not held out.
//!
//! Afterwards each tower is read back from its files and measured on held-out scenes: the AUC of the right scene
//! against scenes with one attribute wrong.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::time::Instant;

use counterpoint::Result;

#[path = "towers/ber.rs"]
mod ber;
#[path = "towers/der.rs"]
mod der;
#[path = "towers/draws.rs"]
mod draws;
#[path = "towers/fer.rs"]
mod fer;
#[path = "towers/images.rs"]
pub(crate) mod images;
#[path = "towers/language.rs"]
mod language;
#[path = "towers/optimise.rs"]
pub(crate) mod optimise;
#[path = "towers/scenes.rs"]
mod scenes;
#[path = "towers/tier.rs"]
mod tier;

const TOWERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../benches/unifybench/assets/towers");

/// What to train and where to write it.
#[derive(clap::Args, Debug, Clone)]
#[group(id = "tower-options")]
pub(crate) struct Options {
    /// Folder that gets the folders tier, ber, der and fer/embedding; fer/detector must be there
    #[arg(long, default_value = TOWERS)]
    pub(crate) towers: PathBuf,
    /// Train this tower only
    #[arg(long, value_enum)]
    pub(crate) tower: Option<Tower>,
    /// Train for this share of the steps, such as 0.01 for a trial
    #[arg(long, default_value_t = 1.0)]
    pub(crate) effort: f64,
    /// Measure the towers that are there, train none
    #[arg(long)]
    pub(crate) measure_only: bool,
    /// Seed of weights and data
    #[arg(long, default_value_t = 1)]
    pub(crate) tower_seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { towers: TOWERS.into(), tower: None, effort: 1.0, measure_only: false, tower_seed: 1 }
    }
}

/// One of the towers.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tower {
    /// Text encoder
    Tier,
    /// Image-text tower
    Ber,
    /// Image tower
    Der,
    /// Face tower
    Fer,
}

/// Trains the towers, writes them and prints how well they tell scenes apart.
///
/// # Errors
/// When a file cannot be read or written.
pub(crate) fn run(options: &Options) -> Result<()> {
    for (tower, name) in [(Tower::Tier, "tier"), (Tower::Ber, "ber"), (Tower::Der, "der"), (Tower::Fer, "fer")] {
        if options.tower.is_some_and(|only| only != tower) {
            continue;
        }
        let dir = options.towers.join(name);
        if !options.measure_only {
            let started = Instant::now();
            match tower {
                Tower::Tier => tier::train(options, &dir)?,
                Tower::Ber => ber::train(options, &dir)?,
                Tower::Der => der::train(options, &dir)?,
                Tower::Fer => fer::train(options, &dir)?,
            }
            println!("{name}: trained in {:.0} s", started.elapsed().as_secs_f64());
        }
        match tower {
            Tower::Tier => tier::measure(&dir)?,
            Tower::Ber => ber::measure(&dir)?,
            Tower::Der => der::measure(&dir)?,
            Tower::Fer => fer::measure(&dir)?,
        }
    }
    Ok(())
}
