//! Token ids, from the host to the device.

use burn::tensor::{Device, Int, Tensor, TensorData};

/// Rows of token ids, all as long as the first, as a tensor.
///
/// # Shapes
/// `[rows.len(), rows[0].len()]`.
pub fn to_tensor(rows: &[Vec<u32>], device: &Device) -> Tensor<2, Int> {
    let width = rows.first().map_or(0, Vec::len);
    let flat: Vec<i32> = rows.iter().flatten().map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(flat, [rows.len(), width]), device)
}

/// Row numbers as a tensor, for `select`.
pub fn index(rows: &[usize], device: &Device) -> Tensor<1, Int> {
    let rows: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
    Tensor::from_ints(&rows[..], device)
}
