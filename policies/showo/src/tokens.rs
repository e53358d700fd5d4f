//! Token ids and image codes, between host and device.

use burn::tensor::{Device, Int, Tensor};
use counterpoint::{Error, Result};
pub use counterpoint_policy_common::tokens::to_tensor;

/// Row numbers as a tensor, for `select`.
pub(crate) fn index(rows: &[usize], device: &Device) -> Tensor<1, Int> {
    let rows: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
    Tensor::from_ints(&rows[..], device)
}

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
