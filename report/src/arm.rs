//! What is compared with others in one report.

use std::collections::BTreeMap;

use counterpoint::metrics::Metrics;

use crate::series::mean;

/// A recipe among others: the mean of its runs, step by step.
#[derive(Debug, Clone)]
pub struct Arm {
    pub(crate) name: String,
    pub(crate) history: Vec<(u64, Metrics)>,
}

impl Arm {
    /// The arm `name` with the histories of its runs, as one for each seed. Of each step and metric the mean over the runs that
    /// have a finite value of it.
    pub fn new<'a>(name: impl Into<String>, runs: impl IntoIterator<Item = &'a [(u64, Metrics)]>) -> Self {
        let mut steps: BTreeMap<u64, BTreeMap<String, Vec<f64>>> = BTreeMap::new();
        for (step, metrics) in runs.into_iter().flatten() {
            let values = steps.entry(*step).or_default();
            metrics.iter().for_each(|(name, value)| values.entry(name.to_owned()).or_default().push(value));
        }
        let means = |values: BTreeMap<String, Vec<f64>>| {
            let mut metrics = Metrics::new();
            values.into_iter().for_each(|(name, values)| metrics.insert(name, mean(values.into_iter())));
            metrics
        };
        Self { name: name.into(), history: steps.into_iter().map(|(step, values)| (step, means(values))).collect() }
    }
}
