//! Recorded decisions scored again, once a model has said its logits.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use counterpoint::{Error, LogProbs, Replay, Result, Segment};

use crate::tokens::to_tensor;

/// Log-probabilities and entropies of the recorded decisions of each replay.
///
/// # Shapes
/// `logits` `[n, d, ids]`, d the most decisions of a replay; a shorter one's row goes on with what nobody reads.
pub fn score(logits: Tensor<3>, chunk: &[Replay<'_>]) -> LogProbs {
    let decisions = logits.dims()[1];
    let chosen = chunk.iter().map(|replay| {
        let mut row = replay.segment().chosen[replay.decisions()].to_vec();
        row.resize(decisions, 0);
        row
    });
    let chosen = to_tensor(&chosen.collect::<Vec<_>>(), &logits.device());
    let all = log_softmax(logits, 2);
    let entropy = {
        let all = all.clone().inner();
        (all.clone().exp() * all).sum_dim(2).neg().squeeze_dim::<2>(2)
    };
    let log_probs = all.gather(2, chosen.unsqueeze_dim::<3>(2)).squeeze_dim::<2>(2);
    LogProbs::new(log_probs).with_entropy(entropy)
}

/// `scores` on the device without autodiff.
pub fn constant(scores: LogProbs) -> LogProbs {
    let constant = LogProbs::new(scores.log_probs.inner());
    match scores.entropy {
        Some(entropy) => constant.with_entropy(entropy.inner()),
        None => constant,
    }
}

/// What all segments of the chunk were sampled with.
///
/// # Errors
/// [`Contract`](counterpoint::ErrorKind::Contract) when they differ.
pub fn common(chunk: &[Replay<'_>], what: &str, value: impl Fn(&Segment) -> f32) -> Result<f32> {
    let first = value(chunk[0].segment());
    match chunk.iter().all(|replay| value(replay.segment()) == first) {
        true => Ok(first),
        false => Err(Error::contract(format!("the replays of a chunk were sampled with different {what}"))),
    }
}
