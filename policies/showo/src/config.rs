//! Sizes, token ids and counts of one Show-o model: `config.json` beside the weights.

use std::path::Path;

use counterpoint::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::concepts::{self, Concept};

/// A whole Show-o model: language model, vocabulary layout, prompts and image tokenizer.
///
/// The vocabulary is laid out as `[text | specials | concept tokens | image codes | mask]`:
/// image code `c` has the id `image_token_offset + c`.
///
/// Keys of the file that are not among these are ignored, as the originals' config files have more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShowoConfig {
    /// The decoder.
    pub phi: PhiConfig,
    /// Tokens of the language model's own tokenizer.
    pub llm_vocab_size: usize,
    /// Special tokens appended to it.
    pub num_new_special_tokens: usize,
    /// Personal concept tokens appended to those.
    #[serde(default)]
    pub num_concept_tokens: usize,
    /// The concepts that these tokens belong to, in their order, where they are UniCTokens' (see [`Concept`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concepts: Vec<Concept>,
    /// Everything before the image codes: the sum of the three counts above.
    pub text_vocab_size: usize,
    /// Image codes, `2^z_channels`.
    pub codebook_size: usize,
    /// All tokens, the mask token included.
    pub vocab_size: usize,
    /// The id of the mask token, the last of the vocabulary.
    pub mask_token_id: u32,
    /// The id of image code 0.
    pub image_token_offset: u32,
    /// Image tokens per image (a square number).
    pub num_vq_tokens: usize,
    /// Longest text of a text-to-image prompt, without the task token.
    pub max_seq_length: usize,
    /// Ids of the special tokens.
    pub special_token_ids: SpecialTokens,
    /// Begin of text.
    pub bos_id: u32,
    /// End of text.
    pub eos_id: u32,
    /// Default scale `g` of classifier-free guidance: `(1 + g) cond - g uncond`.
    pub guidance_scale: f32,
    /// Default number of denoising steps T.
    pub timesteps: usize,
    /// How a question is put to the model; `{question}` stands for it.
    #[serde(default = "bare_question")]
    pub question_template: String,
    /// Whether the model has a projector for features of a CLIP tower.
    #[serde(default)]
    pub w_clip_vit: bool,
    /// Width of these features.
    #[serde(default = "clip_width")]
    pub clip_width: usize,
    /// The image tokenizer.
    pub magvitv2: MagvitConfig,
}

fn bare_question() -> String {
    "{question}".to_owned()
}

/// Width of CLIP ViT-L/14.
fn clip_width() -> usize {
    1024
}

/// The Phi decoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhiConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads; must divide `hidden_size`.
    pub num_attention_heads: usize,
    /// Share of each head's channels that is rotated, in (0, 1].
    pub partial_rotary_factor: f64,
    /// Whether queries and keys are normalised per head.
    pub qk_layernorm: bool,
    /// Epsilon of every layer norm.
    pub layer_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Activation of the MLP.
    pub hidden_act: Activation,
    /// Longest sequence.
    pub max_position_embeddings: usize,
}

/// An activation function, by the name the original configs use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Activation {
    /// The tanh approximation of GELU.
    GeluNew,
    /// GELU with the error function.
    Gelu,
}

/// Ids of the special tokens, named as in the tokenizer without `<|` and `|>` (`pad` is `[PAD]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct SpecialTokens {
    pub pad: u32,
    pub soi: u32,
    pub eoi: u32,
    pub sov: u32,
    pub eov: u32,
    pub t2i: u32,
    pub mmu: u32,
    pub t2v: u32,
    pub v2v: u32,
    pub lvg: u32,
}

impl SpecialTokens {
    /// Each special token's text in a tokenizer and its id.
    pub fn named(&self) -> [(&'static str, u32); 10] {
        [
            ("[PAD]", self.pad),
            ("<|soi|>", self.soi),
            ("<|eoi|>", self.eoi),
            ("<|sov|>", self.sov),
            ("<|eov|>", self.eov),
            ("<|t2i|>", self.t2i),
            ("<|mmu|>", self.mmu),
            ("<|t2v|>", self.t2v),
            ("<|v2v|>", self.v2v),
            ("<|lvg|>", self.lvg),
        ]
    }
}

/// The MAGVIT-v2 image tokenizer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MagvitConfig {
    /// Channels at full resolution.
    pub ch: usize,
    /// Multiple of `ch` per level; every level but the last halves the resolution.
    pub ch_mult: Vec<usize>,
    /// Residual blocks per level.
    pub num_res_blocks: Vec<usize>,
    /// `ch_mult` of the decoder, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder_ch_mult: Option<Vec<usize>>,
    /// `num_res_blocks` of the decoder, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder_num_res_blocks: Option<Vec<usize>>,
    /// Channels, that is bits, of a code.
    pub z_channels: usize,
    /// Groups of every group norm; must divide every level's channels.
    pub group_norm_groups: usize,
    /// Epsilon of every group norm.
    pub group_norm_eps: f64,
}

