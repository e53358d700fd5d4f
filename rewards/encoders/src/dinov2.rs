//! DINOv2: a ViT with layer scale; with registers or a SwiGLU feed-forward where the config says so.

use std::path::Path;

use burn::module::{Module, Param};
use burn::nn::conv::Conv2d;
use burn::nn::{LayerNorm, Linear};
use burn::tensor::Tensor;
use burn::tensor::activation::{gelu, silu};
use counterpoint::{Error, Result};

use crate::files::{self, Names};
use crate::ops::{attend, embed_patches};

mod config;
mod positions;

pub use config::Dinov2Config;

const NAMES: Names = Names {
    // Published files name the projections as ViT did.
    load: &[
        (r"^dinov2(_with_registers)?\.", ""),
        (r"\.attention\.attention\.query\.", ".attention.q_proj."),
        (r"\.attention\.attention\.key\.", ".attention.k_proj."),
        (r"\.attention\.attention\.value\.", ".attention.v_proj."),
        (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    ],
    save: &[],
    ignored: &["embeddings.mask_token", "classifier."],
};

/// A DINOv2 image tower.
#[derive(Module, Debug)]
pub struct Dinov2 {
    embeddings: Embeddings,
    encoder: Layers,
    layernorm: LayerNorm,
}

#[derive(Module, Debug)]
struct Embeddings {
    cls_token: Param<Tensor<3>>,
    register_tokens: Option<Param<Tensor<3>>>,
    patch_embeddings: PatchEmbeddings,
    position_embeddings: Param<Tensor<3>>,
}

#[derive(Module, Debug)]
struct PatchEmbeddings {
    projection: Conv2d,
}

#[derive(Module, Debug)]
struct Layers {
    layer: Vec<Layer>,
}

#[derive(Module, Debug)]
struct Layer {
    norm1: LayerNorm,
    attention: SelfAttention,
    layer_scale1: LayerScale,
    norm2: LayerNorm,
    mlp: Mlp,
    layer_scale2: LayerScale,
}

#[derive(Module, Debug)]
struct SelfAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    heads: usize,
}

#[derive(Module, Debug)]
struct LayerScale {
    lambda1: Param<Tensor<1>>,
}

#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
enum Mlp {
    Gelu(Gelu),
    SwiGlu(SwiGlu),
}

#[derive(Module, Debug)]
struct Gelu {
    fc1: Linear,
    fc2: Linear,
}

#[derive(Module, Debug)]
struct SwiGlu {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl Dinov2 {
    /// All tokens after the last norm: class token, registers, patches row by row.
    ///
    /// An image of another size than the config's gets the position embedding interpolated (bicubic).
    ///
    /// # Shapes
    /// - pixels: `[b, channels, h, w]`, normalised; h and w at least one patch
    /// - result: `[b, 1 + registers + patches, hidden]`
    ///
    /// # Errors
    /// When the image has other channels or is smaller than a patch, or has another size than the config's and
    /// the tower has registers (whose originals interpolate with anti-aliasing, which is not ported).
    pub fn forward(&self, pixels: Tensor<4>) -> Result<Tensor<3>> {
        let mut x = self.embeddings.forward(pixels)?;
        for layer in &self.encoder.layer {
            let attended = layer.attention.forward(layer.norm1.forward(x.clone()));
            x = x + layer.layer_scale1.forward(attended);
            let widened = layer.mlp.forward(layer.norm2.forward(x.clone()));
            x = x + layer.layer_scale2.forward(widened);
        }
        Ok(self.layernorm.forward(x))
    }

    /// The patch tokens alone, without class token and registers.
    ///
    /// # Shapes
    /// - pixels: `[b, channels, h, w]`, result: `[b, patches, hidden]`
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn patch_features(&self, pixels: Tensor<4>) -> Result<Tensor<3>> {
        let x = self.forward(pixels)?;
        let [batch, length, _] = x.dims();
        Ok(x.slice([0..batch, 1 + self.registers()..length]))
    }

    /// The class token, which the original calls the pooled output.
    ///
    /// # Shapes
    /// - tokens: `[b, length, hidden]` from [`forward`](Self::forward), result: `[b, hidden]`
    pub fn pooled(tokens: Tensor<3>) -> Tensor<2> {
        let [batch, _, _] = tokens.dims();
        tokens.slice([0..batch, 0..1]).squeeze_dim(1)
    }

    /// Number of register tokens.
    pub fn registers(&self) -> usize {
        self.embeddings.register_tokens.as_ref().map_or(0, |r| r.dims()[1])
    }

    /// Writes `config.json` and `model.safetensors` into `dir`, under the original's names.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, config: &Dinov2Config, dir: &Path) -> Result<()> {
        files::save(self, config, dir, &NAMES)
    }
}

impl Embeddings {
    fn forward(&self, pixels: Tensor<4>) -> Result<Tensor<3>> {
        let [batch, channels, height, width] = pixels.dims();
        let [h, expected, patch, _] = self.patch_embeddings.projection.weight.dims();
        let (rows, columns) = (height / patch, width / patch);
        if channels != expected || rows == 0 || columns == 0 {
            return Err(Error::contract(format!(
                "dinov2: expected images of {expected} channels and at least {patch}x{patch} pixels, \
                 got {channels} channels and {height}x{width}"
            )));
        }
        let positions = self.position_embeddings.val();
        let side = (positions.dims()[1] - 1).isqrt();
        let same = rows == side && columns == side;
        if !same && self.register_tokens.is_some() {
            return Err(Error::contract(format!(
                "dinov2 with registers: expected an image of {0}x{0} patches, got {rows}x{columns}; resize it",
                side
            )));
        }
        let positions = if same { positions } else { positions::interpolate(positions, side, [rows, columns]) };
        let patches = embed_patches(&self.patch_embeddings.projection, pixels);
        let cls = self.cls_token.val().expand([batch, 1, h]);
        let x = Tensor::cat(vec![cls, patches], 1) + positions;
        let Some(registers) = &self.register_tokens else { return Ok(x) };
        let registers = registers.val();
        let count = registers.dims()[1];
        let length = rows * columns + 1;
        Ok(Tensor::cat(
            vec![
                x.clone().slice([0..batch, 0..1]),
                registers.expand([batch, count, h]),
                x.slice([0..batch, 1..length]),
            ],
            1,
        ))
    }
}

impl SelfAttention {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let (q, k, v) = (self.q_proj.forward(x.clone()), self.k_proj.forward(x.clone()), self.v_proj.forward(x));
        self.o_proj.forward(attend(q, k, v, self.heads, None))
    }
}

impl LayerScale {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        x * self.lambda1.val().unsqueeze::<3>()
    }
}

impl Mlp {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Gelu(m) => m.fc2.forward(gelu(m.fc1.forward(x))),
            Self::SwiGlu(m) => m.down_proj.forward(silu(m.gate_proj.forward(x.clone())) * m.up_proj.forward(x)),
        }
    }
}
