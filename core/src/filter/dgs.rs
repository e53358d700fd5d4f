//! Dynamic Group Scaling: half-made images decide which candidates are finished.

use serde::{Deserialize, Serialize};

use super::threshold::Threshold;
use super::{GroupFilter, GroupOutcome};
use crate::{Error, Result};

/// How the threshold follows the pass rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdControl {
    /// The trend-aware power law of the paper; see [`DynamicGroupScaling`].
    #[default]
    Trend,
    /// The released code's variant: the undamped power step `T^(1 + mu Delta) - T`, applied as `+-step` when it exceeds
    /// `step` and not at all otherwise. Inside that dead zone the pass rate is not controlled: at T = 0.75 with the
    /// defaults it is +-0.19 wide.
    Stepped,
    /// Robbins-Monro on the 1 - TPR quantile, for surrogates of any range: `T_i = T_{i-1} - max(mu, 1/i) d Delta_i`,
    /// where d is the distance of the scores from T (root mean square, smoothed with eta). `range`, `delta`, `sigma`
    /// and `damping` play no part.
    Quantile,
}

/// What happens when trend and error disagree, `tau_{i-1} Delta_i > 0`; the paper can be read in both ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damping {
    /// The gain becomes mu / sigma.
    #[default]
    Gain,
    /// The exponent becomes 1 + mu Delta_i - sigma tau_{i-1}.
    Momentum,
}

/// Settings of [`DynamicGroupScaling`]; the defaults are the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DynamicGroupScalingConfig {
    /// How the threshold moves. Default `trend`.
    pub control: ThresholdControl,
    /// Reading of the damping term under `trend`. Default `gain`.
    pub damping: Damping,
    /// Target pass rate TPR in (0, 1). Default 0.25.
    pub tpr: f64,
    /// Gain mu, positive. Default 0.12.
    pub mu: f64,
    /// Smoothing eta of the trend in [0, 1). Default 0.8.
    pub eta: f64,
    /// Damping sigma, positive. Default 2.
    pub sigma: f64,
    /// First threshold T_0 in [delta, 1 - delta] of the mapped range; any finite number under `quantile`, in the
    /// surrogate's unit. Default 0.5.
    pub threshold: f64,
    /// Distance delta in (0, 0.5) that T keeps from 0 and 1, where the power law cannot move. Default 0.01.
    pub delta: f64,
    /// Step in (0, 1) of `stepped`. Default 0.005.
    pub step: f64,
    /// Lowest and highest surrogate score, mapped to 0 and 1. Default `[0, 1]`.
    pub range: [f64; 2],
}

impl Default for DynamicGroupScalingConfig {
    fn default() -> Self {
        Self {
            control: ThresholdControl::default(),
            damping: Damping::default(),
            tpr: 0.25,
            mu: 0.12,
            eta: 0.8,
            sigma: 2.0,
            threshold: 0.5,
            delta: 0.01,
            step: 0.005,
            range: [0.0, 1.0],
        }
    }
}

impl DynamicGroupScalingConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the key, the range and what came.
    pub fn validate(&self) -> Result<()> {
        let within = |x: f64, lo: f64, hi: f64| x > lo && x < hi; // false for NaN
        require("tpr", self.tpr, within(self.tpr, 0.0, 1.0), "in (0, 1)")?;
        require("mu", self.mu, within(self.mu, 0.0, f64::INFINITY), "above 0")?;
        require("eta", self.eta, (0.0..1.0).contains(&self.eta), "in [0, 1)")?;
        require("sigma", self.sigma, within(self.sigma, 0.0, f64::INFINITY), "above 0")?;
        require("delta", self.delta, within(self.delta, 0.0, 0.5), "in (0, 0.5)")?;
        require("step", self.step, within(self.step, 0.0, 1.0), "in (0, 1)")?;
        let [lo, hi] = self.range;
        if !(lo.is_finite() && hi.is_finite() && lo < hi) {
            return Err(Error::config(format!(
                "filter.range: expected [lowest, highest], finite and increasing, got [{lo}, {hi}]"
            )));
        }
        let expected = match self.control {
            ThresholdControl::Quantile => "that is finite".to_owned(),
            _ => format!("in [{}, {}] (delta to 1 - delta)", self.delta, 1.0 - self.delta),
        };
        require("threshold", self.threshold, self.allows(self.threshold), &expected)
    }

    /// The filter with these settings, at its first threshold.
    ///
    /// # Errors
    /// As [`validate`](DynamicGroupScalingConfig::validate).
    pub fn init(self) -> Result<DynamicGroupScaling> {
        self.validate()?;
        let threshold = Threshold::new(self.threshold);
        Ok(DynamicGroupScaling { config: self, threshold, last: None })
    }

    fn allows(&self, threshold: f64) -> bool {
        match self.control {
            ThresholdControl::Quantile => threshold.is_finite(),
            _ => (self.delta..=1.0 - self.delta).contains(&threshold),
        }
    }
}

fn require(key: &str, value: f64, holds: bool, expected: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::config(format!("filter.{key}: expected a number {expected}, got {value}"))) }
}

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
/// filter.adapt(&GroupOutcome { scores, admitted: 2, drafted: 3 });
/// assert!(filter.threshold() > 0.5); // too many passed
/// # Ok::<(), counterpoint::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DynamicGroupScaling {
    config: DynamicGroupScalingConfig,
    threshold: Threshold,
    /// Admitted and drafted of the last group.
    last: Option<(usize, usize)>,
}

/// What [`GroupFilter::state`] holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    control: ThresholdControl,
    threshold: Threshold,
    last: Option<(usize, usize)>,
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
            self.last = Some((group.admitted, group.drafted));
        }
    }

    fn needs_preview(&self) -> bool {
        true
    }

    /// `dgs/threshold`, and `dgs/pass_rate` of the last group once there is one.
    fn gauges(&self) -> Vec<(&'static str, f64)> {
        let pass_rate = self.last.map(|(admitted, drafted)| ("dgs/pass_rate", admitted as f64 / drafted as f64));
        [("dgs/threshold", self.threshold.value)].into_iter().chain(pass_rate).collect()
    }

    fn state(&self) -> serde_json::Value {
        serde_json::json!({ "control": self.config.control, "threshold": self.threshold, "last": self.last })
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
        self.last = state.last.filter(|(_, drafted)| *drafted > 0);
        Ok(())
    }
}
