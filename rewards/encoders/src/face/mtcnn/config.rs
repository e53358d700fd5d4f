//! Settings of the detector, and the detector made from them and a file.

use std::path::Path;

use burn::tensor::Device;
use counterpoint::{Error, Result};
use counterpoint_weights::{LoadOptions, WeightFiles, load};
use serde::{Deserialize, Serialize};

use super::Mtcnn;
use super::nets::Nets;
use crate::files;

/// Settings of an [`Mtcnn`], under facenet-pytorch's names and with its defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MtcnnConfig {
    /// Side of a crop in pixels.
    pub image_size: usize,
    /// Pixels of a crop that lie beyond the face's box, both sides together.
    pub margin: usize,
    /// Side of the smallest face that is looked for, in pixels.
    pub min_face_size: usize,
    /// Least probability of a face in each of the three stages.
    pub thresholds: [f32; 3],
    /// Ratio of one level of the image pyramid to the one before it, between 0 and 1.
    pub factor: f64,
    /// Whether crops are standardised: `(x - 127.5) / 128`.
    pub post_process: bool,
    /// Whether faces are ordered by size, largest first; otherwise by probability.
    pub select_largest: bool,
    /// Whether [`Mtcnn::crops`] gives all faces or the first.
    pub keep_all: bool,
    /// Longest side in pixels in which faces are looked for; of a larger image a smaller copy is looked at, and faces below
    /// `min_face_size` there are not seen. What is cut out has the pixels of the image itself. The original has no limit.
    pub max_side: usize,
}

impl Default for MtcnnConfig {
    fn default() -> Self {
        Self {
            image_size: 160,
            margin: 0,
            min_face_size: 20,
            thresholds: [0.6, 0.7, 0.7],
            factor: 0.709,
            post_process: true,
            select_largest: true,
            keep_all: false,
            max_side: 1600,
        }
    }
}

impl MtcnnConfig {
    /// The `config.json` in the folder `path` or beside the file `path`; the default where there is none.
    ///
    /// # Errors
    /// When there is nothing at `path`, or the config cannot be read or is not one of this kind.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(Error::config(format!(
                "mtcnn: expected weights at {}, found nothing; give the folder or the file that holds them",
                path.display()
            )));
        }
        let config = if path.is_dir() { path.join(files::CONFIG) } else { path.with_file_name(files::CONFIG) };
        if config.exists() { files::read_json(&config) } else { Ok(Self::default()) }
    }

    /// A detector with random weights.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn init(&self, device: &Device) -> Result<Mtcnn> {
        let wrong = |what: String| Err(Error::config(format!("mtcnn: {what}; check config.json")));
        if self.image_size == 0 || self.margin >= self.image_size {
            return wrong(format!(
                "expected image_size above margin, got image_size {} and margin {}",
                self.image_size, self.margin
            ));
        }
        if self.min_face_size == 0 {
            return wrong("expected min_face_size above 0, got 0".into());
        }
        if self.max_side < self.min_face_size {
            return wrong(format!(
                "expected max_side of at least min_face_size ({}), got {}",
                self.min_face_size, self.max_side
            ));
        }
        if !(self.factor > 0.0 && self.factor < 1.0) {
            return wrong(format!("expected factor between 0 and 1, got {}", self.factor));
        }
        if !self.thresholds.iter().all(|t| (0.0..=1.0).contains(t)) {
            return wrong(format!("expected thresholds in 0..=1, got {:?}", self.thresholds));
        }
        Ok(Mtcnn { nets: Nets::new(device), config: self.clone(), device: device.clone() })
    }

    /// The detector at `path`: a file or a folder with one weight file whose tensors begin with `pnet.`, `rnet.` and
    /// `onet.`, or a folder with `pnet.pt`, `rnet.pt` and `onet.pt` as facenet-pytorch ships them.
    ///
    /// # Errors
    /// When a file is missing or damaged, or holds other networks.
    pub fn load(path: &Path, device: &Device) -> Result<Mtcnn> {
        let mut detector = Self::read(path)?.init(device)?;
        let nets = &mut detector.nets;
        let how = LoadOptions::default();
        let [pnet, rnet, onet] = ["pnet.pt", "rnet.pt", "onet.pt"].map(|name| path.join(name));
        if pnet.is_file() {
            load(&mut nets.pnet, &WeightFiles::open(&pnet)?, &how)?;
            load(&mut nets.rnet, &WeightFiles::open(&rnet)?, &how)?;
            load(&mut nets.onet, &WeightFiles::open(&onet)?, &how)?;
        } else {
            load(nets, &WeightFiles::open(path)?, &how)?;
        }
        Ok(detector)
    }
}
