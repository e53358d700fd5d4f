//! Sizes of the tower, and the tower made from them or read from a file.

use std::path::{Path, PathBuf};

use burn::nn::{BatchNormConfig, LinearConfig};
use burn::tensor::Device;
use counterpoint::{Error, Result};
use counterpoint_weights::{LoadOptions, Precision, WeightFiles, load};
use serde::{Deserialize, Serialize};

use super::blocks::{Block, Mixed6a, Mixed7a};
use super::unit::{EPSILON, Unit};
use super::{FaceNet, NAMES, frozen, pixels};
use crate::files;

/// What is done to the bytes of a face before the tower sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standardisation {
    /// `(x - 127.5) / 128`: facenet-pytorch, for the VGGFace2 and CASIA-WebFace checkpoints of it.
    #[default]
    Fixed,
    /// Minus the image's own mean, over its own deviation ("prewhitening"): the frozen graphs of TensorFlow.
    PerImage,
}

/// Architecture of a [`FaceNet`]. The published files have no config: the default is theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaceNetConfig {
    /// Side in pixels of the faces it is given; at least 75.
    pub image_size: usize,
    /// What every channel count of the original is divided by: 1, 2, 4, 8 or 16.
    pub width: usize,
    /// Length of the vectors.
    pub embedding_size: usize,
    /// What is done to the bytes of a face. Default: `fixed`; for a frozen graph without a config, `per_image`.
    pub standardisation: Standardisation,
}

impl Default for FaceNetConfig {
    fn default() -> Self {
        Self { image_size: 160, width: 1, embedding_size: 512, standardisation: Standardisation::Fixed }
    }
}

impl FaceNetConfig {
    /// The `config.json` in the folder `path` or beside the file `path`; the default where there is none.
    ///
    /// # Errors
    /// When there is nothing at `path`, or the config cannot be read or is not one of this kind.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(Error::config(format!(
                "facenet: expected weights at {}, found nothing; give the folder or the file that holds them",
                path.display()
            )));
        }
        let config = if path.is_dir() { path.join(files::CONFIG) } else { path.with_file_name(files::CONFIG) };
        if config.exists() {
            return files::read_json(&config);
        }
        let standardisation = if graph(path).is_some() { Standardisation::PerImage } else { Standardisation::Fixed };
        Ok(Self { standardisation, ..Self::default() })
    }

    /// A tower with random weights.
    ///
    /// # Errors
    /// When a size is out of range.
    pub fn init(&self, device: &Device) -> Result<FaceNet> {
        let wrong = |what: String| Error::config(format!("facenet: {what}; check config.json"));
        if ![1, 2, 4, 8, 16].contains(&self.width) {
            return Err(wrong(format!("expected width 1, 2, 4, 8 or 16, got {}", self.width)));
        }
        if self.image_size < pixels::SMALLEST {
            return Err(wrong(format!("expected image_size {} or more, got {}", pixels::SMALLEST, self.image_size)));
        }
        if self.embedding_size == 0 {
            return Err(wrong("expected embedding_size above 0, got 0".into()));
        }
        let n = |channels: usize| channels / self.width;
        let valid = |from: usize, to, kernel, stride| {
            let from = if from == 3 { 3 } else { n(from) };
            Unit::valid([from, n(to)], kernel, stride, device)
        };
        Ok(FaceNet {
            conv2d_1a: valid(3, 32, 3, 2),
            conv2d_2a: valid(32, 32, 3, 1),
            conv2d_2b: Unit::same([n(32), n(64)], [3, 3], device),
            conv2d_3b: valid(64, 80, 1, 1),
            conv2d_4a: valid(80, 192, 3, 1),
            conv2d_4b: valid(192, 256, 3, 2),
            repeat_1: (0..5).map(|_| Block::block35(&n, device)).collect(),
            mixed_6a: Mixed6a::new(&n, device),
            repeat_2: (0..10).map(|_| Block::block17(&n, device)).collect(),
            mixed_7a: Mixed7a::new(&n, device),
            repeat_3: (0..5).map(|_| Block::block8(&n, false, device)).collect(),
            block8: Block::block8(&n, true, device),
            last_linear: LinearConfig::new(n(1792), self.embedding_size).with_bias(false).init(device),
            last_bn: BatchNormConfig::new(self.embedding_size).with_epsilon(EPSILON).init(device),
        })
    }

    /// The tower at `path`: a folder or a file with a state dict of facenet-pytorch in any format of
    /// [`counterpoint_weights`], whose classifier is left out, or a frozen TensorFlow graph (`.pb`; in a folder, if it has no
    /// other weights).
    ///
    /// # Errors
    /// When a file is missing or damaged, or the weights do not fit the config.
    pub fn load(path: &Path, device: &Device) -> Result<FaceNet> {
        let mut tower = Self::read(path)?.init(device)?;
        if let Some(graph) = graph(path) {
            frozen::load(&mut tower, &graph, device)?;
        } else {
            let dtype = Some(Precision::F32.into());
            let renamed = NAMES.load.concat();
            let how = LoadOptions { renamed: &renamed, ignored: NAMES.ignored, dtype, ..LoadOptions::default() };
            load(&mut tower, &WeightFiles::open(path)?, &how)?;
        }
        Ok(tower)
    }
}

/// The frozen graph that is meant by `path`, if one is.
fn graph(path: &Path) -> Option<PathBuf> {
    let ends_with =
        |path: &Path, endings: &[&str]| path.extension().is_some_and(|e| endings.iter().any(|known| e == *known));
    if !path.is_dir() {
        return ends_with(path, &["pb"]).then(|| path.to_owned());
    }
    let inside: Vec<PathBuf> = std::fs::read_dir(path).ok()?.flatten().map(|entry| entry.path()).collect();
    let others = ["safetensors", "bpk", "pt", "pth", "bin", "ckpt"];
    if inside.iter().any(|path| ends_with(path, &others)) {
        return None;
    }
    inside.into_iter().find(|path| ends_with(path, &["pb"]))
}
