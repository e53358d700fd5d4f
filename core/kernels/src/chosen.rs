//! Log-probabilities of chosen ids, and the entropy of what they were chosen from, without a table of all log-probabilities.

use std::cell::Cell;
use std::sync::Arc;

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor, TensorData};
use pulp::Simd;

use crate::lanes::{Lanes, Vectors, map};
use crate::rows::{OfRow, OnRow, map_rows, read_rows};
use crate::tracked::{elsewhere, tracked};
use crate::{is_tracked_here, may_work_on, numbers};

/// Powers of less are nothing in f32, and times an infinity they would be no number.
const LOWEST: f32 = -88.0;

/// Log-probabilities of `chosen` under the softmax of each row of `logits`, and the entropy of that in nats, which has no gradient; on any
/// device, with or without gradients.
///
/// # Shapes
/// `logits` `[n, ids]`, `chosen` n ids below that; both results `[n, 1]`.
pub fn chosen_log_probs(logits: Tensor<2>, chosen: Vec<u32>) -> (Tensor<2>, Tensor<2>) {
    let device = logits.device().inner();
    let column = |values: Vec<f32>| {
        let shape = [values.len(), 1];
        Tensor::<2>::from_data(TensorData::new(values, shape), (&device, DType::F32))
    };
    let tracked_here = is_tracked_here(&logits);
    if !tracked_here && !may_work_on(&logits) {
        return by_burn(logits, chosen);
    }
    let (chosen, entropy) = (Arc::new(chosen), Cell::new(Vec::new()));
    let read = |logits: Tensor<2>| {
        let seen = read_rows(logits.clone(), Logits(&chosen));
        entropy.set(seen.iter().map(|seen| seen.entropy).collect());
        let kept = Kept { logits, chosen: chosen.clone(), totals: seen.iter().map(|seen| seen.total).collect() };
        (column(seen.into_iter().map(|seen| seen.log_prob).collect()), kept)
    };
    let log_probs = match tracked_here {
        false => read(logits).0,
        true => tracked(logits, |x| read(x).0, read, back).unwrap_or_else(|| elsewhere()),
    };
    (log_probs, column(entropy.take()))
}

/// Rows of logits, and the id that was chosen of each.
struct Logits<'a>(&'a [u32]);

/// What a row comes to.
struct Read {
    /// The logarithm of the sum of its powers.
    total: f32,
    log_prob: f32,
    entropy: f32,
}

impl OfRow for Logits<'_> {
    type Read = Read;

    #[inline(always)]
    fn of_row<S: Simd>(&self, simd: S, i: usize, row: &[f32]) -> Read {
        let logits = Vectors::of(simd, row);
        let max = logits.largest();
        // With p = e^(x - max) / sum: -sum(p ln p) = ln sum - sum(p (x - max)). What is not allowed (-inf) adds nothing.
        let below = (logits.last(f32::NEG_INFINITY) - max).at_least(Lanes::all(simd, LOWEST));
        let mut sums = below.exp();
        let mut weighed = sums * below;
        for i in 0..logits.whole() {
            let below = (logits.at(i) - max).at_least(Lanes::all(simd, LOWEST));
            let power = below.exp();
            sums = sums + power;
            weighed = power.times_plus(below, weighed);
        }
        let (sum, weighed) = (sums.sum(), weighed.sum());
        let log_prob = row[self.0[i] as usize] - max - sum.ln();
        Read { total: max + sum.ln(), log_prob, entropy: sum.ln() - weighed / sum }
    }
}

/// What the way back needs.
#[derive(Debug, Clone)]
struct Kept {
    logits: Tensor<2>,
    chosen: Arc<Vec<u32>>,
    totals: Vec<f32>,
}

/// `g (1 - p)` where it was chosen, `-g p` elsewhere.
fn back(gradient: Tensor<2>, Kept { logits, chosen, totals }: Kept) -> Tensor<2> {
    map_rows(logits, Back { gradient: numbers(gradient), chosen: &chosen, totals: &totals })
}

struct Back<'a> {
    gradient: Vec<f32>,
    chosen: &'a [u32],
    totals: &'a [f32],
}

impl OnRow for Back<'_> {
    #[inline(always)]
    fn on_row<S: Simd>(&self, simd: S, i: usize, row: &mut [f32]) {
        let (g, total) = (self.gradient[i], self.totals[i]);
        map(
            simd,
            row,
            [],
            #[inline(always)]
            |x, []| (x - total).exp() * -g,
        );
        row[self.chosen[i] as usize] += g;
    }
}

fn by_burn(logits: Tensor<2>, chosen: Vec<u32>) -> (Tensor<2>, Tensor<2>) {
    let (count, device) = (chosen.len(), logits.device());
    let all = log_softmax(logits, 1);
    let entropy = {
        let all = all.clone().inner();
        (all.clone().exp() * all).sum_dim(1).neg()
    };
    let chosen: Vec<i32> = chosen.into_iter().map(|id| id as i32).collect();
    (all.gather(1, Tensor::<2, Int>::from_data(TensorData::new(chosen, [count, 1]), &device)), entropy)
}
