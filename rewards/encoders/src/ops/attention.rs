//! Multi-head scaled dot-product attention.

use burn::tensor::activation::softmax;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, DType, Tensor};
use counterpoint::device::is_cpu;
use counterpoint_kernels as kernels;

/// Which keys a query may attend.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Visible<'a> {
    /// All of them.
    All,
    /// Those where `[b, keys]` is true.
    Kept(&'a Tensor<2, Bool>),
    /// Those up to its own position.
    Before,
}

/// # Shapes
/// - q: `[b, queries, h]`, k, v: `[b, keys, h]`, f32
/// - result: `[b, queries, h]`
///
/// Products are taken in `dtype`, the dtype of the tower's matrices.
pub(crate) fn attend(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    heads: usize,
    visible: Visible<'_>,
    dtype: DType,
) -> Tensor<3> {
    let [batch, queries, hidden] = q.dims();
    let keys = k.dims()[1];
    let here = kernels::may_work_on(&q) && dtype == DType::F32;
    let on_cpu = is_cpu(&q.device());
    let split = |x: Tensor<3>, length| x.reshape([batch, length, heads, hidden / heads]).swap_dims(1, 2);
    let (q, k, v) = (split(q, queries), split(k, keys), split(v, keys));
    let out = if here {
        on_host(q, k, v, visible)
    } else if dtype == DType::F32 && !on_cpu {
        // Burn's operator rounds to half precision on a GPU, whatever it is given.
        let scale = ((hidden / heads) as f64).powf(-0.5);
        let mut scores = (q * scale).matmul(k.swap_dims(2, 3));
        if let Some(hidden) = hidden_keys(visible, [batch, heads, queries, keys], &scores.device()) {
            scores = scores.mask_fill(hidden, f32::NEG_INFINITY);
        }
        softmax(scores, 3).matmul(v)
    } else {
        let mask = hidden_keys(visible, [batch, heads, queries, keys], &q.device());
        let (q, k, v) = (q.cast(dtype), k.cast(dtype), v.cast(dtype));
        attention(q, k, v, mask, None, AttentionModuleOptions::default()).cast(DType::F32)
    };
    out.swap_dims(1, 2).reshape([batch, queries, hidden])
}

/// True at keys that may not be attended.
fn hidden_keys(
    visible: Visible<'_>,
    [batch, heads, queries, keys]: [usize; 4],
    device: &burn::tensor::Device,
) -> Option<Tensor<4, Bool>> {
    let shape = [batch, heads, queries, keys];
    let kept = |keep: &Tensor<2, Bool>| keep.clone().bool_not().reshape([batch, 1, 1, keys]).expand(shape);
    let after = || {
        let offset = keys as i64 - queries as i64;
        Tensor::<2, Bool>::tril_mask([queries, keys], offset, device).reshape([1, 1, queries, keys]).expand(shape)
    };
    match visible {
        Visible::All => None,
        Visible::Kept(keep) => Some(kept(keep)),
        Visible::Before => Some(after()),
    }
}

/// One product of queries and keys, the softmax where its result lies, one product with the values.
fn on_host(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, visible: Visible<'_>) -> Tensor<4> {
    let [_, heads, queries, d] = q.dims();
    let keys = k.dims()[2];
    let keep = match visible {
        Visible::Kept(keep) => Some(keep.clone().into_data().iter::<bool>().collect::<Vec<_>>()),
        Visible::All | Visible::Before => None,
    };
    let causal = matches!(visible, Visible::Before);
    let seen = |row: usize| if causal { (row % queries + 1 + keys).saturating_sub(queries).min(keys) } else { keys };
    let keep = |row: usize| keep.as_ref().map(|keep| &keep[row / (heads * queries) * keys..][..keys]);
    let scores = q.matmul(k.swap_dims(2, 3));
    kernels::softmax(scores, (d as f32).powf(-0.5), seen, keep).matmul(v)
}
