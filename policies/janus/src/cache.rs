//! Keys and values of what has already been through the decoder.

use burn::tensor::{Device, Tensor};
use counterpoint_policy_common::cache::Grown;
use counterpoint_policy_common::tokens::index;

/// Per layer, the rotated keys and the values of each sequence, and how many tokens each of these has.
#[derive(Debug, Clone, Default)]
pub struct KvCache {
    pub(crate) layers: Vec<Grown>,
}

impl KvCache {
    /// How many keys each sequence has.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, Grown::len)
    }

    /// The sequences `rows`, in that order; a row may come several times, for a group of candidates on one prompt.
    ///
    /// # Panics
    /// If a row is not in the batch.
    pub fn select(&self, rows: &[usize], device: &Device) -> Self {
        let chosen = index(rows, device);
        let pick = |tensor: Tensor<4>| tensor.select(0, chosen.clone());
        let select = |layer: &Grown| match rows {
            [row, others @ ..] if others.iter().all(|other| other == row) => {
                let (key, value) = layer.all();
                Grown::copies((key.narrow(0, *row, 1), value.narrow(0, *row, 1)), rows.len())
            }
            _ => layer.select(rows.len(), pick),
        };
        Self { layers: self.layers.iter().map(select).collect() }
    }
}
