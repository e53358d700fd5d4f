//! Attention without gradients on the CPU, one head of one sequence at a time: its scores stay in a core's cache, and what is mixed goes straight to
//! its place beside the other heads.

use burn::backend::Flex;
use burn::tensor::{DType, Tensor, TensorData};
use gemm::Parallelism;
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use crate::product::{Matrix, multiply};
use crate::rows::on_rows;
use crate::softmax::softmax_row;
use crate::tracked::elsewhere;

/// Attention of queries to the keys that they may see, by `allowed` of each query `[B or 1, L]` and key; of tensors that
/// [`may_work_on`](crate::may_work_on) accepts, which may be views.
///
/// # Shapes
/// `query` `[B, heads, L, D]`, `key` and `value` `[B, heads, K, D]`; output as `query`.
pub(crate) fn attend(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, allowed: &[bool]) -> Tensor<4> {
    let ([batch, heads, queries, width], keys, device) = (query.dims(), key.dims()[2], query.device());
    let several = allowed.len() > queries * keys;
    let scale = (width as f32).powf(-0.5);
    let primitives = [query, key, value].map(|x| x.try_into_primitive::<Flex>().unwrap_or_else(|_| elsewhere()));
    let [query, key, value] = primitives.each_ref().map(|x| Heads {
        numbers: x.storage::<f32>(),
        first: x.layout().start_offset(),
        strides: std::array::from_fn(|axis| {
            usize::try_from(x.layout().strides()[axis]).unwrap_or_else(|_| elsewhere())
        }),
    });
    let mut mixed = vec![0.0; batch * queries * heads * width];
    let sequences = mixed.par_chunks_mut((queries * heads * width).max(1)).enumerate();
    sequences.for_each_init(
        || vec![0.0; queries * keys],
        |scores, (sequence, mixed)| {
            let allowed = if several { &allowed[sequence * queries * keys..][..queries * keys] } else { allowed };
            for head in 0..heads {
                let query = query.of(sequence, head, queries, width);
                let (key, value) = (key.of(sequence, head, keys, width), value.of(sequence, head, keys, width));
                multiply(query, key.transposed(), scores, keys, Parallelism::None);
                on_rows(
                    scores,
                    keys,
                    #[inline(always)]
                    |i, row| {
                        for (score, allowed) in row.iter_mut().zip(&allowed[i * keys..]) {
                            *score = if *allowed { *score } else { f32::NEG_INFINITY };
                        }
                        softmax_row(row, scale);
                    },
                );
                let into = &mut mixed[head * width..];
                multiply(Matrix::dense(scores, queries, keys), value, into, heads * width, Parallelism::None);
            }
        },
    );
    Tensor::<4>::from_data(TensorData::new(mixed, [batch, queries, heads, width]), (&device, DType::F32))
        .swap_dims(1, 2)
}

/// Numbers `[B, heads, L, D]` wherever they lie.
struct Heads<'a> {
    numbers: &'a [f32],
    first: usize,
    strides: [usize; 4],
}

impl<'a> Heads<'a> {
    /// Those of one head of one sequence.
    fn of(&self, sequence: usize, head: usize, rows: usize, columns: usize) -> Matrix<'a> {
        let [of_sequence, of_head, down, across] = self.strides;
        let numbers = &self.numbers[self.first + sequence * of_sequence + head * of_head..];
        Matrix { numbers, rows, columns, strides: [down, across] }
    }
}