impl ShowoConfig {
    /// Reads and validates `config.json`: our own, or the published one of a Show-o checkpoint, whose missing numbers are
    /// those of [`published`](Self::published) and of the file of the language model it names, where that lies beside it.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the file cannot be read, [`Config`](counterpoint::ErrorKind::Config) when
    /// a key is of a wrong type, missing or contradicts another.
    pub fn load(path: &Path) -> Result<Self> {
        Self::load_with(path, None)
    }

    /// Writes `config.json`.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::config("cannot write the config as JSON").with_source(e))?;
        text.push('\n');
        std::fs::write(path, text).map_err(|e| Error::io("cannot write", path, e))
    }

    /// Checks that the numbers agree with each other.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config), naming the first key that does not.
    pub fn validate(&self) -> Result<()> {
        self.phi.validate()?;
        self.magvitv2.validate()?;
        let text = self.llm_vocab_size + self.num_new_special_tokens + self.num_concept_tokens;
        same("text_vocab_size", text, self.text_vocab_size, "llm + special + concept tokens")?;
        concepts::validate(&self.concepts, self.num_concept_tokens)?;
        if !self.question_template.contains("{question}") {
            return Err(Error::config(format!(
                "question_template: expected a text with {{question}} in it, got {:?}",
                self.question_template
            )));
        }
        same("image_token_offset", self.text_vocab_size, self.image_token_offset as usize, "text_vocab_size")?;
        let codes = u32::try_from(self.magvitv2.z_channels).ok().and_then(|z| 1_usize.checked_shl(z)).unwrap_or(0);
        same("codebook_size", codes, self.codebook_size, "2^z_channels")?;
        same("vocab_size", text + self.codebook_size + 1, self.vocab_size, "text + codes + mask")?;
        same("mask_token_id", self.vocab_size - 1, self.mask_token_id as usize, "vocab_size - 1")?;
        let side = self.num_vq_tokens.isqrt();
        same("num_vq_tokens", side * side, self.num_vq_tokens, "a square number")?;
        let named = self.special_token_ids.named();
        for (name, id) in named.iter().copied().chain([("bos_id", self.bos_id), ("eos_id", self.eos_id)]) {
            if id as usize >= self.text_vocab_size {
                return Err(Error::config(format!(
                    "{name}: expected an id below text_vocab_size {}, got {id}",
                    self.text_vocab_size
                )));
            }
            if named.iter().filter(|(_, other)| *other == id).count() > 1 {
                return Err(Error::config(format!("{name}: expected an id of its own, got {id}, which another has")));
            }
        }
        positive(&[
            ("num_vq_tokens", self.num_vq_tokens),
            ("timesteps", self.timesteps),
            ("llm_vocab_size", self.llm_vocab_size),
            ("clip_width", self.clip_width),
        ])?;
        if self.max_seq_length < 2 {
            return Err(Error::config(format!(
                "max_seq_length: expected at least 2 (begin and end of text), got {}",
                self.max_seq_length
            )));
        }
        if !(self.guidance_scale.is_finite() && self.guidance_scale >= 0.0) {
            return Err(Error::config(format!(
                "guidance_scale: expected a finite number of at least 0, got {}",
                self.guidance_scale
            )));
        }
        if self.t2i_length() > self.phi.max_position_embeddings {
            return Err(Error::config(format!(
                "max_position_embeddings: expected at least {} for a text-to-image sequence, got {}",
                self.t2i_length(),
                self.phi.max_position_embeddings
            )));
        }
        Ok(())
    }

    /// Length of the constant text part of a text-to-image sequence: task token and padded text.
    pub fn t2i_prompt_length(&self) -> usize {
        self.max_seq_length + 1
    }

    /// Length of a text-to-image sequence: text part, soi, image, eoi.
    pub fn t2i_length(&self) -> usize {
        self.t2i_prompt_length() + self.num_vq_tokens + 2
    }

    /// Image positions of a text-to-image sequence.
    pub fn t2i_image_span(&self) -> std::ops::Range<usize> {
        let start = self.t2i_prompt_length() + 1;
        start..start + self.num_vq_tokens
    }

    /// Length of an understanding prompt up to and including eoi: mmu, soi, image, eoi.
    pub fn mmu_image_length(&self) -> usize {
        self.num_vq_tokens + 3
    }

    /// Height and width of an image in pixels.
    pub fn image_size(&self) -> usize {
        self.num_vq_tokens.isqrt() * self.magvitv2.downsampling()
    }
}

