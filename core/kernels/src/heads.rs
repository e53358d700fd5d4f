//! Attention on the CPU, one head of one sequence at a time: its scores stay in a core's cache, and what is mixed goes straight to
//! its place beside the other heads.

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Device, Tensor, TensorData};
use gemm::Parallelism;
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::attention::Most;
use crate::product::{Matrix, multiply, primitive, stride};
use crate::rows::on_rows;
use crate::softmax::{Softmax, SoftmaxBack};
use crate::tracked::{opened, record, register, split};

/// Attention of queries to the keys that they may see, where `most` is not minus infinity; of tensors that [`may_work_on`](crate::may_work_on) accepts, which may be views.
///
/// # Shapes
/// `query` `[B, heads, L, D]`, `key` and `value` `[B, heads, K, D]`; output as `query`.
pub(crate) fn attend(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, most: Option<&Most>) -> Tensor<4> {
    let place = Place::of(&query, &key);
    let tensors = [query, key, value].map(primitive);
    let views = tensors.each_ref().map(Heads::of);
    let mut mixed = vec![0.0; place.of_queries()];
    let sequences = mixed.par_chunks_mut(place.of_sequence(place.queries)).enumerate();
    sequences.for_each_init(
        || vec![0.0; place.queries * place.keys],
        |weights, (sequence, mixed)| {
            for head in 0..place.heads {
                place.mix([sequence, head], &views, most, weights, mixed);
            }
        },
    );
    place.tensor(mixed, place.queries)
}

/// The same where gradients flow. None of tensors that are elsewhere.
pub(crate) fn attend_tracked(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    most: Option<&Most>,
) -> Option<Tensor<4>> {
    let place = Place::of(&query, &key);
    let ((query, of_query), (key, of_key), (value, of_value)) = (split(query)?, split(key)?, split(value)?);
    let read = [query, key, value];
    let tensors = read.clone().map(primitive);
    let views = tensors.each_ref().map(Heads::of);
    let (mut mixed, mut weights) = (vec![0.0; place.of_queries()], vec![0.0; place.of_weights()]);
    let sequences = mixed.par_chunks_mut(place.of_sequence(place.queries));
    let kept = weights.par_chunks_mut((place.heads * place.queries * place.keys).max(1));
    sequences.zip(kept).enumerate().for_each(|(sequence, (mixed, weights))| {
        for (head, weights) in weights.chunks_mut((place.queries * place.keys).max(1)).enumerate() {
            place.mix([sequence, head], &views, most, weights, mixed);
        }
    });
    let mixed = place.tensor(mixed, place.queries);
    record(WayBack, [of_query, of_key, of_value], Kept { place, read, weights: Arc::new(weights) }, mixed)
}

/// What the way back needs: queries, keys and values, and how much each query took of each value, `[B, heads, L, K]`.
#[derive(Debug, Clone)]
struct Kept {
    place: Place,
    read: [Tensor<4>; 3],
    weights: Arc<Vec<f32>>,
}

#[derive(Debug)]
struct WayBack;

impl Backward<Flex, 3> for WayBack {
    type State = Kept;

    /// With g of the result and P the weights: `dV = P' g`, and with `S = scale P (g V' - sum(P g V'))`: `dQ = S K`, `dK = S' Q`.
    fn backward(self, ops: Ops<Kept, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([of_query, of_key, of_value], gradient, Kept { place, read, weights }) = opened::<_, 3, 4>(ops, gradients);
        let [query, key, value] = read;
        let tensors = [query, key, value, gradient].map(primitive);
        let [query, key, value, gradient] = tensors.each_ref().map(Heads::of);
        let Place { heads, queries, keys, width, .. } = place;
        let mut all = [queries, keys, keys].map(|length| vec![0.0; place.batch * place.of_sequence(length)]);
        let [to_query, to_key, to_value] = &mut all;
        let sequences = to_query
            .par_chunks_mut(place.of_sequence(queries))
            .zip(to_key.par_chunks_mut(place.of_sequence(keys)))
            .zip(to_value.par_chunks_mut(place.of_sequence(keys)))
            .zip(weights.par_chunks((heads * queries * keys).max(1)))
            .enumerate();
        sequences.for_each_init(
            || vec![0.0; queries * keys],
            |scores, (sequence, (((to_query, to_key), to_value), weights))| {
                for (head, weights) in weights.chunks((queries * keys).max(1)).enumerate() {
                    let [query, gradient] = [query, gradient].map(|x| x.at([sequence, head], queries, width));
                    let [key, value] = [key, value].map(|x| x.at([sequence, head], keys, width));
                    let (stride, first) = (heads * width, head * width);
                    let into = |to: Matrix<'_>, by, place: &mut [f32]| {
                        multiply(to, by, &mut place[first..], stride, Parallelism::None);
                    };
                    let p = Matrix::dense(weights, queries, keys);
                    into(p.transposed(), gradient, to_value);
                    multiply(gradient, value.transposed(), scores, keys, Parallelism::None);
                    on_rows(scores, keys, SoftmaxBack { scale: place.scale(), results: weights });
                    let s = Matrix::dense(scores, queries, keys);
                    into(s, key, to_query);
                    into(s.transposed(), query, to_key);
                }
            },
        );
        let [to_query, to_key, to_value] = all;
        register(gradients, of_query, || place.tensor(to_query, queries));
        register(gradients, of_key, || place.tensor(to_key, keys));
        register(gradients, of_value, || place.tensor(to_value, keys));
    }
}

