//! Which metrics share a chart.

use std::collections::BTreeSet;

use counterpoint::metrics::Metrics;

use crate::Arm;
use crate::series::{Place, Series, places};

/// Curves of one chart at most: as many as there are colours.
pub const MOST_CURVES: usize = 6;

/// Some curves on the same axes.
#[derive(Debug)]
pub struct Chart {
    pub title: String,
    /// Of the vertical axis.
    pub unit: &'static str,
    pub curves: Vec<Series>,
    /// One that most readers want.
    pub main: bool,
}

/// A chart as it is written down: the metrics by name, `*` for any part of a name.
struct Plan {
    title: &'static str,
    unit: &'static str,
    /// Name and label; a star in the label is what the one in the name stands for.
    metrics: &'static [(&'static str, &'static str)],
    main: bool,
}

const fn plan(title: &'static str, unit: &'static str, metrics: &'static [(&'static str, &'static str)]) -> Plan {
    Plan { title, unit, metrics, main: true }
}

const fn more(title: &'static str, unit: &'static str, metrics: &'static [(&'static str, &'static str)]) -> Plan {
    Plan { title, unit, metrics, main: false }
}

const PLANS: [Plan; 28] = [
    plan("Reward", "mean score", &[("reward", "reward")]),
    plan("Experts", "mean score", &[("rewards/*/mean", "*")]),
    plan("Evaluation of painting", "mean score", &[("eval/painting/*", "*")]),
    plan("Evaluation", "mean score", &[("eval/rewards/*", "*"), ("eval/*", "*")]),
    plan("KL against the reference", "nats", &[("kl", "KL"), ("kl/*", "*")]),
    plan(
        "Clip ratio",
        "share of decisions",
        &[("clip_ratio/low", "low"), ("clip_ratio/high", "high"), ("clip_ratio/*", "*")],
    ),
    plan("Gradient norm", "L2 norm", &[("grad_norm", "before scaling"), ("grad_norm/*", "*")]),
    plan("Dynamic Group Scaling", "share", &[("dgs/threshold", "threshold"), ("dgs/pass_rate", "pass rate")]),
    plan("Denoising steps", "per training step", &[("dgs/steps_saved", "saved")]),
    plan("Time per phase", "s", &[("time/rollout", "rollout"), ("time/reward", "reward"), ("time/update", "update")]),
    plan("Entropy", "nats", &[("entropy", "entropy"), ("entropy/*", "*")]),
    more("Noise of the gradient", "variance", &[("signal/*/noise", "*")]),
    more("Cosine of the gradients of two halves of a step", "", &[("signal/*/cosine", "*")]),
    more("Candidates for which signal equals noise", "candidates", &[("signal/*/batch", "*")]),
    more("Signal of the gradient", "squared norm", &[("signal/*", "*")]),
    more("Spread of reward", "standard deviation", &[("reward_std", "reward"), ("advantage_std", "advantages")]),
    more("Spread of experts", "standard deviation", &[("rewards/*/std", "*")]),
    more("Spread of experts within groups", "standard deviation", &[("rewards/*/group_std", "*")]),
    more("Abstentions", "samples", &[("rewards/*/abstained", "*")]),
    more("Failures", "samples", &[("rewards/*/failed", "*")]),
    more(
        "Probability ratio",
        "",
        &[("ratio_mean", "mean"), ("ratio_max", "largest"), ("ratio_mean/*", "mean, *"), ("ratio_max/*", "largest, *")],
    ),
    more("Loss", "", &[("loss", "loss")]),
    more("Learning rate", "", &[("lr", "learning rate"), ("lr/*", "*")]),
    more("Groups with equal rewards", "share", &[("frac_reward_zero_std", "groups")]),
    more("Groups dropped", "groups", &[("groups_dropped", "dropped")]),
    more("Attempts of the filter", "per group", &[("dgs/attempts", "attempts")]),
    more("Denoising steps done", "per training step", &[("dgs/steps_kept", "kept"), ("dgs/steps_dropped", "dropped")]),
    more("Throughput", "samples/s", &[("throughput/samples_per_s", "samples")]),
];

