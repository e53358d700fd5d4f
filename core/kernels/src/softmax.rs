//! The softmax of attention's scores.

use burn::tensor::Tensor;

use crate::math::{exp, folded, sum};
use crate::rows::map_rows;

/// The softmax of `scale * x` along the last axis, over the keys that a query sees: of row i those before `seen(i)`, and of these
/// those for which `keep(i)` is true where it is given. What is not seen is 0, and so is a row that sees nothing. Rows count as they
/// lie: query by query, head by head, batch by batch.
///
/// # Shapes
/// - x and result: `[b, heads, queries, keys]`
pub fn softmax<'a>(
    x: Tensor<4>,
    scale: f32,
    seen: impl Fn(usize) -> usize + Sync,
    keep: impl Fn(usize) -> Option<&'a [bool]> + Sync,
) -> Tensor<4> {
    map_rows(
        x,
        #[inline(always)]
        |i, row| {
            let (seen, rest) = row.split_at_mut(seen(i));
            rest.fill(0.0);
            if let Some(keep) = keep(i) {
                for (x, keep) in seen.iter_mut().zip(keep) {
                    *x = if *keep { *x } else { f32::NEG_INFINITY };
                }
            }
            softmax_row(seen, scale);
        },
    )
}

/// The gradient of a row of scores before the softmax of `scale` times them, of that of its result p: `scale p (g - sum(g p))`.
#[inline(always)]
pub(crate) fn softmax_row_back(row: &mut [f32], p: &[f32], scale: f32) {
    let mut sums = [0.0; LANES];
    let ((whole, rest), (p_whole, p_rest)) = (row.as_chunks::<LANES>(), p.as_chunks::<LANES>());
    for (chunk, p) in whole.iter().zip(p_whole) {
        for ((sum, g), p) in sums.iter_mut().zip(chunk).zip(p) {
            *sum += g * p;
        }
    }
    for ((sum, g), p) in sums.iter_mut().zip(rest).zip(p_rest) {
        *sum += g * p;
    }
    let sum = sum(sums);
    for (g, p) in row.iter_mut().zip(p) {
        *g = scale * p * (*g - sum);
    }
}

/// The largest number of a row, minus infinity of none.
#[inline(always)]
pub(crate) fn largest(row: &[f32]) -> f32 {
    let (whole, rest) = row.as_chunks::<LANES>();
    let mut lanes = filled(rest);
    for chunk in whole {
        for (max, x) in lanes.iter_mut().zip(chunk) {
            *max = if *x > *max { *x } else { *max };
        }
    }
    folded(lanes, |a, b| if b > a { b } else { a })
}

#[inline(always)]
pub(crate) fn softmax_row(row: &mut [f32], scale: f32) {
    let max = largest(row);
    if max == f32::NEG_INFINITY {
        // Nothing to see: a row of zeros.
        row.fill(0.0);
        return;
    }
    let mut sums = [0.0; LANES];
    let (whole, rest) = row.as_chunks_mut::<LANES>();
    for chunk in whole {
        powers(chunk, max, scale, &mut sums);
    }
    let mut last = filled(rest);
    powers(&mut last, max, scale, &mut sums);
    rest.copy_from_slice(&last[..rest.len()]);
    let factor = 1.0 / sum(sums);
    for x in row {
        *x *= factor;
    }
}

/// The end of a row as a chunk of its own, filled up: number by number it would take as long as all the others.
#[inline(always)]
fn filled(rest: &[f32]) -> [f32; LANES] {
    let mut last = [f32::NEG_INFINITY; LANES];
    last[..rest.len()].copy_from_slice(rest);
    last
}

/// `e^(scale (x - max))` of each number, which is added to its sum.
#[inline(always)]
fn powers(numbers: &mut [f32; LANES], max: f32, scale: f32, sums: &mut [f32; LANES]) {
    for (sum, x) in sums.iter_mut().zip(numbers) {
        *x = exp((*x - max) * scale);
        *sum += *x;
    }
}

/// How many sums run side by side: two vectors of AVX-512.
pub(crate) const LANES: usize = 32;
