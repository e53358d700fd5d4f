//! FaceNet: InceptionResnetV1 with a bottleneck, whose vectors are near for two pictures of one person.

use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::{BatchNorm, Linear};
use burn::tensor::{DType, Device, Tensor};
use counterpoint::Result;
use counterpoint_weights::Precision;
use image::RgbImage;

use crate::files::{self, Names};
use crate::ops::{l2_normalise, project};

mod blocks;
mod config;
mod frozen;
mod graph;
mod pixels;
mod unit;

use super::conv::max_pool;
use blocks::{Block, Mixed6a, Mixed7a};
use unit::Unit;

pub use config::{FaceNetConfig, Standardisation};

const NAMES: Names = Names {
    // A counter of training that nothing is computed from; it moves to the front, where it can be ignored by its beginning.
    load: &[&[(r"^(.*)\.num_batches_tracked$", "num_batches_tracked.$1")]],
    save: &[],
    ignored: &["num_batches_tracked.", "logits."],
};

/// The FaceNet tower.
#[derive(Module, Debug)]
pub struct FaceNet {
    conv2d_1a: Unit,
    conv2d_2a: Unit,
    conv2d_2b: Unit,
    conv2d_3b: Unit,
    conv2d_4a: Unit,
    conv2d_4b: Unit,
    repeat_1: Vec<Block>,
    mixed_6a: Mixed6a,
    repeat_2: Vec<Block>,
    mixed_7a: Mixed7a,
    repeat_3: Vec<Block>,
    block8: Block,
    last_linear: Linear,
    last_bn: BatchNorm,
}

impl FaceNet {
    /// One unit vector per face.
    ///
    /// # Shapes
    /// - pixels: `[b, 3, h, w]`, standardised; h and w at least 75
    /// - result: `[b, embedding_size]`
    ///
    /// # Errors
    /// When the images have other channels or are smaller.
    pub fn forward(&self, pixels: Tensor<4>) -> Result<Tensor<2>> {
        pixels::check(pixels.dims())?;
        let x = pixels.permute([0, 2, 3, 1]);
        let x = self.conv2d_2b.forward(self.conv2d_2a.forward(self.conv2d_1a.forward(x)));
        let x = self.conv2d_3b.forward(max_pool(x, 3, false));
        let x = self.conv2d_4b.forward(self.conv2d_4a.forward(x));
        let repeat = |blocks: &[Block], x| blocks.iter().fold(x, |x, block| block.forward(x));
        let x = self.mixed_6a.forward(repeat(&self.repeat_1, x));
        let x = self.mixed_7a.forward(repeat(&self.repeat_2, x));
        let x = self.block8.forward(repeat(&self.repeat_3, x));
        let [batch, height, width, channels] = x.dims();
        let mean = x.reshape([batch, height * width, channels]).mean_dim(1);
        let projected: Tensor<2> = project(&self.last_linear, mean).squeeze_dim(1);
        Ok(l2_normalise(self.last_bn.forward(projected)))
    }

    /// Merges every norm into the convolution before it, which computes the same in less time.
    ///
    /// The result is for inference: it can be neither trained nor saved under the originals' names.
    pub fn fold(mut self) -> Self {
        self.each_unit(|unit, _| unit.fold());
        self
    }

    /// The same tower with its matrices stored and multiplied in `precision`; all else stays f32.
    pub fn stored_in(self, precision: Precision) -> Self {
        self.map(&mut Stored(precision.dtype()))
    }

    /// Writes `config.json` and `model.safetensors` into `dir`, under the originals' names.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, config: &FaceNetConfig, dir: &Path) -> Result<()> {
        files::save(self, config, dir, &NAMES)
    }

    /// Visits the units with their scopes in the TensorFlow original.
    fn each_unit(&mut self, mut visit: impl FnMut(&mut Unit, &str)) {
        let stem = [
            (&mut self.conv2d_1a, "Conv2d_1a_3x3"),
            (&mut self.conv2d_2a, "Conv2d_2a_3x3"),
            (&mut self.conv2d_2b, "Conv2d_2b_3x3"),
            (&mut self.conv2d_3b, "Conv2d_3b_1x1"),
            (&mut self.conv2d_4a, "Conv2d_4a_3x3"),
            (&mut self.conv2d_4b, "Conv2d_4b_3x3"),
        ];
        for (unit, scope) in stem {
            visit(unit, scope);
        }
        self.each_block(|block, scope| block.each_unit(scope, &mut visit));
        self.mixed_6a.each_unit(&mut visit);
        self.mixed_7a.each_unit(&mut visit);
    }

    /// Visits the residual blocks with their scopes in the TensorFlow original.
    fn each_block(&mut self, mut visit: impl FnMut(&mut Block, &str)) {
        let repeats = [
            (&mut self.repeat_1, "Repeat/block35"),
            (&mut self.repeat_2, "Repeat_1/block17"),
            (&mut self.repeat_3, "Repeat_2/block8"),
        ];
        for (blocks, scope) in repeats {
            for (i, block) in blocks.iter_mut().enumerate() {
                visit(block, &format!("{scope}_{}", i + 1));
            }
        }
        visit(&mut self.block8, "Block8");
    }
}

/// Casts what is multiplied with: convolutions and matrices.
struct Stored(DType);

impl ModuleMapper for Stored {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if D > 1 { param.map(|tensor| tensor.cast(self.0)) } else { param }
    }
}

/// A [`FaceNet`] with what it needs to know of its images.
#[derive(Debug)]
pub struct FaceEmbedder {
    tower: FaceNet,
    config: FaceNetConfig,
    device: Device,
}

impl FaceEmbedder {
    /// The weights at `path`, ready for inference with the matrices in `precision`: see [`FaceNetConfig::load`].
    ///
    /// # Errors
    /// When the file is missing or damaged, or does not fit the config.
    pub fn load(path: &Path, precision: Precision, device: &Device) -> Result<Self> {
        let config = FaceNetConfig::read(path)?;
        let tower = FaceNetConfig::load(path, device)?.fold().stored_in(precision);
        Ok(Self { tower, config, device: device.clone() })
    }

    /// Settings of the tower.
    pub fn config(&self) -> &FaceNetConfig {
        &self.config
    }

    /// One unit vector per face, as [`FaceNet::forward`].
    ///
    /// # Shapes
    /// - pixels: `[b, 3, h, w]`, standardised; result: `[b, embedding_size]`
    ///
    /// # Errors
    /// As [`FaceNet::forward`].
    pub fn forward(&self, pixels: Tensor<4>) -> Result<Tensor<2>> {
        self.tower.forward(pixels)
    }

    /// One unit vector per face, each the picture of a face alone; another size than the config's is resized.
    ///
    /// # Shapes
    /// - result: `[faces, embedding_size]`
    ///
    /// # Errors
    /// When there is no face or one has no pixels.
    pub fn embed(&self, faces: &[&RgbImage]) -> Result<Tensor<2>> {
        self.tower.forward(self.config.pixels(faces, &self.device)?)
    }
}
