//! The MAGVIT-v2 image tokenizer: pixels to codes and back. Field names are the original's tensor names.

use std::collections::HashMap;
use std::path::Path;

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, PaddingConfig2d};
use burn::tensor::{Device, FloatDType, Int, Tensor};
use counterpoint::{Error, Result};
use counterpoint_kernels::{conv2d, group_norm_silu, upsampled};
use counterpoint_policy_common::blocks::{Mid, Norm, ResnetBlock, conv, group_norm, same_conv};
use counterpoint_weights::{LoadOptions, WeightFiles, load, save_safetensors};

use crate::config::MagvitConfig;
use crate::lfq;

/// The tokenizer.
#[derive(Module, Debug)]
pub struct MagvitV2 {
    encoder: Encoder,
    decoder: Decoder,
    downsampling: usize,
    bits: usize,
}

#[derive(Module, Debug)]
struct Encoder {
    conv_in: Conv2d,
    down: Vec<Down>,
    mid: Mid,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    quant_conv: Conv2d,
}

#[derive(Module, Debug)]
struct Down {
    block: Vec<ResnetBlock>,
    downsample: Option<Resample>,
}

#[derive(Module, Debug)]
struct Decoder {
    conv_in: Conv2d,
    mid: Mid,
    up: Vec<Up>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    post_quant_conv: Conv2d,
}

#[derive(Module, Debug)]
struct Up {
    block: Vec<ResnetBlock>,
    upsample: Option<Resample>,
}

#[derive(Module, Debug)]
struct Resample {
    conv: Conv2d,
}

impl MagvitConfig {
    fn norm(&self) -> Norm {
        Norm { groups: self.group_norm_groups, epsilon: self.group_norm_eps }
    }

    /// A tokenizer with fresh weights. The config is that of a validated [`ShowoConfig`](crate::ShowoConfig).
    pub fn init(&self, device: &Device) -> MagvitV2 {
        MagvitV2 {
            encoder: Encoder::init(self, device),
            decoder: Decoder::init(self, device),
            downsampling: self.downsampling(),
            bits: self.z_channels,
        }
    }
}

impl MagvitV2 {
    /// A tokenizer with the weights of a file or folder in the original's layout, of any format that
    /// [`WeightFiles`] reads.
    ///
    /// # Errors
    /// [`Weights`](counterpoint::ErrorKind::Weights) when any tensor is missing, unexpected or of another shape.
    pub fn load(config: &MagvitConfig, path: &Path, device: &Device) -> Result<Self> {
        let mut model = config.init(device);
        // The originals also store the quantiser's code table, which follows from the number of bits.
        let dtype = Some(FloatDType::F32);
        let how = LoadOptions { ignored: &["quantize."], dtype, ..LoadOptions::default() };
        load(&mut model, &WeightFiles::open(path)?, &how)?;
        Ok(model)
    }

    /// Writes the weights in the original's layout.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        save_safetensors(self, path, &HashMap::from([("format".into(), "pt".into())]), None)
    }

    /// The encoder's output before quantisation.
    ///
    /// # Shapes
    /// Pixels `[B, 3, H, W]` in [-1, 1] to `[B, bits, H/d, W/d]`, d the downsampling.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when there are not 3 channels or the sides are not multiples of d.
    pub fn latents(&self, pixels: Tensor<4>) -> Result<Tensor<4>> {
        let [_, channels, height, width] = pixels.dims();
        let d = self.downsampling;
        if channels != 3 || height == 0 || width == 0 || !height.is_multiple_of(d) || !width.is_multiple_of(d) {
            return Err(Error::data(format!(
                "expected images of 3 channels with sides that are multiples of {d}, got {channels} channels and {height} \
                 x {width}; resize the image first"
            )));
        }
        Ok(self.encoder.forward(pixels))
    }

    /// Image codes, row by row.
    ///
    /// # Shapes
    /// Pixels `[B, 3, H, W]` in [-1, 1] to codes `[B, H/d * W/d]`.
    ///
    /// # Errors
    /// As [`latents`](Self::latents).
    pub fn encode(&self, pixels: Tensor<4>) -> Result<Tensor<2, Int>> {
        Ok(lfq::codes(self.latents(pixels)?))
    }

    /// Images of codes, nearly in [-1, 1] (not clamped).
    ///
    /// # Shapes
    /// Codes `[B, N]`, N a square number, to pixels `[B, 3, d sqrt(N), d sqrt(N)]`.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when N is not a square number.
    pub fn decode(&self, codes: Tensor<2, Int>) -> Result<Tensor<4>> {
        let count = codes.dims()[1];
        let side = count.isqrt();
        if side == 0 || side * side != count {
            return Err(Error::data(format!("expected a square number of image codes, got {count}")));
        }
        Ok(self.decode_bits(lfq::bits(codes, self.bits, side)))
    }

    /// Images of quantised (+1/-1) latents.
    ///
    /// # Shapes
    /// `[B, bits, h, w]` to `[B, 3, d h, d w]`.
    pub fn decode_bits(&self, bits: Tensor<4>) -> Tensor<4> {
        self.decoder.forward(bits)
    }
}

