//! The VQ tokenizer: pixels to codes and back. Field names are the original's tensor names.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{Embedding, EmbeddingConfig, GroupNorm, PaddingConfig2d};
use burn::tensor::{Device, Int, Tensor};
use counterpoint::{Error, Result};
use counterpoint_kernels::{conv2d, group_norm_silu, upsampled};
use counterpoint_policy_common::blocks::{AttnBlock, Mid, Norm, ResnetBlock, conv, group_norm, same_conv};

use crate::VqConfig;

/// How the original normalises.
const NORM: Norm = Norm { groups: 32, epsilon: 1e-6 };

/// The tokenizer.
#[derive(Module, Debug)]
pub struct VqTokenizer {
    encoder: Encoder,
    quant_conv: Conv2d,
    quantize: Quantizer,
    post_quant_conv: Conv2d,
    decoder: Decoder,
    patches: usize,
    downsampling: usize,
}

#[derive(Module, Debug)]
struct Quantizer {
    embedding: Embedding,
}

#[derive(Module, Debug)]
struct Encoder {
    conv_in: Conv2d,
    down: Vec<Down>,
    mid: Mid,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

#[derive(Module, Debug)]
struct Down {
    block: Vec<ResnetBlock>,
    /// One after each block, of the smallest images alone.
    attn: Vec<AttnBlock>,
    downsample: Option<Resample>,
}

#[derive(Module, Debug)]
struct Decoder {
    conv_in: Conv2d,
    mid: Mid,
    /// From the smallest images on.
    up: Vec<Up>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

#[derive(Module, Debug)]
struct Up {
    block: Vec<ResnetBlock>,
    attn: Vec<AttnBlock>,
    upsample: Option<Resample>,
}

#[derive(Module, Debug)]
struct Resample {
    conv: Conv2d,
}

impl VqTokenizer {
    /// A tokenizer with fresh weights. The config is that of a validated [`JanusConfig`](crate::JanusConfig).
    pub fn init(config: &VqConfig, device: &Device) -> Self {
        Self {
            encoder: Encoder::init(config, device),
            quant_conv: same_conv(config.latent_channels, config.embed_dim, 1, device),
            quantize: Quantizer {
                embedding: EmbeddingConfig::new(config.num_embeddings, config.embed_dim).init(device),
            },
            post_quant_conv: same_conv(config.embed_dim, config.latent_channels, 1, device),
            decoder: Decoder::init(config, device),
            patches: config.num_patches,
            downsampling: config.downsampling(),
        }
    }

    /// The encoder's output before quantisation.
    ///
    /// # Shapes
    /// Pixels `[B, 3, H, W]` in [-1, 1] to `[B, embed_dim, H/d, W/d]`, d the downsampling.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when the sides are not multiples of d.
    pub fn latents(&self, pixels: Tensor<4>) -> Result<Tensor<4>> {
        let [_, _, height, width] = pixels.dims();
        let d = self.downsampling;
        if height == 0 || width == 0 || !height.is_multiple_of(d) || !width.is_multiple_of(d) {
            return Err(Error::data(format!(
                "expected images with sides that are multiples of {d}, got {height} x {width}; resize the image first"
            )));
        }
        Ok(conv2d(&self.quant_conv, self.encoder.forward(pixels)))
    }

    /// Image codes, row by row: of each latent vector the nearest one of the codebook.
    ///
    /// # Shapes
    /// Pixels `[B, 3, H, W]` in [-1, 1] to codes `[B, H/d * W/d]`.
    ///
    /// # Errors
    /// As [`latents`](Self::latents).
    pub fn encode(&self, pixels: Tensor<4>) -> Result<Tensor<2, Int>> {
        let latents = self.latents(pixels)?;
        let [batch, width, rows, columns] = latents.dims();
        let vectors: Tensor<2> = latents.permute([0, 2, 3, 1]).reshape([batch * rows * columns, width]);
        Ok(nearest(vectors, self.codebook()).reshape([batch, rows * columns]))
    }

    /// Images of codes, nearly in [-1, 1] (not clamped). The codebook's vectors are brought to length 1 first, as in the original.
    ///
    /// # Shapes
    /// Codes `[B, N]` to pixels `[B, 3, d sqrt(N), d sqrt(N)]`.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when N is not that of the config.
    pub fn decode(&self, codes: Tensor<2, Int>) -> Result<Tensor<4>> {
        Ok(self.decode_vectors(self.vectors(codes)?))
    }

    /// The vectors of codes, of length 1, where they stand in an image.
    ///
    /// # Shapes
    /// `[B, N]` to `[B, embed_dim, sqrt(N), sqrt(N)]`.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn vectors(&self, codes: Tensor<2, Int>) -> Result<Tensor<4>> {
        let [batch, count] = codes.dims();
        let side = self.patches;
        if count != side * side {
            return Err(Error::data(format!("expected {} image codes, got {count}", side * side)));
        }
        let vectors = unit(self.quantize.embedding.forward(codes));
        let width = vectors.dims()[2];
        Ok(vectors.reshape([batch, side, side, width]).permute([0, 3, 1, 2]))
    }

    /// Images of the vectors of codes, as [`decode`](Self::decode) makes them.
    ///
    /// # Shapes
    /// `[B, embed_dim, h, w]` to `[B, 3, d h, d w]`.
    pub fn decode_vectors(&self, vectors: Tensor<4>) -> Tensor<4> {
        self.decoder.forward(conv2d(&self.post_quant_conv, vectors))
    }

