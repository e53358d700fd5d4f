//! Images that are written code by code, in the order of rows.

use std::borrow::Cow;

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData, Transaction};
use counterpoint::{Candidate, Error, Result, Segment, SegmentKind};
use serde::{Deserialize, Serialize};

use crate::painter::{Painter, PainterConfig};
use crate::text::draw;

/// A model that writes images code by code.
pub trait CodeModel {
    /// Images in the making.
    type Writing;

    /// Codes N per image.
    fn codes_per_image(&self) -> usize;

    /// Where the model computes.
    fn code_device(&self) -> Device;

    /// Begins an image after each prompt, of which `written` codes are there already, equally many of each.
    ///
    /// # Shapes
    /// `written` `[B][n]`; the scores of code n.
    ///
    /// # Errors
    /// When a prompt does not fit the model.
    fn begin(&self, prompts: &[&[u32]], written: &[&[u32]], guidance: f32) -> Result<(Self::Writing, CodeScores)>;

    /// Appends one code to every image.
    ///
    /// # Shapes
    /// `codes` `[B, 1]`; the scores of the next code.
    fn write(&self, writing: &mut Self::Writing, codes: Tensor<2, Int>) -> CodeScores;
}

/// Scores (logits) of every code at the next position, `[B, K]`, f32.
#[derive(Debug, Clone)]
pub struct CodeScores {
    /// Guided: what codes are drawn from.
    pub guided: Tensor<2>,
    /// Given the prompt alone; the same without guidance.
    pub conditional: Tensor<2>,
}

/// Without guidance.
impl From<Tensor<2>> for CodeScores {
    fn from(logits: Tensor<2>) -> Self {
        Self { guided: logits.clone(), conditional: logits }
    }
}

/// Settings of [`Raster`]. Janus-Pro paints with the weight w = 5 of its guidance `u + w (c - u)`, which is g = w - 1 = 4 here, at
/// temperature 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RasterConfig {
    /// Classifier-free guidance scale g, at least 0: `(1 + g) conditional - g unconditional`.
    pub guidance_scale: f32,
    /// Whether the log-probabilities that are recorded, and so scored again in updates, are those of the guided distribution, from
    /// which codes are drawn. `false` takes the conditional one, which is half the work. Default: `true`.
    pub score_guidance: bool,
    /// Temperature that scores are divided by, at least 0; 0 takes the most probable code.
    pub temperature: f32,
    /// Only the k most probable codes are drawn; 0 means all. What is recorded is over all.
    pub top_k: usize,
    /// Only the most probable codes that together reach this probability are drawn; in (0, 1].
    pub top_p: f32,
    /// Drafts are looked at when this share of the codes is written, in (0, 1]; what is missing then repeats the last code.
    pub checkpoint: f32,
}

impl Default for RasterConfig {
    fn default() -> Self {
        Self { guidance_scale: 4.0, score_guidance: true, temperature: 1.0, top_k: 0, top_p: 1.0, checkpoint: 0.5 }
    }
}

impl PainterConfig for RasterConfig {
    type Painter = Raster;

    fn init(self) -> Result<Raster> {
        let range = |key: &str, value: f32, expected: &str, ok: bool| match ok && value.is_finite() {
            true => Ok(()),
            false => Err(Error::config(format!("sampler.image.{key}: expected a number {expected}, got {value}"))),
        };
        range("guidance_scale", self.guidance_scale, "of at least 0", self.guidance_scale >= 0.0)?;
        range("temperature", self.temperature, "of at least 0", self.temperature >= 0.0)?;
        range("top_p", self.top_p, "in (0, 1]", self.top_p > 0.0 && self.top_p <= 1.0)?;
        range("checkpoint", self.checkpoint, "in (0, 1]", self.checkpoint > 0.0 && self.checkpoint <= 1.0)?;
        Ok(Raster { config: self })
    }
}

/// Writes images code by code.
#[derive(Debug, Clone, PartialEq)]
pub struct Raster {
    config: RasterConfig,
}

/// An image in the making.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Written {
    /// Its codes so far.
    pub codes: Vec<u32>,
    /// Log-probability of each, guided or not ([`RasterConfig::score_guidance`]).
    pub log_probs: Vec<f32>,
}

impl Raster {
    /// Its settings.
    pub fn config(&self) -> &RasterConfig {
        &self.config
    }

