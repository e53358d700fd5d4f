//! The one vision transformer behind CLIP's, DINOv2's and BLIP's image towers.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Initializer, LayerNorm, LayerNormConfig};
use burn::tensor::{DType, Device, Tensor};
use counterpoint::{Error, Result};

use crate::ops::{Visible, embed_patches, in_pieces};
use crate::transformer::{Block, BlockConfig};

mod positions;

/// Architecture of a [`Vit`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct VitConfig {
    pub(crate) block: BlockConfig,
    pub(crate) layers: usize,
    /// Side in pixels of the image that the position embedding is for.
    pub(crate) image_size: usize,
    pub(crate) patch_size: usize,
    pub(crate) channels: usize,
    pub(crate) patch_bias: bool,
    /// Whether the embeddings are normalised before the first block.
    pub(crate) pre_norm: bool,
    pub(crate) registers: usize,
    pub(crate) resizing: Resizing,
}

/// What becomes of the position embedding when an image has another size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resizing {
    /// Such an image is refused.
    None,
    /// Bicubic interpolation.
    Bicubic,
    /// Bicubic interpolation, anti-aliased where it shrinks.
    AntiAliased,
}

/// A vision transformer: patches, a class token, registers where there are some, pre-norm blocks, a norm.
#[derive(Module, Debug)]
pub(crate) struct Vit {
    embeddings: Embeddings,
    pre_norm: Option<LayerNorm>,
    layers: Vec<Block>,
    norm: LayerNorm,
}

#[derive(Module, Debug)]
struct Embeddings {
    class_token: Param<Tensor<3>>,
    registers: Option<Param<Tensor<3>>>,
    patches: Conv2d,
    positions: Param<Tensor<3>>,
    #[module(skip)]
    resizing: Resizing,
}

impl VitConfig {
    pub(crate) fn init(&self, device: &Device) -> Vit {
        let (h, p) = (self.block.hidden, self.patch_size);
        let side = self.image_size / p;
        let normal = Initializer::Normal { mean: 0.0, std: 0.02 };
        let norm = || LayerNormConfig::new(h).with_epsilon(self.block.epsilon).init(device);
        Vit {
            embeddings: Embeddings {
                class_token: normal.init([1, 1, h], device),
                registers: (self.registers > 0).then(|| normal.init([1, self.registers, h], device)),
                patches: Conv2dConfig::new([self.channels, h], [p, p])
                    .with_stride([p, p])
                    .with_bias(self.patch_bias)
                    .init(device),
                positions: normal.init([1, side * side + 1, h], device),
                resizing: self.resizing,
            },
            pre_norm: self.pre_norm.then(norm),
            layers: (0..self.layers).map(|_| self.block.init(device)).collect(),
            norm: norm(),
        }
    }
}

impl Vit {
    /// All tokens after the last block: class token, registers, patches row by row. Without the last norm, see
    /// [`norm`](Self::norm).
    ///
    /// # Shapes
    /// - pixels: `[b, channels, h, w]`, normalised; h and w at least one patch
    /// - result: `[b, 1 + registers + patches, hidden]`
    ///
    /// # Errors
    /// When the image has other channels, is smaller than a patch, or is of another size than the config's and the tower
    /// does not take it.
    pub(crate) fn forward(&self, pixels: Tensor<4>) -> Result<Tensor<3>> {
        let positions = self.embeddings.positions(pixels.dims())?;
        let [batch, ..] = pixels.dims();
        let encode = |from, n| {
            let mut x = self.embeddings.forward(pixels.clone().narrow(0, from, n), positions.clone());
            if let Some(norm) = &self.pre_norm {
                x = norm.forward(x);
            }
            for layer in &self.layers {
                x = layer.forward(x, Visible::All);
            }
            x
        };
        Ok(in_pieces(batch, positions.dims()[1], &pixels.device(), encode))
    }

    /// The last norm.
    ///
    /// # Shapes
    /// - x and result: `[b, l, hidden]`
    pub(crate) fn norm(&self, x: Tensor<3>) -> Tensor<3> {
        self.norm.forward(x)
    }

    /// Number of register tokens.
    pub(crate) fn registers(&self) -> usize {
        self.embeddings.registers.as_ref().map_or(0, |r| r.dims()[1])
    }
}

impl Embeddings {
    /// The position embedding for images of this shape.
    ///
    /// # Shapes
    /// - result: `[1, 1 + patches, hidden]`
    fn positions(&self, [_, channels, height, width]: [usize; 4]) -> Result<Tensor<3>> {
        let [_, expected, patch, _] = self.patches.weight.dims();
        let (rows, columns) = (height / patch, width / patch);
        if channels != expected || rows == 0 || columns == 0 {
            return Err(Error::contract(format!(
                "vision transformer: expected images of {expected} channels and at least {patch}x{patch} pixels, \
                 got {channels} channels and {height}x{width}"
            )));
        }
        let positions = self.positions.val().cast(DType::F32);
        let side = (positions.dims()[1] - 1).isqrt();
        match (rows == side && columns == side, self.resizing) {
            (true, _) => Ok(positions),
            (false, Resizing::None) => Err(Error::contract(format!(
                "vision transformer: expected an image of {side}x{side} patches of {patch} pixels, got {rows}x{columns}; \
                 resize it"
            ))),
            (false, resizing) => Ok(positions::interpolate(positions, side, [rows, columns], resizing)),
        }
    }

    fn forward(&self, pixels: Tensor<4>, positions: Tensor<3>) -> Tensor<3> {
        let patches = embed_patches(&self.patches, pixels);
        let [batch, count, h] = patches.dims();
        let class = self.class_token.val().cast(DType::F32).expand([batch, 1, h]);
        let Some(registers) = &self.registers else {
            return Tensor::cat(vec![class, patches], 1) + positions;
        };
        // Registers have no position.
        let registers = registers.val().cast(DType::F32);
        let length = registers.dims()[1];
        let patches = patches + positions.clone().narrow(1, 1, count);
        let class = class + positions.narrow(1, 0, 1);
        Tensor::cat(vec![class, registers.expand([batch, length, h]), patches], 1)
    }
}
