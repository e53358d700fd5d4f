//! Multi-head scaled dot-product attention.

use burn::tensor::{Bool, DType, Tensor};
use counterpoint_kernels::Mask;

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
    let (keys, device) = (k.dims()[1], q.device());
    let split = |x: Tensor<3>, length| x.reshape([batch, length, heads, hidden / heads]).swap_dims(1, 2).cast(dtype);
    let (q, k, v) = (split(q, queries), split(k, keys), split(v, keys));
    let mask = match visible {
        Visible::All => Mask::none(&device, true, dtype),
        Visible::Kept(keep) => Mask::new(keep.clone().unsqueeze_dim(1), true, heads, dtype),
        Visible::Before => {
            let offset = keys as i64 - queries as i64;
            let after = Tensor::<2, Bool>::tril_mask([queries, keys], offset, &device);
            Mask::new(after.bool_not().unsqueeze(), true, heads, dtype)
        }
    };
    mask.attend(q, (k, v)).cast(DType::F32).swap_dims(1, 2).reshape([batch, queries, hidden])
}
