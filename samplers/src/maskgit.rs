//! MaskGIT (arXiv 2202.04200): all image tokens are predicted at every step, the least confident are masked again.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Bool, DType, Device, FloatDType, Int, Tensor, TensorData, Transaction};
use counterpoint::{Candidate, Error, Result};
use serde::{Deserialize, Serialize};

use crate::invert::invert_cdf;
use crate::schedule::MaskSchedule;

/// A model that predicts masked image tokens.
pub trait ImageModel {
    /// Prompts of a batch, prepared once for all denoising steps.
    type Prompts: Send + 'static;

    /// Image tokens N per image.
    fn image_tokens(&self) -> usize;

    /// Number of image codes K. The id K itself stands for a masked token.
    fn codebook_size(&self) -> usize;

    /// Where the model computes.
    fn device(&self) -> Device;

    /// Prepares the prompts of a batch for guidance scale `guidance`.
    ///
    /// # Errors
    /// When a prompt does not fit the model.
    fn prepare(&self, prompts: &[&[u32]], guidance: f32) -> Result<Self::Prompts>;

    /// The prompts of the images `picked`, each a batch and the image's number in it, put together to one batch; all were
    /// prepared since the parameters last changed, for one guidance scale. None when they had better be prepared anew.
    fn gather(&self, batches: &[&Self::Prompts], picked: &[(usize, usize)]) -> Option<Self::Prompts> {
        let _ = (batches, picked);
        None
    }

    /// As [`image_scores`](Self::image_scores) while every token is masked, right after the prompts were prepared: images
    /// with equal prompts have equal scores, which a model may compute once.
    fn first_scores(&self, prompts: &Self::Prompts, codes: Tensor<2, Int>) -> ImageScores {
        self.image_scores(prompts, codes)
    }

    /// Scores of every code at every position.
    ///
    /// # Shapes
    /// `codes` `[B, N]`, in `0..=K`.
    fn image_scores(&self, prompts: &Self::Prompts, codes: Tensor<2, Int>) -> ImageScores;
}

/// Scores (logits) of every code at every position, `[B, N, K]`, f32.
#[derive(Debug, Clone)]
pub struct ImageScores {
    /// Guided: what codes are drawn from.
    pub guided: Tensor<3>,
    /// Given the prompt alone; the same without guidance.
    pub conditional: Tensor<3>,
}

/// Without guidance.
impl From<Tensor<3>> for ImageScores {
    fn from(logits: Tensor<3>) -> Self {
        Self { guided: logits.clone(), conditional: logits }
    }
}

/// Settings of [`MaskGit`]. The public release of Show-o paints 512 x 512 pixels with T = 50, a guidance scale of 5 and the
/// cosine schedule in its instructions; its function's own defaults are T = 18 without guidance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskGitConfig {
    /// Denoising steps T, at least 1.
    pub timesteps: usize,
    /// Checkpoint step t_c: drafts are previewed after this many steps, in `1..=timesteps`. 0 means T / 5 (at least 1).
    pub checkpoint_step: usize,
    /// Classifier-free guidance scale g, at least 0.
    pub guidance_scale: f32,
    /// Whether the log-probabilities that are recorded, and so scored again in updates, are those of the guided
    /// distribution, from which codes are drawn. `false` takes the conditional one: guidance then shapes rollouts and stays
    /// out of the likelihood, which leaves half of the work of an update and much less noise (Mask-GRPO and the like do so).
    /// Default: `true`, as in the paper.
    pub score_guidance: bool,
    /// Which positions are decided at a step.
    pub order: RevealOrder,
    /// Temperature that the guided scores are divided by before codes are drawn, above 0. The public release of Show-o has
    /// none: 1.
    pub token_temperature: f32,
    /// Temperature of the Gumbel noise on the confidence when tokens are masked again, at least 0; annealed by (1 - r) at
    /// every step. At 0 exactly the least confident tokens are masked again. The public release of Show-o: 1. Its old name
    /// in a config is `temperature`.
    #[serde(alias = "temperature")]
    pub remask_temperature: f32,
    /// How many tokens stay masked.
    pub schedule: MaskSchedule,
}

/// Which positions are decided at a step, of those that are undecided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevealOrder {
    /// The most confident ones, with the noise of `remask_temperature` (MaskGIT, Show-o).
    #[default]
    Confidence,
    /// As many, each set equally likely, whatever the model says: the order is no decision of the model's, and the likelihood
    /// of what a step reveals (`objective.image_positions = "revealed"`) is that of the image exactly. The emerge sampler of
    /// MaskGRPO.
    Random,
}

impl Default for MaskGitConfig {
    fn default() -> Self {
        Self {
            timesteps: 50,
            checkpoint_step: 0,
            guidance_scale: 5.0,
            score_guidance: true,
            order: RevealOrder::Confidence,
            token_temperature: 1.0,
            remask_temperature: 1.0,
            schedule: MaskSchedule::Cosine,
        }
    }
}

