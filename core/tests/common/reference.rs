//! The objective written again in plain f64, one decision at a time: loss, gradient and statistics of a recorded group.

use counterpoint::objective::{Advantage, Kl, Normalization, Ratio, StepSampling};
use counterpoint::updater::{BatchDraw, Replayed, accumulate};
use counterpoint::{Group, ImagePositions, Key, LossStats, Objective, Streams, SyncGrpoConfig};
use serde::Deserialize;

use super::{TablePolicy, trajectory};

/// A group with its log-probabilities at sampling time, now and under the reference.
#[derive(Debug, Clone, Deserialize)]
pub struct Recorded {
    /// Image positions per denoising step.
    pub per_step: usize,
    pub rewards: Vec<f64>,
    pub candidates: Vec<Decisions>,
}

/// Log-probabilities of one candidate's text and image.
#[derive(Debug, Clone, Deserialize)]
pub struct Decisions {
    pub old: [Vec<f64>; 2],
    pub current: [Vec<f64>; 2],
    pub reference: [Vec<f64>; 2],
    pub undecided: Vec<bool>,
}

/// What the reference says of a group.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    pub loss: f64,
    /// Derivative by every current log-probability, text before image, candidate after candidate. A sequence's ratio
    /// passes its gradient to every decision alike, as GSPO-token does.
    pub gradient: Vec<f64>,
    /// Largest weight of a decision, the unit of rounding errors of the gradient.
    pub weight: f64,
    /// Sum over decisions of weight times the size of what is weighed, the unit of rounding errors of the loss.
    pub magnitude: f64,
    /// Sums over the scored decisions, as the engine reports them; `loss` is left out.
    pub stats: LossStats,
}

/// One decision of a candidate.
struct Decision {
    /// Its place in the flat table of current log-probabilities.
    place: usize,
    old: f64,
    reference: f64,
    a: f64,
    /// 0 of a text, 1 of an image.
    half: usize,
    /// How many decisions it stands for.
    often: f64,
}

const STREAMS: fn() -> Streams = || Streams::new(3);

impl Recorded {
    /// The engine's replay in chunks of `chunk`, with the draw of denoising steps of `step`, and its gradient.
    pub fn replay(&self, config: &SyncGrpoConfig, chunk: usize, step: u64) -> (Replayed, Vec<f64>) {
        let objective = config.clone().init().unwrap();
        let tables = |pick: fn(&Decisions) -> &[Vec<f64>; 2]| {
            self.candidates.iter().map(|c| pick(c).clone()).collect::<Vec<_>>()
        };
        let mut policy = TablePolicy::new(&tables(|c| &c.current), &tables(|c| &c.reference));
        let trajectories = (0_u64..)
            .zip(&self.candidates)
            .map(|(i, c)| trajectory(i, &c.old, c.undecided.clone(), self.per_step))
            .collect();
        let group = Group::new(5, trajectories, objective.advantages(&self.rewards));
        let draw = BatchDraw { streams: STREAMS(), step };
        let replayed = accumulate(&mut policy, &objective, &[group], chunk, Some(&draw)).unwrap();
        assert_eq!(replayed.non_finite, None);
        (replayed, policy.gradient())
    }

    /// The current log-probabilities in the order of the gradient.
    pub fn flat(&self) -> Vec<f64> {
        self.candidates.iter().flat_map(|c| c.current.iter().flatten().copied()).collect()
    }

    /// The denoising steps that [`replay`](Self::replay) draws for each candidate.
    pub fn drawn(&self, config: &SyncGrpoConfig, step: u64) -> Vec<Vec<(usize, f64)>> {
        let subset = |(candidate, c): (u64, &Decisions)| match (config.denoising_steps, self.steps(c)) {
            (Some(k), all) if k < all => {
                let key = Key { step, task: 5, candidate };
                let mut stream = STREAMS().stream(key, "update.denoising_steps", 0);
                match config.step_sampling {
                    StepSampling::Uniform => {
                        stream.subset(k, all).into_iter().map(|t| (t, all as f64 / k as f64)).collect()
                    }
                    StepSampling::Stratified => {
                        let edges: Vec<usize> = (0..=k).map(|i| i * all / k).collect();
                        let one = |run: &[usize]| (run[0] + stream.below(run[1] - run[0]), (run[1] - run[0]) as f64);
                        edges.windows(2).map(one).collect()
                    }
                }
            }
            (_, all) => (0..all).map(|t| (t, 1.0)).collect(),
        };
        (0..).zip(&self.candidates).map(subset).collect()
    }

    fn steps(&self, candidate: &Decisions) -> usize {
        candidate.old[1].len() / self.per_step
    }

