//! Log-probabilities of chosen ids, and the entropy of what they were chosen from, without a table of all log-probabilities.

use std::cell::Cell;
use std::sync::Arc;

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor, TensorData};

use crate::math::{exp, sum};
use crate::rows::{map_rows, read_rows};
use crate::softmax::{LANES, largest};
use crate::tracked::{elsewhere, tracked};
use crate::{is_tracked_here, may_work_on, numbers};

/// Powers of less are nothing in f32, and times an infinity they would be no number.
const LOWEST: f32 = -104.0;

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
        let seen = read_rows(
            logits.clone(),
            #[inline(always)]
            |i, row| Seen::of(row, chosen[i]),
        );
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

/// What a row comes to.
struct Seen {
    /// The logarithm of the sum of its powers.
    total: f32,
    log_prob: f32,
    entropy: f32,
}

impl Seen {
    #[inline(always)]
    fn of(row: &[f32], chosen: u32) -> Self {
        let max = largest(row);
        let (whole, rest) = row.as_chunks::<LANES>();
        // With p = e^(x - max) / sum: -sum(p ln p) = ln sum - sum(p (x - max)). What is not allowed (-inf) adds nothing.
        let (mut sums, mut weighed) = ([0.0; LANES], [0.0; LANES]);
        for chunk in whole {
            add_powers(chunk, max, &mut sums, &mut weighed);
        }
        let mut last = [f32::NEG_INFINITY; LANES];
        last[..rest.len()].copy_from_slice(rest);
        add_powers(&last, max, &mut sums, &mut weighed);
        let (sum, weighed) = (sum(sums), sum(weighed));
        let total = max + sum.ln();
        Self { total, log_prob: row[chosen as usize] - total, entropy: sum.ln() - weighed / sum }
    }
}

#[inline(always)]
fn add_powers(numbers: &[f32; LANES], max: f32, sums: &mut [f32; LANES], weighed: &mut [f32; LANES]) {
    for i in 0..LANES {
        let below = (numbers[i] - max).max(LOWEST);
        let power = exp(below);
        sums[i] += power;
        weighed[i] += power * below;
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
    let gradient = numbers(gradient);
    map_rows(
        logits,
        #[inline(always)]
        |i, row| {
            let (g, total) = (gradient[i], totals[i]);
            for x in row.iter_mut() {
                *x = -g * exp(*x - total);
            }
            row[chosen[i] as usize] += g;
        },
    )
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
