//! Token ids and image codes, between host and device.

use burn::tensor::{Int, Tensor};
use counterpoint::{Error, Result};
pub(crate) use counterpoint_policy_common::tokens::index;
pub use counterpoint_policy_common::tokens::to_tensor;

/// Ids `[B, N]` on the host, one row per sequence or image.
///
/// # Errors
/// [`Contract`](counterpoint::ErrorKind::Contract) when they cannot be read from their device.
pub fn to_rows(ids: Tensor<2, Int>) -> Result<Vec<Vec<u32>>> {
    let width = ids.dims()[1].max(1);
    let flat = ids
        .try_into_vec_as::<i64>()
        .map_err(|e| Error::device("cannot read token ids from the device").with_source(e.to_string()))?;
    Ok(flat.chunks(width).map(|row| row.iter().map(|&id| id as u32).collect()).collect())
}