    /// The reference, at `current` log-probabilities, where `steps[i]` are the scored denoising steps of candidate `i`.
    pub fn expected(&self, c: &SyncGrpoConfig, current: &[f64], steps: &[Vec<(usize, f64)>]) -> Expected {
        let g = self.rewards.len() as f64;
        let mean = self.rewards.iter().sum::<f64>() / g;
        let std = (self.rewards.iter().map(|r| (r - mean) * (r - mean)).sum::<f64>() / (g - 1.0)).sqrt();
        let (candidates, lengths) = self.decisions(c, steps);
        let mut expected = Expected { gradient: vec![0.0; current.len()], ..Expected::default() };
        for (i, decisions) in candidates.iter().enumerate() {
            let advantage = match c.advantage {
                Advantage::Centered => self.rewards[i] - mean,
                Advantage::Standardized => (self.rewards[i] - mean) / (std + 1e-4),
                Advantage::LeaveOneOut => {
                    let others = self.rewards.iter().sum::<f64>() - self.rewards[i];
                    self.rewards[i] - others / (g - 1.0)
                }
            };
            let share = |half: usize| match c.normalization {
                Normalization::Sum => 1.0 / g,
                Normalization::LengthMean => 1.0 / (g * (lengths[i][0] + lengths[i][1])),
                Normalization::SegmentMean => 1.0 / (g * lengths[i][half]),
                Normalization::TokenMean => 1.0 / lengths.iter().flatten().sum::<f64>(),
            };
            let often: f64 = decisions.iter().map(|d| d.often).sum();
            let log_ratio = |d: &Decision| current[d.place] - d.old;
            let sequence = (decisions.iter().map(|d| d.often * log_ratio(d)).sum::<f64>() / often).exp();
            for decision in decisions {
                let ratio = match c.ratio {
                    Ratio::Token => log_ratio(decision).exp(),
                    Ratio::Sequence => sequence,
                };
                let (low, high) = (1.0 - c.clip_low, 1.0 + c.clip_high);
                // The minimum of both products takes the clipped one where clipping makes it smaller.
                let clipped = if advantage > 0.0 { ratio > high } else { advantage < 0.0 && ratio < low };
                let surrogate = if clipped { ratio.clamp(low, high) * advantage } else { ratio * advantage };
                let d = decision.reference - current[decision.place];
                // Without a weight nothing is measured.
                let (kl, kl_slope) = match if c.beta > 0.0 { c.kl } else { Kl::None } {
                    Kl::K1 => (-d, 1.0),
                    Kl::K2 => (d * d / 2.0, -d),
                    Kl::K3 => (d.exp() - d - 1.0, 1.0 - d.exp()),
                    Kl::None => (0.0, 0.0),
                };
                let weight = share(decision.half) * decision.often * decision.a;
                let slope = if clipped { 0.0 } else { ratio * advantage };
                expected.loss -= weight * (surrogate - c.beta * kl);
                expected.gradient[decision.place] -= weight * (slope - c.beta * kl_slope);
                expected.magnitude += weight * (1.0 + surrogate.abs() + c.beta * kl.abs());
                expected.weight = expected.weight.max(weight * (1.0 + ratio * advantage.abs() + c.beta));
                if weight > 0.0 {
                    let stats = &mut expected.stats;
                    stats.count += 1.0;
                    stats.kl += kl;
                    stats.ratio += ratio;
                    stats.ratio_max = stats.ratio_max.max(ratio);
                    stats.clipped_low += f64::from(clipped && advantage < 0.0);
                    stats.clipped_high += f64::from(clipped && advantage > 0.0);
                }
            }
        }
        expected
    }

    /// The scored decisions of every candidate, and their number in text and image before any subset of steps.
    fn decisions(&self, c: &SyncGrpoConfig, steps: &[Vec<(usize, f64)>]) -> (Vec<Vec<Decision>>, Vec<[f64; 2]>) {
        let mut place = 0;
        let mut all = Vec::new();
        let mut lengths = Vec::new();
        for (candidate, chosen) in self.candidates.iter().zip(steps) {
            let mut decisions = Vec::new();
            let mut length = [0.0; 2];
            for (&old, &reference) in candidate.old[0].iter().zip(&candidate.reference[0]) {
                decisions.push(Decision { place, old, reference, a: c.a_und, half: 0, often: 1.0 });
                place += 1;
                length[0] += 1.0;
            }
            for (j, (&old, &reference)) in candidate.old[1].iter().zip(&candidate.reference[1]).enumerate() {
                let later = candidate.undecided.get(j + self.per_step) == Some(&true);
                let scored = match c.image_positions {
                    ImagePositions::All => true,
                    ImagePositions::Masked => candidate.undecided[j],
                    ImagePositions::Revealed => candidate.undecided[j] && !later,
                    ImagePositions::RemaskFinal => unreachable!("nothing recorded is scored"),
                };
                length[1] += f64::from(scored);
                if let Some(&(_, often)) = chosen.iter().find(|(t, _)| scored && *t == j / self.per_step) {
                    decisions.push(Decision { place, old, reference, a: c.a_gen, half: 1, often });
                }
                place += 1;
            }
            all.push(decisions);
            lengths.push(length);
        }
        (all, lengths)
    }
}
