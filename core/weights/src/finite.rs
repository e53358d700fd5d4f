//! Numbers that are none.

use burn::tensor::{DType, TensorData};

/// How many elements of `data` are infinite or not a number; 0 for integers and booleans.
pub fn non_finite(data: &TensorData) -> usize {
    let bytes = data.as_bytes();
    // The exponent's bits are all ones.
    match data.dtype() {
        DType::F64 => count(bytes, |b| u64::from_ne_bytes(b) & 0x7FF0_0000_0000_0000 == 0x7FF0_0000_0000_0000),
        DType::F32 | DType::Flex32 => count(bytes, |b| u32::from_ne_bytes(b) & 0x7F80_0000 == 0x7F80_0000),
        DType::F16 => count(bytes, |b| u16::from_ne_bytes(b) & 0x7C00 == 0x7C00),
        DType::BF16 => count(bytes, |b| u16::from_ne_bytes(b) & 0x7F80 == 0x7F80),
        _ => 0,
    }
}

/// How many numbers of `N` bytes, as this machine keeps them, are `bad`.
fn count<const N: usize>(bytes: &[u8], bad: impl Fn([u8; N]) -> bool) -> usize {
    bytes.as_chunks::<N>().0.iter().filter(|chunk| bad(**chunk)).count()
}
