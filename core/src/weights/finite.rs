//! Numbers that are none.

use burn::tensor::{DType, TensorData};

/// How many elements of `data` are infinite or not a number; 0 for integers and booleans.
pub fn non_finite(data: &TensorData) -> usize {
    let bytes = data.as_bytes();
    match data.dtype() {
        DType::F64 => bytes.chunks_exact(8).filter(|b| b[6] & 0xF0 == 0xF0 && b[7] & 0x7F == 0x7F).count(),
        DType::F32 | DType::Flex32 => bytes.chunks_exact(4).filter(|b| b[2] & 0x80 != 0 && b[3] & 0x7F == 0x7F).count(),
        DType::F16 => bytes.chunks_exact(2).filter(|b| b[1] & 0x7C == 0x7C).count(),
        DType::BF16 => bytes.chunks_exact(2).filter(|b| b[0] & 0x80 != 0 && b[1] & 0x7F == 0x7F).count(),
        _ => 0,
    }
}