impl PhiConfig {
    /// Channels per head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads.max(1)
    }

    /// Rotated channels per head.
    pub fn rotary_dim(&self) -> usize {
        (self.partial_rotary_factor * self.head_dim() as f64) as usize
    }

    fn validate(&self) -> Result<()> {
        positive(&[
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("max_position_embeddings", self.max_position_embeddings),
        ])?;
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(Error::config(format!(
                "num_attention_heads: expected a divisor of hidden_size {}, got {}",
                self.hidden_size, self.num_attention_heads
            )));
        }
        let rotary = self.rotary_dim();
        if !(self.partial_rotary_factor > 0.0 && self.partial_rotary_factor <= 1.0)
            || rotary == 0
            || !rotary.is_multiple_of(2)
        {
            return Err(Error::config(format!(
                "partial_rotary_factor: expected a share in (0, 1] that rotates an even number of the {} channels of a \
                 head, got {}",
                self.head_dim(),
                self.partial_rotary_factor
            )));
        }
        epsilon("layer_norm_eps", self.layer_norm_eps)?;
        epsilon("rope_theta", self.rope_theta)
    }
}

impl MagvitConfig {
    /// Pixels per code and axis.
    pub fn downsampling(&self) -> usize {
        1 << (self.ch_mult.len().max(1) - 1)
    }

    /// `ch_mult` of the decoder.
    pub fn decoder_ch_mult(&self) -> &[usize] {
        self.decoder_ch_mult.as_deref().unwrap_or(&self.ch_mult)
    }

    /// `num_res_blocks` of the decoder.
    pub fn decoder_num_res_blocks(&self) -> &[usize] {
        self.decoder_num_res_blocks.as_deref().unwrap_or(&self.num_res_blocks)
    }

    fn validate(&self) -> Result<()> {
        positive(&[
            ("magvitv2.ch", self.ch),
            ("magvitv2.group_norm_groups", self.group_norm_groups),
            ("magvitv2.ch_mult (levels)", self.ch_mult.len()),
        ])?;
        if !(1..=20).contains(&self.z_channels) {
            return Err(Error::config(format!("z_channels: expected 1 to 20 bits, got {}", self.z_channels)));
        }
        let levels = self.ch_mult.len();
        if levels > 16 {
            return Err(Error::config(format!("magvitv2.ch_mult: expected at most 16 levels, got {levels}")));
        }
        for (key, list) in [
            ("num_res_blocks", &self.num_res_blocks[..]),
            ("decoder_ch_mult", self.decoder_ch_mult()),
            ("decoder_num_res_blocks", self.decoder_num_res_blocks()),
        ] {
            same(&format!("magvitv2.{key}"), levels, list.len(), "entries, as many as ch_mult")?;
        }
        for mult in self.ch_mult.iter().chain(self.decoder_ch_mult()) {
            let channels = self.ch * mult;
            if channels == 0 || !channels.is_multiple_of(self.group_norm_groups) {
                return Err(Error::config(format!(
                    "magvitv2.group_norm_groups: expected a divisor of each level's channels, got {} with {channels} \
                     channels",
                    self.group_norm_groups
                )));
            }
        }
        epsilon("magvitv2.group_norm_eps", self.group_norm_eps)
    }
}

fn same(key: &str, expected: usize, got: usize, meaning: &str) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(Error::config(format!("{key}: expected {expected} ({meaning}), got {got}")))
}

fn positive(keys: &[(&str, usize)]) -> Result<()> {
    match keys.iter().find(|(_, value)| *value == 0) {
        Some((key, _)) => Err(Error::config(format!("{key}: expected at least 1, got 0"))),
        None => Ok(()),
    }
}

fn epsilon(key: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::config(format!("{key}: expected a finite number above 0, got {value}")))
}
