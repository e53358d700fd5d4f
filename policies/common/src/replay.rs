//! Recorded decisions scored again, once a model has said its logits.

use burn::tensor::Tensor;
use counterpoint::{Error, LogProbs, Replay, Result, Segment};
use counterpoint_kernels::chosen_log_probs;

/// Log-probabilities and entropies of the recorded decisions of each replay.
///
/// # Shapes
/// `logits` `[n, d, ids]`, d the most decisions of a replay; a shorter one's row goes on with what nobody reads.
pub fn score(logits: Tensor<3>, chunk: &[Replay<'_>]) -> LogProbs {
    let [rows, decisions, ids] = logits.dims();
    let chosen = chunk.iter().flat_map(|replay| {
        let mut row = replay.segment().chosen[replay.decisions()].to_vec();
        row.resize(decisions, 0);
        row
    });
    let (log_probs, entropy) = chosen_log_probs(logits.reshape([rows * decisions, ids]), chosen.collect());
    let shape = [rows, decisions];
    LogProbs::new(log_probs.reshape(shape)).with_entropy(entropy.reshape(shape))
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

/// Different contexts in the order in which they come, and which of them each one is.
pub fn distinct<'a>(contexts: impl Iterator<Item = &'a [u32]>) -> (Vec<&'a [u32]>, Vec<usize>) {
    let mut found: Vec<&[u32]> = Vec::new();
    let of = contexts.map(|context| {
        found.iter().position(|known| *known == context).unwrap_or_else(|| {
            found.push(context);
            found.len() - 1
        })
    });
    let of = of.collect();
    (found, of)
}
