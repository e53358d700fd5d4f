//! From embeddings to the vector `S` that TIER compares with the right answer's one-hot vector.

use counterpoint_encoders::dot;
use serde::{Deserialize, Serialize};

/// Vectors shorter than this are rounding: they have no direction. Embeddings have length 1.
const SHORT: f64 = 1e-6;

/// What is done about cosines that crowd. Sentence encoders that were not trained for it put all texts into a narrow cone: with
/// cosines near 0.8 between any two of eight facts, the plain distance `d` is above 2 and the perfect answer scores 0.
///
/// With `r` the embedding of the reasoning, `e_k` those of the K facts, all of length 1, and `c_k = cos(r, e_k)`:
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalise {
    /// `S_k = c_k`, the paper's formula: for encoders that put unlike texts at right angles.
    #[default]
    None,
    /// `S_k = (1 + (K - 1) cos(r - m, e_k - m)) / K` with `m` the mean of the `e_k`: what all facts have in common is taken
    /// away. K facts that are equally far apart then have cosines of `-1 / (K - 1)` with each other, which becomes 0, while 1
    /// stays 1: the perfect answer scores 1 however narrow the cone is. A vector that is no longer than rounding after that has
    /// cosine 0 with all others; a single fact has nothing to be told from and is taken as under `none`.
    Centre,
    /// `S_k = max(c_k, 0) / sum_j max(c_j, 0)`: the cosines as shares of 1, all 0 where none is above 0. It keeps `d` within
    /// `sqrt(2)`, so that a score is never clamped; crowded cosines still give crowded scores.
    Sum,
}

impl Normalise {
    /// `S`, one number per fact, from the embedding of the reasoning and those of the facts, all of length 1 and of one width.
    /// A NaN in an embedding becomes a NaN in `S`.
    pub fn similarities<E: AsRef<[f32]>>(self, reasoning: &[f32], facts: &[E]) -> Vec<f64> {
        let cosines = || facts.iter().map(|fact| dot(reasoning, fact.as_ref()));
        match self {
            Self::Centre if facts.len() > 1 => centred(reasoning, facts),
            Self::None | Self::Centre => cosines().collect(),
            Self::Sum => {
                // Not `max`, which would drop a NaN.
                let shares: Vec<f64> = cosines().map(|c| if c < 0.0 { 0.0 } else { c }).collect();
                match shares.iter().sum::<f64>() {
                    0.0 => shares,
                    sum => shares.iter().map(|share| share / sum).collect(),
                }
            }
        }
    }
}

fn centred<E: AsRef<[f32]>>(reasoning: &[f32], facts: &[E]) -> Vec<f64> {
    let count = facts.len() as f64;
    let mut mean = vec![0.0; reasoning.len()];
    for fact in facts {
        mean.iter_mut().zip(fact.as_ref()).for_each(|(sum, &x)| *sum += f64::from(x) / count);
    }
    let less = |vector: &[f32]| -> Vec<f64> { vector.iter().zip(&mean).map(|(&x, m)| f64::from(x) - m).collect() };
    let reasoning = less(reasoning);
    facts.iter().map(|fact| (1.0 + (count - 1.0) * cosine(&reasoning, &less(fact.as_ref()))) / count).collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (long, wide) = (dot(a, a).sqrt(), dot(b, b).sqrt());
    if long <= SHORT || wide <= SHORT { 0.0 } else { dot(a, b) / (long * wide) }
}
