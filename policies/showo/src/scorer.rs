//! A decoder that is asked for scores: its parameters, where they are, and which short cuts it takes.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use crate::{AnswerIds, FastPaths, Showo, ShowoConfig};

/// A decoder with one set of parameters, for as long as these do not change.
#[derive(Clone)]
pub(crate) struct Scorer {
    pub(crate) config: Arc<ShowoConfig>,
    pub(crate) model: Showo,
    /// Of the parameters, with autodiff where their gradients are wanted.
    pub(crate) device: Device,
    pub(crate) fast: FastPaths,
    pub(crate) answer_ids: AnswerIds,
}

impl Scorer {
    /// How many parts of a batch of `rows` are computed side by side; one where gradients flow.
    pub(crate) fn side_by_side(&self, rows: usize) -> usize {
        if self.device.is_autodiff() { 1 } else { rows.min(self.fast.threads(&self.device)) }
    }

    /// Scores of all image codes at `tokens` image positions, the first of which is at `start`.
    ///
    /// # Shapes
    /// `hidden` `[B, L, H]` to f32 `[B, tokens, codebook]`.
    pub(crate) fn image_logits(&self, hidden: Tensor<3>, start: usize) -> Tensor<3> {
        let (tokens, codes) = (self.config.num_vq_tokens, self.config.codebook_size);
        match self.fast.sliced_head {
            true => self.model.image_logits(hidden.narrow(1, start, tokens)),
            false => {
                let first = self.config.image_token_offset as usize;
                self.model.logits(hidden).narrow(1, start, tokens).narrow(2, first, codes)
            }
        }
    }

    /// Scores of all ids that an answer may consist of, the first being id 0.
    ///
    /// # Shapes
    /// `hidden` `[B, L, H]` to f32 `[B, L, ids]`.
    pub(crate) fn answer_logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        let logits = match (self.answer_ids, self.fast.sliced_head) {
            (AnswerIds::All, _) => return self.model.logits(hidden),
            (AnswerIds::Text, true) => self.model.text_logits(hidden),
            (AnswerIds::Text, false) => self.model.logits(hidden).narrow(2, 0, self.config.text_vocab_size),
        };
        AnswerIds::without_special(&self.config, logits, &self.device)
    }

    /// Scores of an answer's next token after the last of these states.
    ///
    /// # Shapes
    /// `hidden` `[B, L, H]` to f32 `[B, ids]`.
    pub(crate) fn next_logits(&self, hidden: Tensor<3>) -> Tensor<2> {
        let last = hidden.dims()[1] - 1;
        let logits = match self.fast.sliced_head {
            true => self.answer_logits(hidden.narrow(1, last, 1)),
            false => self.answer_logits(hidden).narrow(1, last, 1),
        };
        logits.squeeze_dim(1)
    }
}
