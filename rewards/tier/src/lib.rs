//! TIER, the text-image-entity reasoning reward: does the reasoning say the fact that fits?
//!
//! Sentence embeddings (ERNIE 3.0) of the reasoning IR and of each candidate fact `E_k` give a vector of cosines
//! `S`; with `d = ||S - onehot(target)||_2`, `TIER = clamp((2 - d) / 2, 0, 1)`. Where an encoder's embeddings crowd, `S` is
//! taken from centred ones: [`Normalise`].
//!
//! All texts are brought into one form first, see [`counterpoint_encoders::text::normalise`].

mod files;
mod normalise;

pub use files::FILES;
pub use normalise::Normalise;

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use counterpoint::{Judges, Result, Reward, Sample, Score};
use counterpoint_encoders::bert::Pooling;
use counterpoint_encoders::expert::{ExpertConfig as _, device};
use counterpoint_encoders::text::normalise;
use counterpoint_encoders::{BertConfig, BertEncoder, TextMemo, TextTokenizer, expert};
use counterpoint_weights::Precision;
use serde::{Deserialize, Serialize};

expert!("tier", TierConfig => Tier, { weights: FILES });

/// Settings of [`Tier`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierConfig {
    /// Folder with the encoder's `config.json`, weights and tokenizer, see [`FILES`]; or `hf:OWNER/NAME`.
    pub weights: PathBuf,
    /// Texts of one forward pass, 1 or more; fewer texts are filled up. Default: 16.
    #[serde(default = "batch")]
    pub batch: usize,
    /// How tokens become one vector. Default: what `1_Pooling/config.json` in the folder says, else their mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// How cosines that crowd are spread: `none`, `centre` or `sum`. Default: `none`, the paper's formula.
    #[serde(default)]
    pub normalise: Normalise,
    /// Where it computes: `flex` (CPU), `cuda:N`, `wgpu` or another device by its name. Default: the run's device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What its matrices are stored and multiplied in: `f32`, `bf16` or `f16`. Default: `f32`.
    #[serde(default)]
    pub dtype: Precision,
}

fn batch() -> usize {
    16
}

impl TierConfig {
    /// The expert with the encoder at `weights`, all else by default.
    pub fn new(weights: impl Into<PathBuf>) -> Self {
        Self {
            weights: weights.into(),
            batch: batch(),
            pooling: None,
            normalise: Normalise::default(),
            device: None,
            dtype: Precision::default(),
        }
    }

    /// Loads the encoder; it computes on `default` unless the settings name another device.
    ///
    /// # Errors
    /// When a file is missing or damaged, the files do not belong together, or a setting is out of range.
    pub fn init(&self, default: &Device) -> Result<Tier> {
        let device = device::<Self>(self.batch, self.device.as_deref(), default)?;
        let config = BertConfig::read(&self.weights)?;
        let longest = config.max_position_embeddings;
        let tokenizer = TextTokenizer::load(&self.weights, longest)?;
        tokenizer.check_fits(config.vocab_size, &self.weights)?;
        let pooling = match self.pooling {
            Some(pooling) => pooling,
            None => Pooling::read(&self.weights)?,
        };
        let tower = BertConfig::load(&self.weights, self.dtype, &device)?;
        let texts = TextMemo::new(tokenizer, longest, self.batch, device.clone());
        Ok(Tier { tower, pooling, normalise: self.normalise, texts, device })
    }
}

/// The TIER reward. Reads `params.facts` (array of strings) and `params.target` (index of the fact that fits).
///
/// A sample without facts or without a target is abstained from. An empty reasoning scores 0, the least there is: it
/// must not pay to say nothing.
#[derive(Debug)]
pub struct Tier {
    tower: BertEncoder,
    pooling: Pooling,
    normalise: Normalise,
    texts: TextMemo,
    device: Device,
}

/// What one sample asks for.
enum Question {
    Score { reasoning: String, facts: Vec<String>, target: usize },
    Settled(Score),
}

