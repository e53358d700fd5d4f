//! Attention of queries to the keys they may see, scores and softmax in f32.

use burn::tensor::activation::softmax as burn_softmax;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, DType, Device, FloatDType, Tensor};
use counterpoint::device::is_cpu;

use crate::heads::{attend, attend_tracked};
use crate::seen::Seen;
use crate::single;
use crate::tracked::elsewhere;
use crate::{may_work_on, works_on};

/// What is added to the score of a key that may not be attended.
const FORBIDDEN: f64 = -1e9;

/// Which keys may not be attended, in the form that one forward pass needs; none of all of them may be.
pub struct Mask(Kind);

enum Kind {
    /// For the CPU.
    Here(Option<Most>),
    /// For the backend's one operation. Not as a bias: with one, burn 0.22 does without its fused kernels on a GPU.
    Fused(Option<Tensor<4, Bool>>),
    /// To be added to the scores.
    Bias(Option<Tensor<4>>),
}

/// What the score of each key may be at most: infinity, or minus that.
pub(crate) struct Most {
    numbers: Vec<f32>,
    sequences: usize,
}

impl Most {
    fn of(allowed: Tensor<3, Bool>) -> Self {
        let most = |allowed| if allowed { f32::INFINITY } else { f32::NEG_INFINITY };
        let sequences = allowed.dims()[0].max(1);
        Self { numbers: allowed.into_data().iter::<bool>().map(most).collect(), sequences }
    }

    /// For every query of a sequence, or for all of them.
    pub(crate) fn in_sequence(&self, i: usize) -> &[f32] {
        let count = self.numbers.len() / self.sequences;
        &self.numbers[i % self.sequences * count..][..count]
    }
}

/// A [`Kind`].
enum Way {
    Here,
    Fused,
    Bias,
}

impl Way {
    fn of(device: &Device, fused: bool, dtype: DType) -> Self {
        if fused && dtype == DType::F32 && works_on(device) {
            Self::Here
        } else if fused && !device.is_autodiff() && (is_cpu(device) || dtype != DType::F32) {
            Self::Fused
        } else {
            Self::Bias
        }
    }
}

impl Mask {
    /// For queries of the type `dtype`, of so many heads. With `fused`, attention is one operation where that is as exact: on the CPU,
    /// with and without gradients, and in half precision elsewhere, where the backend's operation rounds to it whatever it is given
    /// and has no gradient. A query that may attend nothing gets nothing, or, as a bias, the mean of all: its state is read by nobody.
    ///
    /// # Shapes
    /// `allowed` `[B or 1, L or 1, K]`, true where a query may attend a key.
    pub fn new(allowed: Tensor<3, Bool>, fused: bool, heads: usize, dtype: DType) -> Self {
        let device = allowed.device();
        let forbidden = |allowed: Tensor<3, Bool>| allowed.bool_not().unsqueeze_dim::<4>(1);
        Self(match Way::of(&device, fused, dtype) {
            Way::Here => Kind::Here(Some(Most::of(allowed))),
            Way::Fused => Kind::Fused(Some(forbidden(allowed))),
            Way::Bias => {
                let bias = forbidden(allowed).cast(FloatDType::F32).mul_scalar(FORBIDDEN);
                // On the CPU a sum of equal shapes is much faster than a broadcast one, and the bias serves every layer.
                Kind::Bias(Some(if is_cpu(&device) { bias.repeat_dim(1, heads) } else { bias }))
            }
        })
    }

    /// [`new`](Self::new) for queries on `device` that may attend every key.
    pub fn none(device: &Device, fused: bool, dtype: DType) -> Self {
        Self(match Way::of(device, fused, dtype) {
            Way::Here => Kind::Here(None),
            Way::Fused => Kind::Fused(None),
            Way::Bias => Kind::Bias(None),
        })
    }

    /// # Shapes
    /// `query` `[B, heads, L, D]`, of `seen` K keys in all; output as `query`.
    pub fn attend(&self, query: Tensor<4>, seen: impl Into<Seen>) -> Tensor<4> {
        let seen = seen.into();
        if let Kind::Here(most) = &self.0
            && query.dims()[2] == 1
            && may_work_on(&query)
        {
            return single::attend(query, seen, most.as_ref());
        }
        let (key, value) = seen.all();
        match &self.0 {
            Kind::Here(most) => {
                let most = most.as_ref();
                // A single sequence's heads are shared out to the cores as sequences are, so that its numbers are the same.
                let alone = query.dims()[0] == 1;
                let turned = |x: Tensor<4>| if alone { x.swap_dims(0, 1) } else { x };
                let (query, key, value) = (turned(query), turned(key), turned(value));
                turned(match may_work_on(&query) {
                    true => attend(query, key, value, most),
                    false => attend_tracked(query, key, value, most).unwrap_or_else(|| elsewhere()),
                })
            }
            Kind::Fused(forbidden) => {
                let options = AttentionModuleOptions::default();
                let ([_, _, queries, _], keys) = (query.dims(), key.dims()[2]);
                let of_all = |mask: &Tensor<4, Bool>| mask.clone().expand([mask.dims()[0], 1, queries, keys]);
                attention(query, key, value, forbidden.as_ref().map(of_all), None, options)
            }
            Kind::Bias(bias) => {
                let dtype = value.dtype();
                let scale = (query.dims()[3] as f64).powf(-0.5);
                let (query, key) = (query.cast(DType::F32) * scale, key.cast(DType::F32));
                let mut scores = query.matmul(key.swap_dims(2, 3));
                if let Some(bias) = bias {
                    scores = scores + bias.clone();
                }
                burn_softmax(scores, 3).cast(dtype).matmul(value)
            }
        }
    }
}
