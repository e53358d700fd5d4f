//! Concept tokens' rows of embedding and output head as parameters of their own, laid over a frozen base.

use burn::module::{Module, Param};
use burn::tensor::module::{embedding, linear};
use burn::tensor::{DType, Int, Tensor};

/// Rows of the concept tokens, whose ids follow one another.
#[derive(Module, Debug)]
pub(crate) struct ConceptRows {
    /// `[n, H]`.
    embed_tokens: Param<Tensor<2>>,
    /// `[H, n]`.
    head_weight: Param<Tensor<2>>,
    /// `[n]`.
    head_bias: Param<Tensor<1>>,
    /// Id of the first one.
    first: usize,
}

impl ConceptRows {
    /// The rows of the ids from `first` on as the base has them: `embed` `[n, H]`, `weight` `[H, n]`, `bias` `[n]`.
    /// Trainable from here on.
    pub(crate) fn new(first: usize, embed: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Self {
        // Values of their own: no views of the base.
        fn own<const D: usize>(rows: Tensor<D>) -> Param<Tensor<D>> {
            let device = rows.device();
            Param::from_data(rows.into_data(), &device)
        }
        Self { embed_tokens: own(embed), head_weight: own(weight), head_bias: own(bias), first }
    }

    /// Embedding `[H]`, head weight `[H]` and head bias `[1]` of the first of them.
    pub(crate) fn first_row(&self) -> [Tensor<1>; 3] {
        [
            self.embed_tokens.val().narrow(0, 0, 1).squeeze_dim(0),
            self.head_weight.val().narrow(1, 0, 1).squeeze_dim(1),
            self.head_bias.val().narrow(0, 0, 1),
        ]
    }

    fn count(&self) -> usize {
        self.head_bias.lazy_shape().num_elements()
    }

    /// `hidden`, the base's embeddings of `ids`, with these rows where a concept token is.
    ///
    /// # Shapes
    /// `ids` `[B, L]`, `hidden` and output `[B, L, H]`.
    pub(crate) fn embed(&self, ids: Tensor<2, Int>, hidden: Tensor<3>) -> Tensor<3> {
        let (first, count) = (self.first as i64, self.count() as i64);
        let other = ids.clone().lower_elem(first).bool_or(ids.clone().greater_equal_elem(first + count));
        let rows = embedding(self.embed_tokens.val(), (ids - first).clamp(0, count - 1));
        let shape = hidden.shape();
        rows.mask_where(other.unsqueeze_dim::<3>(2).expand(shape), hidden)
    }

    /// `logits`, the base's scores of `hidden` over the ids from `start` on, with the concept tokens' own scores.
    ///
    /// # Shapes
    /// `hidden` `[B, L, H]`, `logits` and output `[B, L, ids]`.
    pub(crate) fn score(&self, hidden: Tensor<3>, logits: Tensor<3>, start: usize) -> Tensor<3> {
        let (from, to) = (self.first.max(start), (self.first + self.count()).min(start + logits.dims()[2]));
        if from >= to {
            return logits;
        }
        let (skipped, count) = (from - self.first, to - from);
        let weight = self.head_weight.val().narrow(1, skipped, count);
        let own = linear(hidden, weight, Some(self.head_bias.val().narrow(0, skipped, count)));
        let [batch, length, _] = logits.dims();
        logits.slice_assign([0..batch, 0..length, from - start..to - start], own)
    }

    /// Puts the rows into the base, which becomes f32: `embed` `[vocab, H]`, `weight` `[H, vocab]`, `bias` `[vocab]`.
    pub(crate) fn merge(
        self,
        embed: Tensor<2>,
        weight: Tensor<2>,
        bias: Tensor<1>,
    ) -> (Tensor<2>, Tensor<2>, Tensor<1>) {
        let (ids, width) = (self.first..self.first + self.count(), embed.dims()[1]);
        (
            embed.cast(DType::F32).slice_assign([ids.clone(), 0..width], self.embed_tokens.val()),
            weight.cast(DType::F32).slice_assign([0..width, ids.clone()], self.head_weight.val()),
            bias.slice_assign([ids], self.head_bias.val()),
        )
    }
}
