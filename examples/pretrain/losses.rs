//! Losses of the decoder.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use counterpoint::Result;
use counterpoint_showo::{Allowed, Showo, ShowoConfig, tokens};

use crate::batches::{Conversations, Images};

/// Cross entropies of batches.
pub struct Losses<'a> {
    pub config: &'a ShowoConfig,
    pub device: &'a Device,
}

impl Losses<'_> {
    /// Of masked image tokens.
    pub fn images(&self, model: &Showo, batch: &Images) -> Result<Tensor<1>> {
        let allowed = Allowed::t2i(self.config, &batch.rows)?.tensor(self.device);
        let hidden = model.forward(tokens::to_tensor(&batch.rows, self.device), allowed);
        let span = self.config.t2i_image_span();
        let logits = model.image_logits(hidden.narrow(1, span.start, span.len()));
        Ok(self.cross_entropy(logits, &batch.targets, batch.weights.clone()))
    }

    /// Of answers, of sequences that begin with `image` positions of an image.
    pub fn answers(&self, model: &Showo, batch: &Conversations, image: usize) -> Result<Tensor<1>> {
        let allowed = Allowed::mmu(self.config, &batch.rows)?.tensor(self.device);
        let hidden = model.forward(tokens::to_tensor(&batch.rows, self.device), allowed);
        let hidden = hidden.narrow(1, image, batch.rows[0].len() - image);
        Ok(self.next_tokens(model.logits(hidden), batch, image))
    }

    /// As [`answers`](Self::answers), where all sequences have the same image: it is read once.
    pub fn answers_to_one_image(&self, model: &Showo, batch: &Conversations, image: usize) -> Result<Tensor<1>> {
        let rows = &batch.rows;
        let allowed = Allowed::mmu(self.config, rows)?.queries(image..rows[0].len()).tensor(self.device);
        let prefix = [rows[0][..image].to_vec()];
        let within = Allowed::mmu(self.config, &prefix)?.tensor(self.device);
        let (_, cache) = model.prefill(tokens::to_tensor(&prefix, self.device), within);
        let cache = cache.select(&vec![0; rows.len()]);
        let tails: Vec<Vec<u32>> = rows.iter().map(|row| row[image..].to_vec()).collect();
        let hidden = model.forward_with_prefix(tokens::to_tensor(&tails, self.device), &cache, allowed);
        Ok(self.next_tokens(model.logits(hidden), batch, image))
    }

    /// Of the tokens of the answers, `logits` being those of the positions from `first` on.
    fn next_tokens(&self, logits: Tensor<3>, batch: &Conversations, first: usize) -> Tensor<1> {
        // Position `at` predicts the token after it.
        let targets: Vec<Vec<u32>> = batch.rows.iter().map(|row| row[first + 1..].to_vec()).collect();
        let width = targets[0].len();
        let weight = |counts: bool| if counts { 1.0 } else { 0.0 };
        let weights = batch
            .answers
            .iter()
            .flat_map(|spans| {
                (first + 1..first + 1 + width).map(move |at| weight(spans.iter().any(|span| span.contains(&at))))
            })
            .collect();
        self.cross_entropy(logits.narrow(1, 0, width), &targets, weights)
    }

    /// Mean over the positions of weight 1.
    fn cross_entropy(&self, logits: Tensor<3>, targets: &[Vec<u32>], weights: Vec<f32>) -> Tensor<1> {
        let [batch, length, _] = logits.dims();
        let total: f32 = weights.iter().sum();
        let targets = tokens::to_tensor(targets, self.device);
        let chosen = log_softmax(logits, 2).gather(2, targets.unsqueeze_dim(2)).reshape([batch, length]);
        let weights = Tensor::<2>::from_data(TensorData::new(weights, [batch, length]), self.device);
        (chosen * weights).sum() / -total
    }
}