impl Tier {
    /// One unit vector per text, each distinct text embedded once in the life of the expert.
    ///
    /// # Errors
    /// When a text has no token.
    pub fn embed<S: AsRef<str>>(&mut self, texts: &[S]) -> Result<Vec<Arc<[f32]>>> {
        let (tower, pooling) = (&self.tower, self.pooling);
        self.texts.embed(texts, |batch| Ok(tower.embed(batch.ids, &batch.keep, pooling)))
    }
}

impl Reward for Tier {
    fn name(&self) -> &str {
        TierConfig::NAME
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let questions: Vec<Question> = samples.iter().map(question).collect();
        let mut texts: Vec<&str> = Vec::new();
        for question in &questions {
            if let Question::Score { reasoning, facts, .. } = question {
                texts.extend(std::iter::once(reasoning).chain(facts).map(String::as_str));
            }
        }
        let how = self.normalise;
        let mut rows = self.embed(&texts)?.into_iter();
        let mut next = |count| rows.by_ref().take(count).collect::<Vec<_>>();
        let mut score = |question: &Question| match question {
            Question::Settled(score) => score.clone(),
            Question::Score { facts, target, .. } => {
                let (reasoning, facts) = (next(1), next(facts.len()));
                match tier(&how.similarities(&reasoning[0], &facts), *target) {
                    value if value.is_finite() => Score::Value(value),
                    value => Score::Fail(format!("expected finite embeddings, got a score of {value}")),
                }
            }
        };
        Ok(questions.iter().map(&mut score).collect())
    }

    /// It reads the answer, the facts and the target.
    fn judges(&self) -> Judges {
        Judges::Understanding
    }

    fn device(&self) -> Option<String> {
        Some(counterpoint::device::name(&self.device))
    }
}

/// `clamp((2 - ||S - onehot(target)||) / 2, 0, 1)`; NaN when a cosine is.
///
/// `cosines` is `S`, the cosine of the reasoning with each fact, as [`Normalise::similarities`] gives it; `target` below its
/// length is the fact that fits.
pub fn tier(cosines: &[f64], target: usize) -> f64 {
    let squares = cosines.iter().enumerate().map(|(k, s)| (s - if k == target { 1.0 } else { 0.0 }).powi(2));
    ((2.0 - squares.sum::<f64>().sqrt()) / 2.0).clamp(0.0, 1.0)
}

fn question(sample: &Sample) -> Question {
    let facts = match sample.params.get("facts") {
        None | Some(serde_json::Value::Null) => return settled(Score::Abstain("no facts given".into())),
        Some(facts) => facts,
    };
    let facts: Vec<String> = match Vec::deserialize(facts) {
        Ok(facts) => facts,
        Err(_) => return settled(Score::Fail("expected params.facts to be an array of strings".into())),
    };
    if facts.is_empty() {
        return settled(Score::Abstain("no facts given".into()));
    }
    let target = match sample.params.get("target") {
        None | Some(serde_json::Value::Null) => return settled(Score::Abstain("no target given".into())),
        Some(target) => target,
    };
    let target = match target.as_u64().and_then(|t| usize::try_from(t).ok()).filter(|&t| t < facts.len()) {
        Some(target) => target,
        None => {
            let reason = format!("expected params.target to be an index below {}, got {target}", facts.len());
            return settled(Score::Fail(reason));
        }
    };
    let facts: Vec<String> = facts.iter().map(|f| normalise(f)).collect();
    if let Some(k) = facts.iter().position(String::is_empty) {
        return settled(Score::Fail(format!("expected params.facts[{k}] to have words, got none")));
    }
    let reasoning = normalise(&sample.response);
    if reasoning.is_empty() {
        return settled(Score::Value(0.0));
    }
    Question::Score { reasoning, facts, target }
}

fn settled(score: Score) -> Question {
    Question::Settled(score)
}
