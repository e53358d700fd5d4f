//! Settings.

use std::path::PathBuf;

use counterpoint_weights::Precision;
use serde::{Deserialize, Serialize};

/// Settings of [`Cycle`](crate::Cycle): one part or both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CycleConfig {
    /// The image beside the real one. Default: this part is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lpips: Option<LpipsPart>,
    /// A caption of the image beside the prompt. Default: this part is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<CaptionPart>,
    /// Whether the concept's name in the prompt (`params.concept`) is replaced by what it is (`params.noun`): a captioner has never
    /// read the name. Default: true.
    #[serde(default = "concept_noun")]
    pub concept_noun: bool,
    /// Most images of one forward pass, and most pairs of images; 1 or more. Default: 16.
    #[serde(default = "batch")]
    pub batch: usize,
    /// Where it computes: `flex` (CPU), `cuda:N`, `wgpu` or another device by its name. Default: the run's device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What the matrices of captioner and BERT are stored and multiplied in: `f32`, `bf16` or `f16`. LPIPS computes in f32 always.
    /// Default: `f32`.
    #[serde(default)]
    pub dtype: Precision,
}

impl Default for CycleConfig {
    /// No part yet.
    fn default() -> Self {
        Self {
            lpips: None,
            caption: None,
            concept_noun: concept_noun(),
            batch: batch(),
            device: None,
            dtype: Precision::default(),
        }
    }
}

/// Settings of the image's part, 1 - LPIPS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LpipsPart {
    /// The whole network's weights, backbone and linear layers: a file, a folder, or `hf:OWNER/NAME`. Names are those of the package
    /// `lpips` (`net.slice1.0.weight`, `lin0.model.1.weight`), torchvision's of the backbone (`features.0.weight`), or burn's.
    pub weights: PathBuf,
    /// The backbone: `vgg`, `alex` or `squeeze`. Default: `vgg`, as in CoRL.
    #[serde(default)]
    pub net: Net,
    /// Both images are resized to squares of this many pixels, by Pillow's bilinear filter; 32 or more. Default: 224, as in CoRL.
    #[serde(default = "size")]
    pub size: u32,
}

impl LpipsPart {
    /// The network at `weights`, all else by default.
    pub fn new(weights: impl Into<PathBuf>) -> Self {
        Self { weights: weights.into(), net: Net::default(), size: size() }
    }
}

/// A backbone of LPIPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Net {
    /// VGG16.
    #[default]
    Vgg,
    /// AlexNet.
    Alex,
    /// SqueezeNet 1.1.
    Squeeze,
}

/// Settings of the text's part, BERTScore-F1 of caption and prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptionPart {
    /// Folder of BLIP's captioner, see [`CAPTIONER_FILES`](crate::CAPTIONER_FILES); or `hf:OWNER/NAME`, such as
    /// `hf:Salesforce/blip-image-captioning-base`.
    pub captioner: PathBuf,
    /// What a caption begins with, which is not part of it. Default: nothing, as in CoRL.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    /// Longest caption, in tokens; 1 or more. Default: 50, as in CoRL.
    #[serde(default = "max_new_tokens")]
    pub max_new_tokens: usize,
    /// Folder of the BERT that compares, see [`BERT_FILES`](crate::BERT_FILES); or `hf:OWNER/NAME`, such as
    /// `hf:google-bert/bert-base-uncased`, which is CoRL's.
    pub bert: PathBuf,
    /// The layer whose hidden states are compared: 1 is the first one, 0 the embeddings. Default: the last one, as in CoRL. (The package
    /// `bert-score` takes the 9th of bert-base-uncased.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<usize>,
    /// Whether `[CLS]` and `[SEP]` may be what a word is most like, as in the package `bert-score`. They are no words in either case.
    /// Default: false, as in torchmetrics and CoRL.
    #[serde(default)]
    pub match_special: bool,
    /// What F1 is of texts that have nothing to do with each other, below 1: F1 becomes (F1 - baseline) / (1 - baseline). Default: none,
    /// as in CoRL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
}

impl CaptionPart {
    /// The part by the captioner and the BERT at these places, all else by default.
    pub fn new(captioner: impl Into<PathBuf>, bert: impl Into<PathBuf>) -> Self {
        Self {
            captioner: captioner.into(),
            prompt: String::new(),
            max_new_tokens: max_new_tokens(),
            bert: bert.into(),
            layer: None,
            match_special: false,
            baseline: None,
        }
    }
}

fn concept_noun() -> bool {
    true
}

fn batch() -> usize {
    16
}

fn size() -> u32 {
    224
}

fn max_new_tokens() -> usize {
    50
}
