//! What queries look at.

use burn::tensor::Tensor;

/// Keys and values `[B, heads, K, D]`.
pub type KeyValues = (Tensor<4>, Tensor<4>);

/// Keys and values of each sequence, and before them those that all sequences have in common, `[1, heads, S, D]`, which are held once.
#[derive(Debug, Clone)]
pub struct Seen {
    pub(crate) shared: Option<KeyValues>,
    pub(crate) own: KeyValues,
}

impl From<KeyValues> for Seen {
    fn from(own: KeyValues) -> Self {
        Self { shared: None, own }
    }
}

impl Seen {
    /// The same behind `shared`.
    pub fn after(self, shared: Option<KeyValues>) -> Self {
        Self { shared, ..self }
    }

    /// What `f` makes of all keys and of all values.
    pub fn map(self, f: impl Fn(Tensor<4>) -> Tensor<4>) -> Self {
        let both = |(key, value)| (f(key), f(value));
        Self { shared: self.shared.map(both), own: both(self.own) }
    }

    /// Those of each sequence as if nothing were shared.
    pub fn all(self) -> KeyValues {
        let Some((key, value)) = self.shared else { return self.own };
        let sequences = self.own.0.dims()[0];
        let behind = |shared, own| Tensor::cat(vec![repeated(shared, sequences), own], 2);
        (behind(key, self.own.0), behind(value, self.own.1))
    }
}

/// What is shared, as so many sequences see it.
pub fn repeated(shared: Tensor<4>, sequences: usize) -> Tensor<4> {
    let [_, heads, keys, width] = shared.dims();
    shared.expand([sequences, heads, keys, width])
}
