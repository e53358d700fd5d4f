//! How the threshold T of [`DynamicGroupScaling`](super::DynamicGroupScaling) moves after each group.

use serde::{Deserialize, Serialize};

use super::config::{Damping, DynamicGroupScalingConfig, ThresholdControl};

/// The adaptive state: everything that a checkpoint has to hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Threshold {
    /// T_i, on the range mapped to [0, 1], or in the surrogate's own unit under `quantile`.
    #[serde(with = "exact")]
    pub(super) value: f64,
    /// tau_i, the smoothed change of T.
    #[serde(with = "exact")]
    pub(super) trend: f64,
    /// Smoothed distance between the scores and T, for `quantile`; 0 before the first group.
    #[serde(with = "exact")]
    pub(super) spread: f64,
    /// Groups seen, i.
    pub(super) groups: u64,
}

impl Threshold {
    pub(super) fn new(value: f64) -> Self {
        Self { value, trend: 0.0, spread: 0.0, groups: 0 }
    }

    /// Moves T after a group with the error `error` = Delta_i = TPR - PR_i and these surrogate scores.
    pub(super) fn update(&mut self, config: &DynamicGroupScalingConfig, error: f64, scores: &[f64]) {
        let before = self.value;
        self.groups += 1;
        match config.control {
            ThresholdControl::Trend => self.value = clamp(before.powf(self.exponent(config, error)), config),
            ThresholdControl::Stepped => {
                let proposed = before.powf(1.0 + config.mu * error) - before;
                if proposed.abs() > config.step {
                    self.value = clamp(before + config.step.copysign(proposed), config);
                }
            }
            ThresholdControl::Quantile => self.track_quantile(config, error, scores),
        }
        self.trend = config.eta * self.trend + (1.0 - config.eta) * (self.value - before);
    }

    fn exponent(&self, config: &DynamicGroupScalingConfig, error: f64) -> f64 {
        let conflict = self.trend * error > 0.0;
        match config.damping {
            Damping::Gain if conflict => 1.0 + config.mu / config.sigma * error,
            Damping::Momentum if conflict => 1.0 + config.mu * error - config.sigma * self.trend,
            _ => 1.0 + config.mu * error,
        }
    }

    /// T_i = T_{i-1} - max(mu, 1/i) * d_{i-1} * Delta_i, with d the smoothed root mean square of s - T. The distance of
    /// earlier groups is used (but for the first), so that it is independent of this group's Delta: no bias.
    fn track_quantile(&mut self, config: &DynamicGroupScalingConfig, error: f64, scores: &[f64]) {
        let mut squares: Vec<f64> = scores.iter().filter(|s| s.is_finite()).map(|s| (s - self.value).powi(2)).collect();
        // Sorted, so that the sum is rounded the same whatever the order of the candidates.
        squares.sort_by(f64::total_cmp);
        if squares.is_empty() {
            return;
        }
        let distance = (squares.iter().sum::<f64>() / squares.len() as f64).sqrt();
        if self.spread == 0.0 {
            self.spread = distance;
        }
        self.value -= config.mu.max(1.0 / self.groups as f64) * self.spread * error;
        self.spread = config.eta * self.spread + (1.0 - config.eta) * distance;
    }
}

fn clamp(threshold: f64, config: &DynamicGroupScalingConfig) -> f64 {
    threshold.clamp(config.delta, 1.0 - config.delta)
}

/// Numbers as text: the shortest decimal that reads back as the same bits, which JSON numbers do not promise.
mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(format!("expected a number as text, got `{text}`")))
    }
}
