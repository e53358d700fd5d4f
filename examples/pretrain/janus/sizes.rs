//! Sizes of the tiny Janus.

use counterpoint_janus::{Chat, JanusConfig, TextConfig, VisionConfig, VqConfig};
use counterpoint_shapes::{CELL, GRID, SIZE};

/// Codes along a side of an image: two for each cell of the world's grid.
const CODES: usize = 2 * GRID;
/// Pixels along a side of a code.
const PIXELS: usize = CELL as usize / 2;
const WIDTH: usize = 128;

/// The model over `words` text tokens, of which `image` stands for an embedding of an image and `pad` for nothing.
pub fn config(words: usize, image: u32, pad: u32) -> JanusConfig {
    JanusConfig {
        text_config: TextConfig {
            vocab_size: words,
            hidden_size: WIDTH,
            intermediate_size: 320,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            num_key_value_heads: Some(2),
            head_dim: None,
            pad_token_id: Some(pad),
            max_position_embeddings: 256,
            rms_norm_eps: 1e-6,
            // Sequences are short: fast rotations tell neighbours apart.
            rope_theta: 100.0,
            rope_parameters: None,
        },
        vision_config: VisionConfig {
            hidden_size: 96,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            mlp_ratio: 3.0,
            image_size: SIZE as usize,
            patch_size: PIXELS,
            layer_norm_eps: 1e-6,
            depth: 2,
            projection_dim: WIDTH,
            attention_bias: true,
        },
        vq_config: vq(),
        image_token_id: image,
    }
}

/// The image tokenizer.
pub fn vq() -> VqConfig {
    VqConfig {
        embed_dim: 8,
        num_embeddings: 256,
        latent_channels: 32,
        in_channels: 3,
        out_channels: 3,
        base_channels: 32,
        channel_multiplier: vec![1; PIXELS.ilog2() as usize + 1],
        num_res_blocks: 1,
        num_patches: CODES,
        num_hidden_layers: 2,
        projection_dim: WIDTH,
        image_token_embed_dim: WIDTH,
    }
}

/// How questions and prompts are put: as they are.
pub fn chat() -> Chat {
    let [about_image, question, prompt] = ["{image} {question}", "{question}", "{prompt}"].map(str::to_owned);
    Chat { about_image, question, prompt }
}
