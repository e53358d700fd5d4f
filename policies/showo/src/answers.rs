//! Which ids an answer may consist of.

use burn::tensor::{DType, Device, Tensor};
use counterpoint::{Error, Replay, Result};
use serde::{Deserialize, Serialize};

use crate::ShowoConfig;

/// What is added to the score of an id that may not be written: it has no probability left, and its entropy is 0 and not NaN.
const FORBIDDEN: f32 = -1e9;

/// Over which ids an answer is drawn, and so over which its log-probabilities are normalised, in rollouts and replays alike.
///
/// In a config, `answer_ids = "text"` (the default) or `"all"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerIds {
    /// The text vocabulary, concept tokens and end of text included: neither image codes and their mask nor the special
    /// tokens (padding, soi, t2i, ..), which mean nothing inside an answer.
    #[default]
    Text,
    /// The whole vocabulary, as in the public release, which does not draw though: it takes the most probable id.
    All,
}

impl AnswerIds {
    /// Scores of text ids with those of special tokens, which may not be written, pushed out.
    ///
    /// # Shapes
    /// `[B, L, text_vocab]`, f32, to the same.
    pub(crate) fn without_special(config: &ShowoConfig, logits: Tensor<3>, device: &Device) -> Tensor<3> {
        let mut bias = Tensor::<1>::zeros([config.text_vocab_size], (device, DType::F32));
        let mut special: Vec<usize> = special(config).map(|id| id as usize).collect();
        special.sort_unstable();
        for run in special.chunk_by(|a, b| a + 1 == *b) {
            bias = bias.slice_fill(run[0]..run[run.len() - 1] + 1, FORBIDDEN);
        }
        logits + bias.reshape([1, 1, -1])
    }

    /// Refuses answers with an id that may not be written.
    pub(crate) fn check(self, config: &ShowoConfig, chunk: &[Replay<'_>]) -> Result<()> {
        if self == Self::All {
            return Ok(());
        }
        let allowed = |id: u32| (id as usize) < config.text_vocab_size && special(config).all(|other| other != id);
        for replay in chunk {
            if let Some(id) = replay.segment().chosen.iter().copied().find(|&id| !allowed(id)) {
                return Err(Error::contract(format!(
                    "candidate {}: expected an answer of text ids, below {} and no special tokens, got {id}; sample with \
                     the policy's own answer_ids, or score with answer_ids = \"all\"",
                    replay.trajectory.candidate, config.text_vocab_size
                )));
            }
        }
        Ok(())
    }
}

/// The special tokens but end of text.
fn special(config: &ShowoConfig) -> impl Iterator<Item = u32> {
    let end = config.eos_id;
    config.special_token_ids.named().into_iter().map(|(_, id)| id).filter(move |&id| id != end)
}
