//! Keys and values of what has already been through the decoder.

use burn::tensor::{Device, Int, Tensor};

/// Per layer, the rotated keys and the values of each sequence, and how many tokens each of these has.
#[derive(Debug, Clone, Default)]
pub struct KvCache {
    pub(crate) layers: Vec<(Tensor<4>, Tensor<4>)>,
}

impl KvCache {
    /// How many keys each sequence has.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, |(key, _)| key.dims()[2])
    }

    /// The sequences `rows`, in that order; a row may come several times, for a group of candidates on one prompt.
    ///
    /// # Panics
    /// If a row is not in the batch.
    pub fn select(&self, rows: &[usize], device: &Device) -> Self {
        let rows: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
        let rows = Tensor::<1, Int>::from_ints(&rows[..], device);
        let pick = |tensor: &Tensor<4>| tensor.clone().select(0, rows.clone());
        Self { layers: self.layers.iter().map(|(key, value)| (pick(key), pick(value))).collect() }
    }
}
