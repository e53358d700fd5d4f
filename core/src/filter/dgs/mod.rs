//! Dynamic Group Scaling: half-made images decide which candidates are finished.

mod config;
mod threshold;

pub use config::{Damping, DynamicGroupScalingConfig, ThresholdControl};

use serde::{Deserialize, Serialize};

use self::threshold::Threshold;
use super::{GroupFilter, GroupOutcome};
use crate::{Error, Result};

/// Dynamic Group Scaling (DGS): drafts whose preview scores above the threshold T are finished; after each group T moves
/// so that a share TPR of all drafts passes. Registered as `dgs`.
///
/// With PR_i the pass rate of group i and Delta_i = TPR - PR_i:
///
/// ```text
/// gain_i = mu / sigma  if tau_{i-1} * Delta_i > 0 (the trend and the error disagree), else mu
/// T_i    = clamp( T_{i-1} ^ (1 + gain_i * Delta_i), delta, 1 - delta )
/// tau_i  = eta * tau_{i-1} + (1 - eta) * (T_i - T_{i-1}),   tau_0 = 0
/// ```
///
/// T lives in (0, 1); scores of another `range` are mapped to [0, 1] first. The other controls are described at
/// [`ThresholdControl`], the other reading of the damping at [`Damping`]. Without damping the fixed point T* is stable
/// while `0 < mu f(T*) T* |ln T*| < 2`, f being the density of the mapped surrogate.
///
/// ```
/// use counterpoint::{DynamicGroupScalingConfig, GroupFilter, GroupOutcome};
///
/// let mut filter = DynamicGroupScalingConfig::default().init()?;
/// let scores = vec![0.9, 0.8, 0.3];
/// assert_eq!(filter.admit(&scores), [true, true, false]);
/// filter.adapt(&GroupOutcome::new(scores, 2, 3));
/// assert!(filter.threshold() > 0.5); // too many passed
/// # Ok::<(), counterpoint::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DynamicGroupScaling {
    config: DynamicGroupScalingConfig,
    threshold: Threshold,
}

/// What [`GroupFilter::state`] holds.
#[derive(Serialize, Deserialize)]
struct State {
    control: ThresholdControl,
    threshold: Threshold,
}

impl DynamicGroupScalingConfig {
    /// The filter with these settings, at its first threshold.
    ///
    /// # Errors
    /// As [`validate`](DynamicGroupScalingConfig::validate).
    pub fn init(self) -> Result<DynamicGroupScaling> {
        self.validate()?;
        let threshold = Threshold::new(self.threshold);
        Ok(DynamicGroupScaling { config: self, threshold })
    }
}

impl DynamicGroupScaling {
    /// The threshold T: on the range mapped to [0, 1], or in the surrogate's unit under
    /// [`Quantile`](ThresholdControl::Quantile).
    pub fn threshold(&self) -> f64 {
        self.threshold.value
    }

    /// The settings.
    pub fn config(&self) -> &DynamicGroupScalingConfig {
        &self.config
    }

    fn mapped(&self, score: f64) -> f64 {
        let [lo, hi] = self.config.range;
        match self.config.control {
            ThresholdControl::Quantile => score,
            _ => ((score - lo) / (hi - lo)).clamp(0.0, 1.0),
        }
    }
}

impl GroupFilter for DynamicGroupScaling {
    fn admit(&mut self, scores: &[f64]) -> Vec<bool> {
        scores.iter().map(|&s| self.mapped(s) > self.threshold.value).collect()
    }

    /// A group without drafts changes nothing.
    fn adapt(&mut self, group: &GroupOutcome) {
        if group.drafted > 0 {
            self.threshold.update(&self.config, self.config.tpr - group.pass_rate(), &group.scores);
        }
    }

    fn needs_preview(&self) -> bool {
        true
    }

    /// `dgs/threshold`, after the last group.
    fn gauges(&self) -> Vec<(&'static str, f64)> {
        vec![("dgs/threshold", self.threshold.value)]
    }

    fn state(&self) -> serde_json::Value {
        serde_json::json!({ "control": self.config.control, "threshold": self.threshold })
    }

    fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
        let state: State = serde_json::from_value(state.clone())
            .map_err(|e| Error::checkpoint("expected the state of a `dgs` filter").with_source(e))?;
        if state.control != self.config.control {
            return Err(Error::checkpoint(format!(
                "filter.control: the checkpoint was made with {:?}, the config says {:?}; resume with the same control",
                state.control, self.config.control
            )));
        }
        let Threshold { value, trend, spread, .. } = state.threshold;
        if !(self.config.allows(value) && trend.is_finite() && spread.is_finite()) {
            return Err(Error::checkpoint(format!(
                "the checkpoint's dgs threshold {value} (trend {trend}, spread {spread}) is outside what the config allows"
            )));
        }
        self.threshold = state.threshold;
        Ok(())
    }
}
