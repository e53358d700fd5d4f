//! BLEU of one sentence against another (Papineni et al., 2002).

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// What a sentence is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Unicode scalar values, as in UniCTokens' evaluation, which is made for Chinese as well.
    Characters,
    /// What whitespace separates.
    Words,
}

/// How BLEU weighs n-grams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bleu {
    /// What n-grams are of.
    pub unit: Unit,
    /// Weight of the precision of 1-grams, 2-grams, ...
    pub weights: Vec<f64>,
}

impl Default for Bleu {
    /// UniCTokens' own: characters, 0.7 for single ones and 0.3 for pairs.
    fn default() -> Self {
        Self { unit: Unit::Characters, weights: vec![0.7, 0.3] }
    }
}

/// What a precision without any match counts as, in matches (method 1 of Chen and Cherry, 2014).
const EPSILON: f64 = 0.1;

impl Bleu {
    /// BLEU of `candidate` against `reference`, in 0..=1: the brevity penalty times the weighted geometric mean of the clipped precisions, those without
    /// a match smoothed by method 1. Equal to nltk's `sentence_bleu` with that smoothing; 0 where not even a single unit
    /// matches.
    pub fn score(&self, reference: &str, candidate: &str) -> f64 {
        let cut = |text: &str| -> Vec<String> {
            match self.unit {
                Unit::Characters => text.chars().map(String::from).collect(),
                Unit::Words => text.split_whitespace().map(str::to_owned).collect(),
            }
        };
        let (reference, candidate) = (cut(reference), cut(candidate));
        if matches(&reference, &candidate, 1) == 0 {
            return 0.0;
        }
        let logs = self.weights.iter().zip(1..).map(|(weight, n)| {
            let among = (candidate.len() + 1).saturating_sub(n).max(1) as f64;
            let matched = match matches(&reference, &candidate, n) {
                0 => EPSILON,
                matched => matched as f64,
            };
            weight * (matched / among).ln()
        });
        let brevity = match candidate.len() > reference.len() {
            true => 1.0,
            false => (1.0 - reference.len() as f64 / candidate.len() as f64).exp(),
        };
        brevity * logs.sum::<f64>().exp()
    }
}

/// How many n-grams of `candidate` are in `reference`, each as often as it is there at most.
fn matches(reference: &[String], candidate: &[String], n: usize) -> usize {
    let count = |units: &[String]| {
        let mut counts: HashMap<Vec<String>, usize> = HashMap::new();
        units.windows(n).for_each(|gram| *counts.entry(gram.to_vec()).or_default() += 1);
        counts
    };
    let reference = count(reference);
    count(candidate).iter().map(|(gram, times)| (*times).min(reference.get(gram).copied().unwrap_or(0))).sum()
}