    /// The temperature at which log-probabilities are recorded: 1 where the most probable code is taken.
    fn scoring_temperature(&self) -> f32 {
        if self.config.temperature == 0.0 { 1.0 } else { self.config.temperature }
    }

    /// `[B, 1]`: each candidate's own uniform for a position.
    fn uniforms(candidates: &[Candidate], position: usize, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = candidates.iter().map(|c| c.stream("image.code", position as u64).uniform()).collect();
        Tensor::from_data(TensorData::new(values, [candidates.len(), 1]), (device, DType::F32))
    }
}

impl<P: CodeModel> Painter<P> for Raster {
    type Image = Written;

    fn steps(&self, policy: &P) -> usize {
        policy.codes_per_image()
    }

    fn checkpoint_step(&self, policy: &P) -> usize {
        ((policy.codes_per_image() as f32 * self.config.checkpoint).round() as usize).max(1)
    }

    fn paint(
        &self,
        policy: &P,
        candidates: &[Candidate],
        prompts: &[&[u32]],
        images: &mut [Written],
        until: usize,
    ) -> Result<()> {
        let start = images.first().map_or(until, |image| image.codes.len());
        if start >= until {
            return Ok(());
        }
        if images.len() != candidates.len() || images.iter().any(|image| image.codes.len() != start) {
            return Err(Error::contract("the images of a batch must stand at one code, one per candidate"));
        }
        let (config, device) = (&self.config, policy.code_device());
        let written: Vec<&[u32]> = images.iter().map(|image| &image.codes[..]).collect();
        let (mut writing, mut scores) = policy.begin(prompts, &written, config.guidance_scale)?;
        let (mut codes, mut log_probs) = (Vec::new(), Vec::new());
        for position in start..until {
            let tempered = |logits: Tensor<2>| log_softmax(logits / self.scoring_temperature(), 1);
            let guided = tempered(scores.guided);
            let uniforms = Self::uniforms(candidates, position, &device);
            let code = draw(guided.clone(), uniforms, config.temperature, config.top_k, config.top_p);
            let recorded = match config.score_guidance || config.guidance_scale == 0.0 {
                true => guided,
                false => tempered(scores.conditional),
            };
            log_probs.push(recorded.gather(1, code.clone()));
            codes.push(code.clone().cast(FloatDType::F32));
            if position + 1 == until {
                break;
            }
            scores = policy.write(&mut writing, code);
        }
        let [codes, log_probs] = read([Tensor::cat(codes, 1), Tensor::cat(log_probs, 1)])?;
        let width = until - start;
        for (row, image) in images.iter_mut().enumerate() {
            let range = row * width..(row + 1) * width;
            // Codes pass through f32: exact below 2^24.
            image.codes.extend(codes[range.clone()].iter().map(|&code| code as u32));
            image.log_probs.extend(&log_probs[range]);
        }
        Ok(())
    }

    fn codes<'a>(&self, policy: &P, image: &'a Written) -> Cow<'a, [u32]> {
        let count = policy.codes_per_image();
        if image.codes.len() == count {
            return Cow::from(&image.codes);
        }
        let last = image.codes.last().copied().unwrap_or_default();
        let mut codes = image.codes.clone();
        codes.resize(count, last);
        codes.into()
    }

    fn segment(&self, _policy: &P, prompt: Vec<u32>, image: Written) -> Segment {
        let guidance = if self.config.score_guidance { self.config.guidance_scale } else { 0.0 };
        Segment::text(prompt, image.codes, image.log_probs)
            .with_kind(SegmentKind::Generation)
            .with_guidance(guidance)
            .with_temperature(self.scoring_temperature())
    }
}

/// Two tables on the host, in one transaction.
fn read(tables: [Tensor<2>; 2]) -> Result<[Vec<f32>; 2]> {
    let failed = |e: String| Error::device("cannot read the sampled codes from the device").with_source(e);
    let [codes, log_probs] = tables;
    let fetched =
        Transaction::default().register(codes).register(log_probs).try_execute().map_err(|e| failed(e.to_string()))?;
    let mut columns = fetched.into_iter().map(|data| data.convert::<f32>().try_into_vec::<f32>());
    let mut next = || match columns.next() {
        Some(column) => column.map_err(|e| failed(format!("{e:?}"))),
        None => Err(failed("a transaction of two returned fewer".into())),
    };
    Ok([next()?, next()?])
}