/// Sizes of an attention, whose results lie token by token, the heads of each side by side.
#[derive(Debug, Clone)]
struct Place {
    batch: usize,
    heads: usize,
    queries: usize,
    keys: usize,
    width: usize,
    device: Device,
}

impl Place {
    fn of(query: &Tensor<4>, key: &Tensor<4>) -> Self {
        let [batch, heads, queries, width] = query.dims();
        Self { batch, heads, queries, keys: key.dims()[2], width, device: query.device().inner() }
    }

    fn scale(&self) -> f32 {
        (self.width as f32).powf(-0.5)
    }

    /// Numbers of a sequence of so many tokens, not 0.
    fn of_sequence(&self, length: usize) -> usize {
        (length * self.heads * self.width).max(1)
    }

    fn of_queries(&self) -> usize {
        self.batch * self.heads * self.queries * self.width
    }

    fn of_weights(&self) -> usize {
        self.batch * self.heads * self.queries * self.keys
    }

    /// What the queries of one head of one sequence take of the values it sees, into their places in `mixed`, that sequence's; and how much
    /// of each, into `weights`.
    fn mix(
        &self,
        [sequence, head]: [usize; 2],
        [query, key, value]: &[Heads<'_>; 3],
        most: Option<&Most>,
        weights: &mut [f32],
        mixed: &mut [f32],
    ) {
        let Self { heads, queries, keys, width, .. } = *self;
        let most = most.map(|most| most.in_sequence(sequence));
        let query = query.at([sequence, head], queries, width);
        let [key, value] = [key, value].map(|x| x.at([sequence, head], keys, width));
        multiply(query, key.transposed(), weights, keys, Parallelism::None);
        on_rows(weights, keys, Softmax { scale: self.scale(), most });
        let weights = Matrix::dense(weights, queries, keys);
        multiply(weights, value, &mut mixed[head * width..], heads * width, Parallelism::None);
    }

    /// Numbers of so many tokens of each sequence, by head.
    fn tensor(&self, numbers: Vec<f32>, length: usize) -> Tensor<4> {
        let numbers = TensorData::new(numbers, [self.batch, length, self.heads, self.width]);
        Tensor::<4>::from_data(numbers, (&self.device, DType::F32)).swap_dims(1, 2)
    }
}

/// Numbers `[B, heads, L, D]` wherever they lie; those of a single sequence are every sequence's.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    numbers: &'a [f32],
    first: usize,
    strides: [usize; 4],
}

impl<'a> Heads<'a> {
    pub(crate) fn of(tensor: &'a FlexTensor) -> Self {
        let mut strides = std::array::from_fn(|axis| stride(tensor, axis));
        if tensor.layout().shape()[0] == 1 {
            strides[0] = 0;
        }
        Self { numbers: tensor.storage::<f32>(), first: tensor.layout().start_offset(), strides }
    }

    /// Those of one head of one sequence.
    pub(crate) fn at(&self, [sequence, head]: [usize; 2], rows: usize, columns: usize) -> Matrix<'a> {
        let [of_sequence, of_head, down, across] = self.strides;
        let numbers = &self.numbers[self.first + sequence * of_sequence + head * of_head..];
        Matrix { numbers, rows, columns, strides: [down, across] }
    }
}