impl MaskGitConfig {
    /// Whether what is recorded is guided.
    fn records_guidance(&self) -> bool {
        self.score_guidance || self.guidance_scale == 0.0
    }

    /// The guidance scale of the log-probabilities that are recorded.
    pub fn scored_guidance(&self) -> f32 {
        if self.score_guidance { self.guidance_scale } else { 0.0 }
    }

    /// The sampler with these settings.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming the key, its range and the value.
    pub fn init(self) -> Result<MaskGit> {
        if self.timesteps == 0 {
            return Err(Error::config("sampler.image.timesteps: expected at least 1, got 0"));
        }
        if self.checkpoint_step > self.timesteps {
            return Err(Error::config(format!(
                "sampler.image.checkpoint_step: expected at most timesteps = {}, got {}",
                self.timesteps, self.checkpoint_step
            )));
        }
        for (key, value) in [("guidance_scale", self.guidance_scale), ("remask_temperature", self.remask_temperature)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::config(format!(
                    "sampler.image.{key}: expected a number of at least 0, got {value}"
                )));
            }
        }
        if !(self.token_temperature.is_finite() && self.token_temperature > 0.0) {
            return Err(Error::config(format!(
                "sampler.image.token_temperature: expected a number above 0, got {}",
                self.token_temperature
            )));
        }
        self.schedule.validate().map_err(|e| e.at("sampler.image"))?;
        Ok(MaskGit { config: self })
    }
}

/// The image of one candidate in the making, and the record of how it was made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Canvas {
    /// Denoising steps done.
    pub step: usize,
    /// Chosen codes `[step * N]`, step-major; decided positions repeat their standing code.
    pub chosen: Vec<u32>,
    /// Tempered log-probabilities of `chosen`, guided or not ([`MaskGitConfig::score_guidance`]).
    pub log_probs: Vec<f32>,
    /// Whether a position was undecided before that step.
    pub undecided: Vec<bool>,
    /// Codes going into the next step `[N]`; K is a masked token. Empty before the first step.
    pub codes: Vec<u32>,
}

impl Canvas {
    /// The latest prediction of all `tokens` positions: the preview, or the finished image after the last step.
    pub fn prediction(&self, tokens: usize) -> &[u32] {
        &self.chosen[self.chosen.len().saturating_sub(tokens)..]
    }
}

/// The MaskGIT sampler.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskGit {
    config: MaskGitConfig,
}

impl MaskGit {
    /// Its settings.
    pub fn config(&self) -> &MaskGitConfig {
        &self.config
    }

    /// The checkpoint step t_c.
    pub fn checkpoint_step(&self) -> usize {
        match self.config.checkpoint_step {
            0 => (self.config.timesteps / 5).max(1),
            step => step,
        }
    }

    /// Advances all canvases, which stand at the same step, to step `until`. Nothing is read back from the device in
    /// between.
    ///
    /// # Errors
    /// [`Contract`](counterpoint::ErrorKind::Contract) when the canvases do not belong to one batch, or the device fails.
    pub fn advance<M: ImageModel>(
        &self,
        model: &M,
        prompts: &M::Prompts,
        candidates: &[Candidate],
        canvases: &mut [Canvas],
        until: usize,
    ) -> Result<()> {
        let Some(start) = canvases.first().map(|c| c.step) else { return Ok(()) };
        if canvases.len() != candidates.len() || canvases.iter().any(|c| c.step != start) {
            return Err(Error::contract("the canvases of a batch must stand at one step, one per candidate"));
        }
        let mut batch = Batch::new(model, candidates, canvases, start);
        for step in start..until.min(self.config.timesteps) {
            batch.step(&self.config, model, prompts, step);
        }
        batch.write_back(canvases)
    }
}

/// The device side of a batch of canvases.
struct Batch<'a> {
    candidates: &'a [Candidate],
    device: Device,
    tokens: usize,
    mask: u32,
    codes: Tensor<2, Int>,
    undecided_count: usize,
    records: Vec<[Tensor<2>; 3]>,
}

impl<'a> Batch<'a> {
    fn new<M: ImageModel>(model: &M, candidates: &'a [Candidate], canvases: &[Canvas], start: usize) -> Self {
        let (tokens, mask, device) = (model.image_tokens(), model.codebook_size() as u32, model.device());
        let codes: Vec<i32> = match start {
            0 => vec![mask as i32; tokens * canvases.len()],
            _ => canvases.iter().flat_map(|c| c.codes.iter().map(|&id| id as i32)).collect(),
        };
        // The schedule masks the same number in every image, so one count serves the batch.
        let undecided_count = codes.iter().take(tokens).filter(|&&id| id == mask as i32).count();
        let codes = Tensor::from_data(TensorData::new(codes, [canvases.len(), tokens]), &device);
        Self { candidates, device, tokens, mask, codes, undecided_count, records: Vec::new() }
    }

