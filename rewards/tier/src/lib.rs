//! TIER, the text-image-entity reasoning reward: does the reasoning say the fact that fits?
//!
//! Sentence embeddings (ERNIE 3.0) of the reasoning IR and of each candidate fact `E_k` give a vector of cosines
//! `S`; with `d = ||S - onehot(target)||_2`, `TIER = clamp((2 - d) / 2, 0, 1)`.
//!
//! All texts are brought into one form first, see [`counterpoint_encoders::text::normalise`].

mod files;

pub use files::FILES;

use std::collections::HashMap;
use std::path::PathBuf;

use burn::tensor::Device;
use counterpoint::registry::{RewardEntry, settings};
use counterpoint::{Error, Result, Reward, Sample, Score, inventory};
use counterpoint_encoders::text::normalise;
use counterpoint_encoders::{BertConfig, BertEncoder, TextTokenizer};
use serde::{Deserialize, Serialize};

inventory::submit! {
    RewardEntry {
        name: "tier",
        build: |table, context| {
            let mut config: TierConfig = settings("tier", table)?;
            config.weights = context.resolve(&config.weights);
            Ok(Box::new(config.init(&context.device)?))
        },
    }
}

/// Settings of [`Tier`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierConfig {
    /// Folder with the encoder's `config.json`, `model.safetensors` and `tokenizer.json`.
    pub weights: PathBuf,
    /// Most texts of one forward pass, 1 or more. Default: 256.
    #[serde(default = "batch")]
    pub batch: usize,
}

fn batch() -> usize {
    256
}

impl TierConfig {
    /// Loads the encoder.
    ///
    /// # Errors
    /// When a file is missing or damaged, the files do not belong together, or a setting is out of range.
    pub fn init(&self, device: &Device) -> Result<Tier> {
        if self.batch == 0 {
            return Err(Error::config("tier: expected batch of 1 or more, got 0"));
        }
        let config = BertConfig::read(&self.weights)?;
        let tokenizer = TextTokenizer::load(&self.weights, config.max_position_embeddings)?;
        if tokenizer.vocab_size() > config.vocab_size {
            return Err(Error::weights(format!(
                "tier: expected a tokenizer of at most {} tokens in {}, got {}; the files do not belong together",
                config.vocab_size,
                self.weights.display(),
                tokenizer.vocab_size()
            )));
        }
        let tower = BertConfig::load(&self.weights, device)?;
        Ok(Tier { tower, tokenizer, device: device.clone(), batch: self.batch })
    }
}

/// The TIER reward. Reads `params.facts` (array of strings) and `params.target` (index of the fact that fits).
///
/// A sample without facts or without a target is abstained from. An empty reasoning scores 0, the least there is: it
/// must not pay to say nothing.
#[derive(Debug)]
pub struct Tier {
    tower: BertEncoder,
    tokenizer: TextTokenizer,
    device: Device,
    batch: usize,
}

/// What one sample asks for.
enum Question {
    Score { reasoning: String, facts: Vec<String>, target: usize },
    Settled(Score),
}

impl Tier {
    /// One unit vector per text.
    ///
    /// # Errors
    /// When a text has no token.
    pub fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let mut rows = Vec::with_capacity(texts.len());
        for texts in texts.chunks(self.batch) {
            let batch = self.tokenizer.encode(texts, &self.device)?;
            let embedded = self.tower.embed(batch.ids, &batch.keep);
            let width = embedded.dims()[1];
            let values: Vec<f32> = embedded.into_data().iter::<f32>().collect();
            rows.extend(values.chunks(width).map(<[f32]>::to_vec));
        }
        Ok(rows)
    }
}

impl Reward for Tier {
    fn name(&self) -> &str {
        "tier"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let questions: Vec<Question> = samples.iter().map(question).collect();
        // The candidates of a group share their facts: each distinct text is embedded once.
        let mut texts: Vec<String> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for question in &questions {
            if let Question::Score { reasoning, facts, .. } = question {
                for text in std::iter::once(reasoning).chain(facts) {
                    known.entry(text.clone()).or_insert_with(|| {
                        texts.push(text.clone());
                        texts.len() - 1
                    });
                }
            }
        }
        let rows = self.embed(&texts)?;
        let row = |text: &String| known.get(text).and_then(|&i| rows.get(i)).map(Vec::as_slice).unwrap_or_default();
        let score = |question| match question {
            Question::Settled(score) => score,
            Question::Score { reasoning, facts, target } => {
                let cosines: Vec<f64> = facts.iter().map(|fact| dot(row(&reasoning), row(fact))).collect();
                match tier(&cosines, target) {
                    value if value.is_finite() => Score::Value(value),
                    value => Score::Fail(format!("expected finite embeddings, got a score of {value}")),
                }
            }
        };
        Ok(questions.into_iter().map(score).collect())
    }
}

/// `clamp((2 - ||S - onehot(target)||) / 2, 0, 1)`; NaN when a cosine is.
///
/// `cosines` is `S`, the cosine of the reasoning with each fact; `target` below its length is the fact that fits.
pub fn tier(cosines: &[f64], target: usize) -> f64 {
    let squares = cosines.iter().enumerate().map(|(k, s)| (s - if k == target { 1.0 } else { 0.0 }).powi(2));
    ((2.0 - squares.sum::<f64>().sqrt()) / 2.0).clamp(0.0, 1.0)
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
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
