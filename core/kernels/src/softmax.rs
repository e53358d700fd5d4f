//! The softmax of attention's scores.

use pulp::Simd;

use crate::lanes::{Lanes, Vectors, map};
use crate::rows::OnRow;

/// Makes of each row of scores the softmax of `scale` times it.
pub(crate) struct Softmax<'a> {
    pub(crate) scale: f32,
    /// What each score of all rows, or of every row, may be at most: a key for which this is minus infinity gets 0, and so does every key of a row that has no
    /// others.
    pub(crate) most: Option<&'a [f32]>,
}

impl OnRow for Softmax<'_> {
    #[inline(always)]
    fn on_row<S: Simd>(&self, simd: S, i: usize, row: &mut [f32]) {
        if let Some(most) = self.most {
            let first = if most.len() > row.len() { i * row.len() } else { 0 };
            map(
                simd,
                row,
                [&most[first..]],
                #[inline(always)]
                |x, [most]| x.at_most(most),
            );
        }
        softmax_row(simd, row, self.scale);
    }
}

#[inline(always)]
fn softmax_row<S: Simd>(simd: S, row: &mut [f32], scale: f32) {
    let max = Vectors::of(simd, row).largest();
    if max == f32::NEG_INFINITY {
        row.fill(0.0);
        return;
    }
    let (by, shift) = (Lanes::all(simd, scale), Lanes::all(simd, -scale * max));
    map(
        simd,
        row,
        [],
        #[inline(always)]
        |x, []| x.times_plus(by, shift).exp(),
    );
    let share = 1.0 / Vectors::of(simd, row).sum();
    map(
        simd,
        row,
        [],
        #[inline(always)]
        |x, []| x * share,
    );
}

/// Makes of the gradient g of each row of results p that of the scores: `scale p (g - sum(g p))`.
pub(crate) struct SoftmaxBack<'a> {
    pub(crate) scale: f32,
    pub(crate) results: &'a [f32],
}

impl OnRow for SoftmaxBack<'_> {
    #[inline(always)]
    fn on_row<S: Simd>(&self, simd: S, i: usize, row: &mut [f32]) {
        let results = &self.results[i * row.len()..][..row.len()];
        let (gradients, of) = (Vectors::of(simd, row), Vectors::of(simd, results));
        let mut sums = gradients.last(0.0) * of.last(0.0);
        for i in 0..of.whole() {
            sums = gradients.at(i).times_plus(of.at(i), sums);
        }
        let sum = sums.sum();
        map(
            simd,
            row,
            [results],
            #[inline(always)]
            |g, [p]| p * self.scale * (g - sum),
        );
    }
}
