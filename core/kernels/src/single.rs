//! Attention of one query per sequence, as text is written, on the CPU: a product of matrices would put keys and values in order first.

use burn::tensor::{DType, Tensor, TensorData};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use crate::attention::Most;
use crate::heads::Heads;
use crate::product::{Matrix, primitive};
use crate::rows::OnRow;
use crate::seen::Seen;
use crate::softmax::Softmax;

/// Attention of a query to the keys that it may see, by `most` of each sequence, or of all, and key, as in [`crate::heads`]; of tensors that
/// [`may_work_on`](crate::may_work_on) accepts, which may be views. Shared keys are read from one place for all.
///
/// # Shapes
/// `query` `[B, heads, 1, D]`; output as `query`.
pub(crate) fn attend(query: Tensor<4>, seen: Seen, most: Option<&Most>) -> Tensor<4> {
    let ([batch, heads, _, width], device) = (query.dims(), query.device());
    let query = with_whole_rows(query);
    let query = Heads::of(&query);
    let parts = seen.shared.into_iter().chain([seen.own]);
    let parts: Vec<_> = parts.map(|(key, value)| (key.dims()[2], [key, value].map(with_whole_rows))).collect();
    let parts: Vec<_> = parts.iter().map(|(keys, tensors)| (*keys, tensors.each_ref().map(Heads::of))).collect();
    let keys = parts.iter().map(|(keys, _)| *keys).sum();
    let mut mixed = vec![0.0; batch * heads * width];
    mixed.par_chunks_mut(width.max(1)).enumerate().for_each_init(
        || vec![0.0; keys],
        |weights, (i, mixed)| {
            let (sequence, head) = (i / heads, i % heads);
            let most = most.map(|most| most.in_sequence(sequence));
            let query = query.at([sequence, head], 1, width).row(0);
            let read = parts.iter().map(|(keys, tensors)| tensors.map(|x| x.at([sequence, head], *keys, width)));
            Arch::new().dispatch(Head { query, parts: &read.collect::<Vec<_>>(), most, weights, mixed });
        },
    );
    let mixed = TensorData::new(mixed, [batch, 1, heads, width]);
    Tensor::<4>::from_data(mixed, (&device, DType::F32)).swap_dims(1, 2)
}

/// `x` with the numbers of a row side by side.
fn with_whole_rows(x: Tensor<4>) -> burn::backend::flex::FlexTensor {
    let x = primitive(x);
    if x.layout().strides()[3] == 1 { x } else { x.to_contiguous() }
}

/// One head of one sequence.
struct Head<'a> {
    query: &'a [f32],
    /// Keys and values, one part after the other.
    parts: &'a [[Matrix<'a>; 2]],
    most: Option<&'a [f32]>,
    /// A place for what the query takes of each value.
    weights: &'a mut [f32],
    mixed: &'a mut [f32],
}

impl WithSimd for Head<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { query, parts, most, weights, mixed } = self;
        let mut at = 0;
        for [keys, _] in parts {
            for i in 0..keys.rows {
                weights[at] = dot(simd, query, keys.row(i));
                at += 1;
            }
        }
        Softmax { scale: (query.len() as f32).powf(-0.5), most }.on_row(simd, 0, weights);
        // A vector of columns at a time, so that their sums stay in a register.
        let (whole, rest) = S::as_mut_simd_f32s(mixed);
        for (i, sums) in whole.iter_mut().enumerate() {
            *sums = weighed(
                simd,
                weights,
                parts,
                #[inline(always)]
                |row| S::as_simd_f32s(row).0[i],
            );
        }
        if !rest.is_empty() {
            let sums = weighed(
                simd,
                weights,
                parts,
                #[inline(always)]
                |row| simd.partial_load_f32s(S::as_simd_f32s(row).1),
            );
            simd.partial_store_f32s(rest, sums);
        }
    }
}

#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let mut sum = simd.splat_f32s(0.0);
    for (a, b) in a.iter().zip(b) {
        sum = simd.mul_add_f32s(*a, *b, sum);
    }
    if !a_rest.is_empty() {
        sum = simd.mul_add_f32s(simd.partial_load_f32s(a_rest), simd.partial_load_f32s(b_rest), sum);
    }
    simd.reduce_sum_f32s(sum)
}

/// Those numbers of each value that `of` takes, times the value's weight, added up.
#[inline(always)]
fn weighed<S: Simd>(simd: S, weights: &[f32], parts: &[[Matrix<'_>; 2]], of: impl Fn(&[f32]) -> S::f32s) -> S::f32s {
    let mut sum = simd.splat_f32s(0.0);
    let mut at = 0;
    for [_, values] in parts {
        for i in 0..values.rows {
            sum = simd.mul_add_f32s(simd.splat_f32s(weights[at]), of(values.row(i)), sum);
            at += 1;
        }
    }
    sum
}