/// What arms are compared in: the metric, the title and the unit of its chart.
const COMPARED: [(&str, &str, &str); 6] = [
    ("reward", "Reward", "mean score"),
    ("dgs/threshold", "Threshold of Dynamic Group Scaling", "score"),
    ("dgs/pass_rate", "Pass rate of Dynamic Group Scaling", "share"),
    ("kl/understanding", "KL of understanding", "nats"),
    ("kl/generation", "KL of generation", "nats"),
    ("throughput/samples_per_s", "Throughput", "samples/s"),
];

/// One curve for each arm that has the metric.
pub fn compared(arms: &[Arm]) -> Vec<Chart> {
    let mut charts = Vec::new();
    for (metric, title, unit) in COMPARED {
        let curve = |arm: &Arm| Series::of(&arm.history, &places(&arm.history), metric, &arm.name);
        push(&mut charts, title, unit, true, arms.iter().filter_map(curve).collect());
    }
    charts
}

/// The charts of a history: those that are planned, in order, then one for each metric that no plan knows. A metric
/// that was never measured has no curve, and a chart without curves is left out.
pub fn charts(history: &[(u64, Metrics)], places: &[Place]) -> Vec<Chart> {
    let mut left: BTreeSet<&str> = history.iter().flat_map(|(_, m)| m.iter().map(|(name, _)| name)).collect();
    let mut charts = Vec::new();
    for plan in &PLANS {
        let mut curves = Vec::new();
        for (pattern, label) in plan.metrics {
            let found: Vec<(&str, &str)> = left.iter().filter_map(|n| Some((*n, matches(n, pattern)?))).collect();
            for (name, star) in found {
                left.remove(name);
                curves.extend(Series::of(history, places, name, &label.replace('*', star)));
            }
        }
        push(&mut charts, plan.title, plan.unit, plan.main, curves);
    }
    for name in left {
        push(&mut charts, name, "", false, Vec::from_iter(Series::of(history, places, name, name)));
    }
    charts
}

/// What the star of `pattern` stands for in `name`, if it matches; the empty text when there is no star.
fn matches<'a>(name: &'a str, pattern: &str) -> Option<&'a str> {
    match pattern.split_once('*') {
        None => (name == pattern).then_some(""),
        Some((start, end)) => name.strip_prefix(start)?.strip_suffix(end).filter(|star| !star.is_empty()),
    }
}

/// Adds the chart of `curves`, or several when there are more than one can tell apart.
fn push(charts: &mut Vec<Chart>, title: &str, unit: &'static str, main: bool, mut curves: Vec<Series>) {
    let mut part = 1;
    while !curves.is_empty() {
        let rest = curves.split_off(curves.len().min(MOST_CURVES));
        let title = if part == 1 { title.to_owned() } else { format!("{title} ({part})") };
        charts.push(Chart { title, unit, curves, main });
        (curves, part) = (rest, part + 1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn titles(names: &[(&str, f64)]) -> Vec<(String, Vec<String>)> {
        let mut metrics = Metrics::new();
        names.iter().for_each(|(name, value)| metrics.insert(*name, *value));
        let history = [(0, metrics)];
        let charts = charts(&history, &places(&history)).into_iter();
        charts.map(|c| (c.title, c.curves.into_iter().map(|s| s.label).collect())).collect()
    }

    #[test]
    fn metrics_share_charts_and_unknown_ones_have_their_own() {
        let found = titles(&[
            ("my/metric", 1.0),
            ("kl", f64::NAN),
            ("rewards/tier/mean", 1.0),
            ("rewards/ber/mean", 1.0),
            ("reward", 1.0),
        ]);
        let expected = [("Reward", vec!["reward"]), ("Experts", vec!["ber", "tier"]), ("my/metric", vec!["my/metric"])];
        let expected = expected.map(|(t, c)| (t.to_owned(), c.into_iter().map(str::to_owned).collect::<Vec<_>>()));
        assert_eq!(found, expected);
    }

    #[test]
    fn more_curves_than_colours_are_split() {
        let names: Vec<String> = (0..8).map(|i| format!("rewards/e{i}/mean")).collect();
        let found = titles(&names.iter().map(|n| (n.as_str(), 1.0)).collect::<Vec<_>>());
        assert_eq!(
            found.iter().map(|(t, c)| (t.as_str(), c.len())).collect::<Vec<_>>(),
            [("Experts", 6), ("Experts (2)", 2)]
        );
    }
}
