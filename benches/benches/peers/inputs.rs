//! What both halves are given: prompts, and the group that updates learn from.

use std::path::Path;

use counterpoint::{Error, Key, Result, Segment, Streams, Trajectory};
use counterpoint_showo::ShowoConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Length of an answer that updates learn from.
const ANSWER: usize = 16;
/// Length of a question.
const QUESTION: usize = 60;

/// Prompts, as token ids.
#[derive(Serialize, Deserialize)]
pub struct Inputs {
    /// A generation prompt for each candidate, without begin and end of text.
    pub prompts: Vec<Vec<u32>>,
    /// An understanding prompt, whole.
    pub question: Vec<u32>,
    /// An answer for each candidate.
    pub answers: Vec<Vec<u32>>,
}

/// A recorded group.
#[derive(Serialize, Deserialize)]
pub struct Record {
    /// Image codes, `[G][T * N]`.
    pub chosen: Vec<Vec<u32>>,
    /// Whether each was undecided, `[G][T * N]`.
    pub undecided: Vec<Vec<bool>>,
    /// Log-probabilities "at sampling time" of the image codes: the model's, moved a little, `[G][T * N]`.
    pub image_log_probs: Vec<Vec<f32>>,
    /// The same of the answers, `[G][16]`.
    pub text_log_probs: Vec<Vec<f32>>,
    /// `[G]`.
    pub advantages: Vec<f64>,
}

impl Inputs {
    /// Random tokens; prompts of three quarters of the longest.
    pub fn new(config: &ShowoConfig, group: usize) -> Self {
        let random = |what: &str, index: usize, length: usize, below: usize| -> Vec<u32> {
            let mut stream = Streams::new(2).stream(Key::task(0, 0), what, index as u64);
            (0..length).map(|_| stream.below(below) as u32).collect()
        };
        let text = config.llm_vocab_size - 1;
        let codes = random("image", 0, config.num_vq_tokens, config.codebook_size);
        let image = codes.iter().map(|code| code + config.image_token_offset);
        let special = config.special_token_ids;
        let mut question: Vec<u32> = [special.mmu, special.soi].into_iter().chain(image).collect();
        question.extend([special.eoi, config.bos_id]);
        question.extend(random("question", 0, QUESTION, text));
        Self {
            prompts: (0..group).map(|i| random("prompt", i, config.max_seq_length * 3 / 4, text)).collect(),
            question,
            answers: (0..group).map(|i| random("answer", i, ANSWER, text)).collect(),
        }
    }

    /// Writes `inputs.json`.
    pub fn save(&self, folder: &Path) -> Result<()> {
        save(self, &folder.join("inputs.json"))
    }

    /// Reads `inputs.json`.
    pub fn load(folder: &Path) -> Result<Self> {
        load(&folder.join("inputs.json"))
    }
}

impl Record {
    /// Writes `group.json`.
    pub fn save(&self, folder: &Path) -> Result<()> {
        save(self, &folder.join("group.json"))
    }

    /// Reads `group.json`.
    pub fn load(folder: &Path) -> Result<Self> {
        load(&folder.join("group.json"))
    }

    /// The trajectories, as the sampler hands them to the trainer.
    pub fn trajectories(&self, config: &ShowoConfig, inputs: &Inputs, guidance: f32) -> Vec<Trajectory> {
        (0..self.chosen.len())
            .map(|i| {
                let text =
                    Segment::text(inputs.question.clone(), inputs.answers[i].clone(), self.text_log_probs[i].clone());
                let image = Segment::masked(
                    inputs.prompts[i].clone(),
                    config.num_vq_tokens,
                    self.chosen[i].clone(),
                    self.image_log_probs[i].clone(),
                    self.undecided[i].clone(),
                )
                .with_guidance(guidance);
                Trajectory::new(i as u64, vec![text, image])
            })
            .collect()
    }
}

fn save(value: &impl Serialize, path: &Path) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|e| Error::config("cannot write JSON").with_source(e))?;
    std::fs::write(path, text).map_err(|e| Error::io("cannot write", path, e))
}

fn load<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))?;
    serde_json::from_str(&text).map_err(|e| Error::config("unreadable JSON").at(path.display()).with_source(e))
}
