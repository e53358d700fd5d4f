//! Keys and values of tokens that have already been through the decoder.

use burn::tensor::Tensor;
use counterpoint_kernels::repeated;
use counterpoint_policy_common::cache::Grown;

use crate::tokens;

/// Per layer, the rotated keys and the values of a prefix.
#[derive(Debug, Clone)]
pub struct KvCache {
    pub(crate) layers: Vec<Grown>,
    pub(crate) next: Vec<usize>,
}

impl KvCache {
    /// A cache of nothing, for `batch` sequences.
    pub(crate) fn empty(batch: usize) -> Self {
        Self { layers: Vec::new(), next: vec![0; batch] }
    }

    /// How many keys each sequence has.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, Grown::len)
    }

    /// How many sequences it holds.
    pub fn batch(&self) -> usize {
        self.next.len()
    }

    /// The position of each sequence's next token: the number of keys, unless [`with_next`](Self::with_next) said else.
    pub fn next(&self) -> &[usize] {
        &self.next
    }

    /// Sets the position of each sequence's next token, where prompts of different lengths were padded on the right.
    ///
    /// # Panics
    /// If `next` does not have one entry per sequence.
    pub fn with_next(mut self, next: Vec<usize>) -> Self {
        assert_eq!(next.len(), self.next.len(), "one position per sequence");
        self.next = next;
        self
    }

    /// The sequences `rows`, in that order; a row may come several times, for a group of candidates on one prompt.
    ///
    /// # Panics
    /// If a row is not in the batch.
    pub fn select(&self, rows: &[usize]) -> Self {
        let next = rows.iter().map(|&row| self.next[row]).collect();
        // Runs of one row are copied by expansion, whose gradient is a plain sum.
        let runs: Vec<&[usize]> = rows.chunk_by(|a, b| a == b).collect();
        if rows.iter().copied().eq(0..self.batch()) {
            return Self { layers: self.layers.clone(), next };
        }
        let pick = |tensor: Tensor<4>| {
            if runs.len() == rows.len() {
                let device = tensor.device();
                return tensor.select(0, tokens::index(rows, &device));
            }
            let copies = |run: &&[usize]| repeated(tensor.clone().narrow(0, run[0], 1), run.len());
            Tensor::cat(runs.iter().map(copies).collect(), 0)
        };
        let select = |layer: &Grown| match runs.as_slice() {
            [run] => {
                let (key, value) = layer.all();
                Grown::copies((key.narrow(0, run[0], 1), value.narrow(0, run[0], 1)), run.len())
            }
            _ => layer.select(rows.len(), pick),
        };
        Self { layers: self.layers.iter().map(select).collect(), next }
    }

    /// The sequences of all `caches`, which have equally many keys, one after the other.
    pub fn stack(caches: &[Self]) -> Self {
        if let [one] = caches {
            return one.clone();
        }
        let layers = caches.iter().map(|cache| cache.layers.len()).min().unwrap_or(0);
        let join = |layer: usize| {
            let (keys, values) = caches.iter().map(|cache| cache.layers[layer].all()).unzip();
            Grown::new((Tensor::cat(keys, 0), Tensor::cat(values, 0)))
        };
        Self {
            layers: (0..layers).map(join).collect(),
            next: caches.iter().flat_map(|cache| &cache.next).copied().collect(),
        }
    }

    /// The same numbers without the graph that made them.
    pub fn detach(self) -> Self {
        let layers = self.layers.iter().map(Grown::detach).collect();
        Self { layers, ..self }
    }
}
