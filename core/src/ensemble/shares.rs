//! A reward by what its parts judge.

use crate::{Credit, Judges, SegmentKind};

/// A total reward by what its parts judge: the three add up to it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Shares {
    /// Of rewards that judge understanding alone.
    pub understanding: f64,
    /// Of rewards that judge generation alone.
    pub generation: f64,
    /// Of rewards that judge both.
    pub both: f64,
}

impl Shares {
    pub(super) fn of_mut(&mut self, judges: Judges) -> &mut f64 {
        match judges {
            Judges::Understanding => &mut self.understanding,
            Judges::Generation => &mut self.generation,
            Judges::Both => &mut self.both,
        }
    }

    pub(super) fn scaled(self, scale: f64) -> Self {
        let Self { understanding, generation, both } = self;
        Self { understanding: understanding * scale, generation: generation * scale, both: both * scale }
    }

    /// What a decision of a segment is credited with, `rest` being the kinds of that segment and of those after it.
    pub fn credited(&self, credit: Credit, rest: &[SegmentKind]) -> f64 {
        let parts = [
            (Judges::Understanding, self.understanding),
            (Judges::Generation, self.generation),
            (Judges::Both, self.both),
        ];
        parts.into_iter().filter(|(judges, _)| credit.counts(*judges, rest)).map(|(_, share)| share).sum()
    }
}
