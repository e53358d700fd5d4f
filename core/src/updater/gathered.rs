//! The gradients of a batch, and the optimizer steps that they become.

use burn::optim::GradientsParams;

use crate::{Error, ErrorKind, Learner, Result, SegmentKind};

/// Gathers gradients chunk by chunk in a learner: those of both halves together, or each half's by itself.
pub(super) struct Gathered {
    apart: bool,
    /// Where halves are apart: which one's gradients the learner holds, and what was taken out of it.
    now: Option<SegmentKind>,
    taken: Vec<(SegmentKind, GradientsParams)>,
}

/// The rates of an optimizer step.
#[derive(Clone, Copy)]
pub(super) struct Rates {
    pub(super) understanding: f64,
    pub(super) generation: f64,
}

impl Gathered {
    pub(super) fn together() -> Self {
        Self { apart: false, now: None, taken: Vec::new() }
    }

    pub(super) fn apart() -> Self {
        Self { apart: true, ..Self::together() }
    }

    /// To be called before the gradients of a chunk of `kind` are added.
    pub(super) fn turn_to(&mut self, kind: SegmentKind, learner: &mut dyn Learner) -> Result<()> {
        if let Some(before) = self.now.replace(kind).filter(|before| self.apart && *before != kind) {
            self.taken.push((before, learner.take()?));
        }
        Ok(())
    }

    /// One optimizer step, or one for each half, none before all gradients are known to be finite. Returns their norms before
    /// they are scaled down to `max_norm`, by half where they are apart.
    pub(super) fn apply(
        self,
        learner: &mut dyn Learner,
        rates: Rates,
        max_norm: f64,
    ) -> Result<Vec<(Option<SegmentKind>, f64)>> {
        let scale = |norm: f64| (max_norm / (norm + 1e-6)).min(1.0);
        if !self.apart {
            let norm = finite_norm(learner)?;
            learner.apply(rates.understanding, scale(norm))?;
            return Ok(vec![(None, norm)]);
        }
        let mut taken = self.taken;
        if let Some(kind) = self.now {
            taken.push((kind, learner.take()?));
        }
        let mut halves = Vec::new();
        for kind in [SegmentKind::Understanding, SegmentKind::Generation] {
            let of_kind: Vec<GradientsParams> = taken.extract_if(.., |(of, _)| *of == kind).map(|(_, g)| g).collect();
            if of_kind.is_empty() {
                continue;
            }
            of_kind.into_iter().try_for_each(|gradients| learner.add(gradients))?;
            halves.push((kind, finite_norm(learner)?, learner.take()?));
        }
        let mut norms = Vec::new();
        for (kind, norm, gradients) in halves {
            let rate = match kind {
                SegmentKind::Understanding => rates.understanding,
                SegmentKind::Generation => rates.generation,
            };
            learner.add(gradients)?;
            learner.apply_half(kind, rate, scale(norm))?;
            norms.push((Some(kind), norm));
        }
        Ok(norms)
    }
}

/// L2 norm of the accumulated gradient.
fn finite_norm(learner: &mut dyn Learner) -> Result<f64> {
    let norms = learner.gradient_norms()?;
    if let Some((name, norm)) = norms.iter().find(|(_, norm)| !norm.is_finite()) {
        return Err(Error::new(ErrorKind::NonFinite, format!("the gradient of {name} has norm {norm}")));
    }
    Ok(norms.iter().map(|(_, norm)| norm * norm).sum::<f64>().sqrt())
}