    fn step<M: ImageModel>(&mut self, config: &MaskGitConfig, model: &M, prompts: &M::Prompts, step: usize) {
        let [batch, tokens] = self.codes.dims();
        let classes = self.mask as usize;
        let ImageScores { guided, conditional } = match step {
            0 => model.first_scores(prompts, self.codes.clone()),
            _ => model.image_scores(prompts, self.codes.clone()),
        };
        let tempered = |logits: Tensor<3>| match config.token_temperature {
            1.0 => log_softmax(logits, 2),
            temperature => log_softmax(logits / temperature, 2),
        };
        let log_probs = tempered(guided);
        let uniforms = self.uniforms("image.token", step).reshape([batch * tokens, 1]);
        let probs = log_probs.clone().exp().reshape([batch * tokens, classes]);
        let drawn = invert_cdf(probs, uniforms).reshape([batch, tokens]);

        let undecided = self.codes.clone().equal_scalar(self.mask as i64);
        let chosen = self.codes.clone().mask_where(undecided.clone(), drawn);
        let of_chosen = |all: Tensor<3>| all.gather(2, chosen.clone().unsqueeze_dim::<3>(2)).squeeze_dim::<2>(2);
        let chosen_log_probs = of_chosen(log_probs);
        let recorded = match config.records_guidance() {
            true => chosen_log_probs.clone(),
            false => of_chosen(tempered(conditional)),
        };
        self.records.push([chosen.clone().cast(FloatDType::F32), recorded, undecided.clone().cast(FloatDType::F32)]);

        let remask = config.schedule.remask(step, config.timesteps, self.tokens, self.undecided_count);
        let temperature = annealed(config, step);
        let confidence = match config.order {
            RevealOrder::Random => self.uniforms("image.remask", step),
            RevealOrder::Confidence if temperature > 0.0 => {
                chosen_log_probs + gumbel(self.uniforms("image.remask", step)) * temperature
            }
            RevealOrder::Confidence => chosen_log_probs,
        };
        self.codes = chosen.mask_fill(least_confident(confidence, undecided, remask), self.mask as i64);
        self.undecided_count = remask;
    }

    /// `[B, N]`: each candidate's own uniforms for this step.
    fn uniforms(&self, purpose: &str, step: usize) -> Tensor<2> {
        let values: Vec<f32> =
            self.candidates.iter().flat_map(|c| c.stream(purpose, step as u64).uniforms(self.tokens)).collect();
        Tensor::from_data(TensorData::new(values, [self.candidates.len(), self.tokens]), (&self.device, DType::F32))
    }

    /// Fetches everything that happened in one transaction and appends it to the canvases.
    fn write_back(self, canvases: &mut [Canvas]) -> Result<()> {
        let steps = self.records.len();
        let mut transaction = Transaction::default().register(self.codes.cast(FloatDType::F32));
        for record in self.records {
            for tensor in record {
                transaction = transaction.register(tensor);
            }
        }
        let fetched = transaction.try_execute().map_err(|e| {
            Error::device("cannot read the sampled image tokens from the device").with_source(e.to_string())
        })?;
        let mut columns = Vec::with_capacity(fetched.len());
        for data in fetched {
            let values = data
                .convert::<f32>()
                .try_into_vec::<f32>()
                .map_err(|e| Error::contract("sampled image tokens are not numbers").with_source(format!("{e:?}")))?;
            columns.push(values);
        }
        for (row, canvas) in canvases.iter_mut().enumerate() {
            let range = row * self.tokens..(row + 1) * self.tokens;
            // Codes pass through f32: exact below 2^24, and codebooks end at 2^18.
            canvas.codes = columns[0][range.clone()].iter().map(|&id| id as u32).collect();
            for record in columns[1..].chunks(3) {
                canvas.chosen.extend(record[0][range.clone()].iter().map(|&id| id as u32));
                canvas.log_probs.extend(&record[1][range.clone()]);
                canvas.undecided.extend(record[2][range.clone()].iter().map(|&u| u != 0.0));
            }
            canvas.step += steps;
        }
        Ok(())
    }
}

/// Which `count` of the undecided positions are masked again: those of least confidence, the first of equals.
///
/// # Shapes
/// `confidence` and `undecided` `[B, N]`; output `[B, N]` with `count` true per row.
pub fn least_confident(confidence: Tensor<2>, undecided: Tensor<2, Bool>, count: usize) -> Tensor<2, Bool> {
    // Decided tokens stay: no confidence is as high as theirs.
    let confidence = confidence.mask_fill(undecided.bool_not(), f32::MAX);
    confidence.argsort(1).argsort(1).lower_scalar(count as i64)
}

/// Temperature at `step`: multiplied by (1 - r) at every step up to and including it, as the public code does.
fn annealed(config: &MaskGitConfig, step: usize) -> f32 {
    (0..=step).fold(config.remask_temperature, |t, s| t * (1.0 - (s + 1) as f32 / config.timesteps as f32))
}

/// Standard Gumbel noise from uniforms in (0, 1).
fn gumbel(uniforms: Tensor<2>) -> Tensor<2> {
    uniforms.log().neg().log().neg()
}
