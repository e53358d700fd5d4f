//! Keys and values of what has already been through a layer, which grow in place.

use burn::tensor::Tensor;

/// Keys and values `[B, heads, L, D]`.
pub type KeyValues = (Tensor<4>, Tensor<4>);

/// Least tokens that room is made for at once.
const ROOM: usize = 64;

/// The keys and values of one layer, with room for more: a token that is added costs its own numbers and not a copy of all before it.
#[derive(Debug, Clone)]
pub struct Grown {
    held: KeyValues,
    len: usize,
}

impl Grown {
    /// These, without room.
    pub fn new(held: KeyValues) -> Self {
        let len = held.0.dims()[2];
        Self { held, len }
    }

    /// How many keys each sequence has.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// All of them.
    pub fn all(&self) -> KeyValues {
        let all = |held: &Tensor<4>| held.clone().narrow(2, 0, self.len);
        (all(&self.held.0), all(&self.held.1))
    }

    /// Adds those of new tokens, and gives back all. Where nobody else holds the tensors, what was given back before included, they are
    /// written where they lie.
    pub fn extend(&mut self, (key, value): KeyValues) -> KeyValues {
        let count = key.dims()[2];
        add(&mut self.held.0, self.len, key);
        add(&mut self.held.1, self.len, value);
        self.len += count;
        self.all()
    }

    /// What `f` makes of the keys and of the values.
    pub fn map(&self, f: impl Fn(Tensor<4>) -> Tensor<4>) -> Self {
        let (key, value) = self.all();
        Self::new((f(key), f(value)))
    }
}

/// Writes `new` behind the first `len` tokens of `held`, with more room where there is too little.
fn add(held: &mut Tensor<4>, len: usize, new: Tensor<4>) {
    let [batch, heads, room, width] = held.dims();
    let all = len + new.dims()[2];
    if all > room {
        let larger = [batch, heads, all + ROOM.max(all / 2), width];
        let larger = Tensor::zeros(larger, (&held.device(), held.dtype()));
        let begun = held.clone().narrow(2, 0, len);
        *held = larger.slice_assign([0..batch, 0..heads, 0..len, 0..width], begun);
    }
    held.inplace(|held| held.slice_assign([0..batch, 0..heads, len..all, 0..width], new));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::{Device, Distribution};

    use super::*;

    #[test]
    fn what_grows_in_place_is_what_was_put_together() {
        let device = Device::flex();
        let draw = |tokens| Tensor::<4>::random([2, 3, tokens, 5], Distribution::Default, &device);
        let (mut key, mut value) = (draw(7), draw(7));
        let mut grown = Grown::new((key.clone(), value.clone()));
        for tokens in [1, 1, 60, 9, 200, 1] {
            let (more_key, more_value) = (draw(tokens), draw(tokens));
            // Somebody who holds the earlier ones keeps them.
            let (before, kept) = (grown.clone(), key.clone());
            let (all_keys, all_values) = grown.extend((more_key.clone(), more_value.clone()));
            key = Tensor::cat(vec![key, more_key], 2);
            value = Tensor::cat(vec![value, more_value], 2);
            assert_eq!(all_keys.into_data(), key.clone().into_data());
            assert_eq!(all_values.into_data(), value.clone().into_data());
            assert_eq!(before.all().0.into_data(), kept.into_data());
            assert_eq!(grown.len(), key.dims()[2]);
        }
        let halved = grown.map(|tensor| tensor.narrow(0, 1, 1));
        assert_eq!(halved.all().1.into_data(), value.narrow(0, 1, 1).into_data());
    }
}
