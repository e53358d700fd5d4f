//! Keys and values of what has already been through a layer, which grow in place.

use burn::tensor::Tensor;
use counterpoint_kernels::{KeyValues, Seen, may_work_on, repeated};

/// Least tokens that room is made for at once.
const ROOM: usize = 64;

/// The keys and values of one layer, with room for more: a token that is added costs its own numbers and not a copy of all before it.
#[derive(Debug, Clone)]
pub struct Grown {
    held: Held,
    sequences: usize,
    /// How many keys each sequence has of its own.
    len: usize,
}

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // One for a layer.
enum Held {
    /// Those of each sequence.
    Own(KeyValues),
    /// Those of a beginning that all sequences have in common, as of one, and of each sequence what was added.
    Shared(KeyValues, Option<KeyValues>),
}

impl Grown {
    /// These, without room.
    pub fn new(held: KeyValues) -> Self {
        let [sequences, _, len, _] = held.0.dims();
        Self { held: Held::Own(held), sequences, len }
    }

    /// Those of one sequence for so many: held once where attention can read them so.
    pub fn copies((key, value): KeyValues, sequences: usize) -> Self {
        if sequences == 1 || !may_work_on(&key) {
            return Self::new((repeated(key, sequences), repeated(value, sequences)));
        }
        Self { held: Held::Shared((key, value), None), sequences, len: 0 }
    }

    /// How many keys each sequence has.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match &self.held {
            Held::Own(_) => self.len,
            Held::Shared((key, _), _) => key.dims()[2] + self.len,
        }
    }

    /// All of them, of each sequence.
    pub fn all(&self) -> KeyValues {
        let copies = |x: &Tensor<4>| repeated(x.clone(), self.sequences);
        match &self.held {
            Held::Own(own) => first(own, self.len),
            Held::Shared((key, value), None) => (copies(key), copies(value)),
            Held::Shared(shared, Some(own)) => Seen::from(first(own, self.len)).after(Some(shared.clone())).all(),
        }
    }

    /// Adds those of new tokens, and gives back all. Where nobody else holds the tensors, what was given back before included, they are
    /// written where they lie.
    pub fn extend(&mut self, new: KeyValues) -> Seen {
        let before = self.len;
        self.len += new.0.dims()[2];
        let (own, shared) = match &mut self.held {
            Held::Own(own) => (grown(own, before, new), None),
            Held::Shared(shared, Some(own)) => (grown(own, before, new), Some(shared.clone())),
            Held::Shared(shared, own) => (&*own.insert(new), Some(shared.clone())),
        };
        Seen::from(first(own, self.len)).after(shared)
    }

    /// The sequences that `pick` takes of a tensor, so many.
    pub fn select(&self, sequences: usize, pick: impl Fn(Tensor<4>) -> Tensor<4>) -> Self {
        let picked = |(key, value): &KeyValues| (pick(key.clone()), pick(value.clone()));
        let held = match &self.held {
            Held::Own(own) => Held::Own(picked(&first(own, self.len))),
            Held::Shared(shared, own) => Held::Shared(shared.clone(), own.as_ref().map(picked)),
        };
        Self { held, sequences, len: self.len }
    }

    /// The same numbers without the graph that made them.
    pub fn detach(&self) -> Self {
        let (key, value) = self.all();
        Self::new((key.detach(), value.detach()))
    }
}

/// Of each sequence the first `len`.
fn first((key, value): &KeyValues, len: usize) -> KeyValues {
    (key.clone().narrow(2, 0, len), value.clone().narrow(2, 0, len))
}

/// `held` with `new` behind its first `len`.
fn grown(held: &mut KeyValues, len: usize, new: KeyValues) -> &KeyValues {
    add(&mut held.0, len, new.0);
    add(&mut held.1, len, new.1);
    held
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
        let draw = |sequences, tokens| Tensor::<4>::random([sequences, 3, tokens, 5], Distribution::Default, &device);
        let (one, several) = ((draw(1, 7), draw(1, 7)), (draw(2, 7), draw(2, 7)));
        let copied = |x: &Tensor<4>| x.clone().repeat_dim(0, 2);
        let cases =
            [(Grown::new(several.clone()), several), (Grown::copies(one.clone(), 2), (copied(&one.0), copied(&one.1)))];
        for (mut grown, (mut key, mut value)) in cases {
            assert_eq!(grown.all().1.into_data(), value.clone().into_data());
            for tokens in [1, 1, 60, 9, 200, 1] {
                let (more_key, more_value) = (draw(2, tokens), draw(2, tokens));
                // Somebody who holds the earlier ones keeps them.
                let (before, kept) = (grown.clone(), key.clone());
                let (all_keys, all_values) = grown.extend((more_key.clone(), more_value.clone())).all();
                key = Tensor::cat(vec![key, more_key], 2);
                value = Tensor::cat(vec![value, more_value], 2);
                assert_eq!(all_keys.into_data(), key.clone().into_data());
                assert_eq!(all_values.into_data(), value.clone().into_data());
                assert_eq!(before.all().0.into_data(), kept.into_data());
                assert_eq!(grown.len(), key.dims()[2]);
            }
            let mut halved = grown.select(1, |tensor| tensor.narrow(0, 1, 1));
            assert_eq!(halved.all().1.into_data(), value.clone().narrow(0, 1, 1).into_data());
            let (_, all) = halved.extend((draw(1, 2), draw(1, 2))).all();
            assert_eq!(all.dims(), [1, 3, value.dims()[2] + 2, 5]);
            assert_eq!(grown.all().1.into_data(), value.into_data());
        }
    }
}
