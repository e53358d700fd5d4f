//! Rotary position embedding.

use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};
use pulp::Simd;

use crate::rows::{OnRow, map_rows};
use crate::tracked::{elsewhere, tracked};
use crate::{may_work_on, works_on};

/// What turns the queries and keys of one forward pass: channel j of a head with channel `half + j`, for j below `half`, by the angle
/// that belongs to j at the token's position; the rest of a head is left as it is.
pub struct Rotation(Kind);

enum Kind {
    Here(Arc<Angles>),
    /// `x cos + turned(x) sin`, written over all channels of a head, with cos 1 and sin 0 where nothing turns, and `turned` as a
    /// product with a signed permutation: fewer passes over memory than slicing.
    There(Box<Tables>),
}

struct Tables {
    cos: Tensor<4>,
    sin: Tensor<4>,
    turn: Tensor<2>,
}

#[derive(Debug)]
struct Angles {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl Rotation {
    /// Turns by `angles`, row by row, token by token, channel by channel.
    ///
    /// # Shapes
    /// - angles: `[rows, length, half]`; one row is for all rows of a batch
    /// - `[batch, length, heads, width]` of what is turned, with at most so many heads, of `width >= 2 half`; of the type `dtype`
    pub fn new(
        angles: &[f32],
        half: usize,
        [batch, length, heads, width]: [usize; 4],
        device: &Device,
        dtype: DType,
    ) -> Self {
        let (sin, cos): (Vec<f32>, Vec<f32>) = angles.iter().map(|angle| angle.sin_cos()).unzip();
        if dtype == DType::F32 && works_on(device) {
            return Self(Kind::Here(Arc::new(Angles { cos, sin, half })));
        }
        let mut turn = vec![0.0_f32; width * width];
        for i in 0..half {
            turn[(half + i) * width + i] = -1.0;
            turn[i * width + half + i] = 1.0;
        }
        let rows = angles.len() / (length * half).max(1);
        let still = width - 2 * half;
        // Written out over batch and heads: a product of equal shapes is faster than a broadcast one, and they serve every layer.
        let table = |values: &[f32], of_still: f32| {
            let row = |row: &[f32]| [row, row, &vec![of_still; still]].concat();
            let whole: Vec<f32> = values.chunks(half.max(1)).flat_map(row).collect();
            Tensor::<4>::from_data(TensorData::new(whole, [rows, length, 1, width]), (device, dtype))
                .repeat_dim(0, batch / rows.max(1))
                .repeat_dim(2, heads)
        };
        let turn = Tensor::<2>::from_data(TensorData::new(turn, [width, width]), (device, dtype));
        Self(Kind::There(Box::new(Tables { cos: table(&cos, 1.0), sin: table(&sin, 0.0), turn })))
    }

    /// # Shapes
    /// `[batch, length, heads, width]`, in and out.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.0 {
            Kind::Here(angles) if may_work_on(&x) => rotate(x, angles, 1.0),
            Kind::Here(angles) => {
                let forward = |x| rotate(x, angles, 1.0);
                let recorded = |x| (forward(x), angles.clone());
                let back = |gradient, angles: Arc<Angles>| rotate(gradient, &angles, -1.0);
                tracked(x, forward, recorded, back).unwrap_or_else(|| elsewhere())
            }
            Kind::There(tables) => {
                let Tables { cos, sin, turn } = &**tables;
                let [batch, length, heads, width] = x.dims();
                let turned = x.clone().reshape([batch * length * heads, width]).matmul(turn.clone());
                let of = |table: &Tensor<4>| match table.dims()[2] == heads {
                    true => table.clone(),
                    false => table.clone().narrow(2, 0, heads),
                };
                x * of(cos) + turned.reshape([batch, length, heads, width]) * of(sin)
            }
        }
    }
}

/// Forwards where `sign` is 1, backwards where it is -1.
fn rotate(x: Tensor<4>, Angles { cos, sin, half }: &Angles, sign: f32) -> Tensor<4> {
    let ([batch, length, heads, width], half) = (x.dims(), *half);
    let tokens = (cos.len() / half.max(1)).max(1);
    let turned = map_rows(x.reshape([batch, length, heads * width]), Turned { cos, sin, half, tokens, width, sign });
    turned.reshape([batch, length, heads, width])
}

/// The heads of every token, which have a row together.
struct Turned<'a> {
    cos: &'a [f32],
    sin: &'a [f32],
    half: usize,
    tokens: usize,
    width: usize,
    sign: f32,
}

impl OnRow for Turned<'_> {
    #[inline(always)]
    fn on_row<S: Simd>(&self, _simd: S, token: usize, heads: &mut [f32]) {
        let Self { cos, sin, half, tokens, width, sign } = *self;
        let table = token % tokens * half..(token % tokens + 1) * half;
        let (cos, sin) = (&cos[table.clone()], &sin[table]);
        for head in heads.chunks_exact_mut(width) {
            let (a, b) = head[..2 * half].split_at_mut(half);
            let (a, b, cos, sin) = turn::<16>(a, b, cos, sin, sign);
            let (a, b, cos, sin) = turn::<4>(a, b, cos, sin, sign);
            turn::<1>(a, b, cos, sin, sign);
        }
    }
}

/// Turns whole pieces of `N` numbers; the rest comes back.
#[inline(always)]
fn turn<'a, const N: usize>(
    a: &'a mut [f32],
    b: &'a mut [f32],
    cos: &'a [f32],
    sin: &'a [f32],
    sign: f32,
) -> (&'a mut [f32], &'a mut [f32], &'a [f32], &'a [f32]) {
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks_mut::<N>(), b.as_chunks_mut::<N>());
    let ((cos, rest_cos), (sin, rest_sin)) = (cos.as_chunks::<N>(), sin.as_chunks::<N>());
    for (((a, b), c), s) in a.iter_mut().zip(b).zip(cos).zip(sin) {
        let (x, y) = (*a, *b);
        for i in 0..N {
            let s = s[i] * sign;
            a[i] = x[i] * c[i] - y[i] * s;
            b[i] = y[i] * c[i] + x[i] * s;
        }
    }
    (rest_a, rest_b, rest_cos, rest_sin)
}