    /// The codebook's vectors, `[K, embed_dim]`.
    pub fn codebook(&self) -> Tensor<2> {
        self.quantize.embedding.weight.val()
    }

    /// The same tokenizer with these vectors in its codebook, `[K, embed_dim]`.
    #[must_use]
    pub fn with_codebook(mut self, vectors: Tensor<2>) -> Self {
        self.quantize.embedding.weight = self.quantize.embedding.weight.map(|old| {
            let vectors = vectors.to_device(&old.device());
            if old.is_require_grad() { vectors.require_grad() } else { vectors }
        });
        self
    }
}

/// The nearest of `codebook` `[K, C]` to each of `vectors` `[n, C]`: `[n, 1]`.
pub(crate) fn nearest(vectors: Tensor<2>, codebook: Tensor<2>) -> Tensor<2, Int> {
    // |z - e|^2 without |z|^2, which is the same for every code.
    let lengths = codebook.clone().square().sum_dim(1).transpose();
    (lengths - vectors.matmul(codebook.transpose()) * 2.0).argmin(1)
}

/// The same vectors, along the last dimension, of length 1.
pub(crate) fn unit<const D: usize>(vectors: Tensor<D>) -> Tensor<D> {
    let lengths = vectors.clone().square().sum_dim(D - 1).sqrt().clamp_min(1e-12);
    vectors / lengths
}

impl Encoder {
    fn init(config: &VqConfig, device: &Device) -> Self {
        let levels = config.channel_multiplier.len();
        let mut channels = config.base_channels;
        let mut down = Vec::with_capacity(levels);
        for (level, multiplier) in config.channel_multiplier.iter().enumerate() {
            let smallest = level + 1 == levels;
            let block = res_blocks(&mut channels, config.base_channels * multiplier, config.num_res_blocks, device);
            let attn = attention(&block, channels, smallest, device);
            let downsample =
                (!smallest).then(|| Resample { conv: conv(channels, channels, 3, 2, PaddingConfig2d::Valid, device) });
            down.push(Down { block, attn, downsample });
        }
        Self {
            conv_in: same_conv(config.in_channels, config.base_channels, 3, device),
            down,
            mid: Mid::init(channels, NORM, device),
            norm_out: group_norm(channels, NORM, device),
            conv_out: same_conv(channels, config.latent_channels, 3, device),
        }
    }

    fn forward(&self, pixels: Tensor<4>) -> Tensor<4> {
        let mut x = conv2d(&self.conv_in, pixels);
        for Down { block, attn, downsample } in &self.down {
            x = through(block, attn, x);
            if let Some(downsample) = downsample {
                x = conv2d(&downsample.conv, x.pad((0, 1, 0, 1), 0.0));
            }
        }
        conv2d(&self.conv_out, group_norm_silu(&self.norm_out, self.mid.forward(x)))
    }
}

impl Decoder {
    fn init(config: &VqConfig, device: &Device) -> Self {
        let levels = config.channel_multiplier.len();
        let widest = config.base_channels * config.channel_multiplier[levels - 1];
        let mut channels = widest;
        let mut up = Vec::with_capacity(levels);
        for (level, multiplier) in config.channel_multiplier.iter().enumerate().rev() {
            let blocks = config.num_res_blocks + 1;
            let block = res_blocks(&mut channels, config.base_channels * multiplier, blocks, device);
            let attn = attention(&block, channels, level + 1 == levels, device);
            let upsample = (level > 0).then(|| Resample { conv: same_conv(channels, channels, 3, device) });
            up.push(Up { block, attn, upsample });
        }
        Self {
            conv_in: same_conv(config.latent_channels, widest, 3, device),
            mid: Mid::init(widest, NORM, device),
            up,
            norm_out: group_norm(channels, NORM, device),
            conv_out: same_conv(channels, config.out_channels, 3, device),
        }
    }

    fn forward(&self, latents: Tensor<4>) -> Tensor<4> {
        let mut x = self.mid.forward(conv2d(&self.conv_in, latents));
        for Up { block, attn, upsample } in &self.up {
            x = through(block, attn, x);
            if let Some(upsample) = upsample {
                x = conv2d(&upsample.conv, upsampled(x));
            }
        }
        conv2d(&self.conv_out, group_norm_silu(&self.norm_out, x))
    }
}

/// Every block, and the attention after it where there is one.
fn through(block: &[ResnetBlock], attn: &[AttnBlock], mut x: Tensor<4>) -> Tensor<4> {
    for (i, block) in block.iter().enumerate() {
        x = block.forward(x);
        if let Some(attn) = attn.get(i) {
            x = attn.forward(x);
        }
    }
    x
}

fn res_blocks(channels: &mut usize, out: usize, count: usize, device: &Device) -> Vec<ResnetBlock> {
    (0..count).map(|_| ResnetBlock::init(std::mem::replace(channels, out), out, NORM, device)).collect()
}

fn attention(block: &[ResnetBlock], channels: usize, wanted: bool, device: &Device) -> Vec<AttnBlock> {
    let count = if wanted { block.len() } else { 0 };
    (0..count).map(|_| AttnBlock::init(channels, NORM, device)).collect()
}