impl Encoder {
    fn init(config: &MagvitConfig, device: &Device) -> Self {
        let mut channels = config.ch;
        let levels = config.ch_mult.len();
        let mut down = Vec::with_capacity(levels);
        for (level, (mult, blocks)) in config.ch_mult.iter().zip(&config.num_res_blocks).enumerate() {
            let block = res_blocks(&mut channels, config.ch * mult, *blocks, config, device);
            let downsample = (level + 1 < levels)
                .then(|| Resample { conv: conv(channels, channels, 3, 2, PaddingConfig2d::Valid, device) });
            down.push(Down { block, downsample });
        }
        Self {
            conv_in: same_conv(3, config.ch, 3, device),
            down,
            mid: Mid::init(channels, config.norm(), device),
            norm_out: group_norm(channels, config.norm(), device),
            conv_out: same_conv(channels, config.z_channels, 3, device),
            quant_conv: same_conv(config.z_channels, config.z_channels, 1, device),
        }
    }

    fn forward(&self, pixels: Tensor<4>) -> Tensor<4> {
        let mut x = conv2d(&self.conv_in, pixels);
        for down in &self.down {
            x = down.block.iter().fold(x, |x, block| block.forward(x));
            if let Some(downsample) = &down.downsample {
                x = conv2d(&downsample.conv, x.pad((0, 1, 0, 1), 0.0));
            }
        }
        let x = group_norm_silu(&self.norm_out, self.mid.forward(x));
        conv2d(&self.quant_conv, conv2d(&self.conv_out, x))
    }
}

impl Decoder {
    fn init(config: &MagvitConfig, device: &Device) -> Self {
        let mults = config.decoder_ch_mult();
        let widest = config.ch * mults.last().copied().unwrap_or(1);
        let mut channels = widest;
        let mut up = Vec::with_capacity(mults.len());
        for (level, (mult, blocks)) in mults.iter().zip(config.decoder_num_res_blocks()).enumerate().rev() {
            let block = res_blocks(&mut channels, config.ch * mult, *blocks, config, device);
            let upsample = (level > 0).then(|| Resample { conv: same_conv(channels, channels, 3, device) });
            up.push(Up { block, upsample });
        }
        up.reverse();
        Self {
            conv_in: same_conv(config.z_channels, widest, 3, device),
            mid: Mid::init(widest, config.norm(), device),
            up,
            norm_out: group_norm(channels, config.norm(), device),
            conv_out: same_conv(channels, 3, 3, device),
            post_quant_conv: same_conv(config.z_channels, config.z_channels, 1, device),
        }
    }

    fn forward(&self, bits: Tensor<4>) -> Tensor<4> {
        let mut x = self.mid.forward(conv2d(&self.conv_in, conv2d(&self.post_quant_conv, bits)));
        for up in self.up.iter().rev() {
            x = up.block.iter().fold(x, |x, block| block.forward(x));
            if let Some(upsample) = &up.upsample {
                x = conv2d(&upsample.conv, upsampled(x));
            }
        }
        conv2d(&self.conv_out, group_norm_silu(&self.norm_out, x))
    }
}

fn res_blocks(
    channels: &mut usize,
    out: usize,
    count: usize,
    config: &MagvitConfig,
    device: &Device,
) -> Vec<ResnetBlock> {
    (0..count).map(|_| ResnetBlock::init(std::mem::replace(channels, out), out, config.norm(), device)).collect()
}
