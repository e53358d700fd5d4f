//! How many image tokens stay masked after each denoising step.

use counterpoint::{Error, Result};
use serde::{Deserialize, Serialize};

/// Mask ratio gamma(r) over progress r in (0, 1]: 1 at the start, 0 (or nearly) at the end (MaskGIT, section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum MaskSchedule {
    /// cos(pi r / 2).
    #[default]
    Cosine,
    /// 1 - r.
    Linear,
    /// 1 - r^exponent.
    Power {
        /// Exponent, positive; below 1 decides many tokens early, above 1 late.
        exponent: f32,
    },
    /// A falling piece of the logistic function between `start` and `end`, scaled to run from 1 to 0.
    Sigmoid {
        /// Where the piece begins.
        start: f32,
        /// Where it ends, above `start`.
        end: f32,
        /// Its temperature, positive.
        tau: f32,
    },
}

impl MaskSchedule {
    /// Checks the parameters.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming the parameter that is out of range.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::Power { exponent } if !(exponent.is_finite() && exponent > 0.0) => {
                Err(Error::config(format!("schedule.exponent: expected a positive number, got {exponent}")))
            }
            Self::Sigmoid { start, end, tau } if !(start < end && tau > 0.0 && tau.is_finite()) => Err(Error::config(
                format!("schedule: expected start < end and tau > 0, got start {start}, end {end}, tau {tau}"),
            )),
            _ => Ok(()),
        }
    }

    /// gamma at progress `r` in (0, 1], computed in f32 as the public code does: the floor of N gamma depends on its last
    /// bits.
    pub fn ratio(&self, r: f32) -> f32 {
        // The lower bound is the public code's; it never changes a floor of N gamma.
        let floor = |ratio: f32| ratio.clamp(1e-6, 1.0);
        match *self {
            Self::Cosine => (r * std::f32::consts::PI * 0.5).cos(),
            Self::Linear => floor(1.0 - r),
            Self::Power { exponent } => floor(1.0 - r.powf(exponent)),
            Self::Sigmoid { start, end, tau } => {
                let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
                let (first, last) = (sigmoid(start / tau), sigmoid(end / tau));
                floor((last - sigmoid((r * (end - start) + start) / tau)) / (last - first))
            }
        }
    }

    /// How many of `tokens` are masked again after step `step` (from 0) of `steps`, when `undecided` were masked before
    /// it: floor(N gamma), but at least one and at most one fewer than before.
    pub fn remask(&self, step: usize, steps: usize, tokens: usize, undecided: usize) -> usize {
        let ratio = self.ratio(((step + 1) as f64 / steps as f64) as f32);
        let scheduled = (tokens as f32 * ratio).floor().max(0.0) as usize;
        scheduled.min(undecided.saturating_sub(1)).max(1)
    }
}
