//! DINOv2: a ViT with layer scale; with registers or a SwiGLU feed-forward where the config says so.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Tensor;
use counterpoint::Result;

use crate::files::{self, Names};
use crate::vit::Vit;

mod config;

pub use config::Dinov2Config;

const NAMES: Names = Names {
    load: &[&[
        (r"^dinov2(_with_registers)?\.", ""),
        (r"^embeddings\.cls_token$", "vit.embeddings.class_token"),
        (r"^embeddings\.register_tokens$", "vit.embeddings.registers"),
        (r"^embeddings\.position_embeddings$", "vit.embeddings.positions"),
        (r"^embeddings\.patch_embeddings\.projection\.", "vit.embeddings.patches."),
        (r"^encoder\.layer\.", "vit.layers."),
        // Published files name the projections as ViT did.
        (r"\.attention\.(attention\.query|q_proj)\.", ".attention.projections.query."),
        (r"\.attention\.(attention\.key|k_proj)\.", ".attention.projections.key."),
        (r"\.attention\.(attention\.value|v_proj)\.", ".attention.projections.value."),
        (r"\.attention\.(output\.dense|o_proj)\.", ".attention.output."),
        (r"\.layer_scale([12])\.lambda1$", ".scale$1"),
        (r"\.mlp\.weights_in\.", ".mlp.gate_up."),
        (r"\.mlp\.weights_out\.", ".mlp.down."),
        (r"\.mlp\.(gate|up|down)_proj\.", ".mlp.$1."),
        (r"^layernorm\.", "vit.norm."),
    ]],
    save: &[&[
        (r"^vit\.embeddings\.class_token$", "embeddings.cls_token"),
        (r"^vit\.embeddings\.registers$", "embeddings.register_tokens"),
        (r"^vit\.embeddings\.positions$", "embeddings.position_embeddings"),
        (r"^vit\.embeddings\.patches\.", "embeddings.patch_embeddings.projection."),
        (r"^vit\.layers\.", "encoder.layer."),
        (r"\.attention\.projections\.query\.", ".attention.q_proj."),
        (r"\.attention\.projections\.key\.", ".attention.k_proj."),
        (r"\.attention\.projections\.value\.", ".attention.v_proj."),
        (r"\.attention\.output\.", ".attention.o_proj."),
        (r"\.scale([12])$", ".layer_scale$1.lambda1"),
        (r"\.mlp\.(gate|up|down)\.", ".mlp.${1}_proj."),
        (r"^vit\.norm\.", "layernorm."),
    ]],
    ignored: &["embeddings.mask_token", "classifier."],
};

/// A DINOv2 image tower.
#[derive(Module, Debug)]
pub struct Dinov2 {
    vit: Vit,
}

impl Dinov2 {
    /// All tokens after the last norm: class token, registers, patches row by row.
    ///
    /// An image of another size than the config's gets the position embedding interpolated (bicubic, with registers
    /// anti-aliased, as the originals do).
    ///
    /// # Shapes
    /// - pixels: `[b, channels, h, w]`, normalised; h and w at least one patch
    /// - result: `[b, 1 + registers + patches, hidden]`
    ///
    /// # Errors
    /// When the image has other channels or is smaller than a patch.
    pub fn forward(&self, pixels: Tensor<4>) -> Result<Tensor<3>> {
        Ok(self.vit.norm(self.vit.forward(pixels)?))
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
        self.vit.registers()
    }

    /// Writes `config.json` and `model.safetensors` into `dir`, under the original's names.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, config: &Dinov2Config, dir: &Path) -> Result<()> {
        files::save(self, config, dir, &NAMES)
    }
}
