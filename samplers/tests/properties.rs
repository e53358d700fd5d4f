//! MaskGIT and text for models of any size and settings, against the rules written again on the host.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "../../core/tests/common/properties.rs"]
mod properties;

use burn::tensor::{Device, Int, Tensor, TensorData};
use common::{Writer, candidates, softmax};
use counterpoint::{Candidate, Result};
use counterpoint_samplers::{AutoregressiveConfig, Canvas, ImageModel, ImageScores, MaskGitConfig, MaskSchedule};
use properties::cases;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};

/// Cumulative probabilities on the device are sums in f32.
const ROUNDING: f64 = 1e-5;

/// Scores that differ by position and lean on what is already decided.
#[derive(Debug, Clone)]
struct Leaning {
    /// `[position][code]`.
    table: Vec<Vec<f32>>,
}

impl Leaning {
    fn codes(&self) -> usize {
        self.table[0].len()
    }

    /// Probabilities of every code at `position` of an image that stands at `codes`.
    fn probs(&self, codes: &[u32], position: usize, temperature: f32) -> Vec<f64> {
        softmax(&self.logits(codes, position), f64::from(temperature))
    }

    fn logits(&self, codes: &[u32], position: usize) -> Vec<f32> {
        let sum: u32 = codes.iter().sum();
        let lean = sum as f32 / 8.0;
        self.table[position].iter().enumerate().map(|(k, score)| score + (lean * (k + 1) as f32).sin()).collect()
    }
}

impl ImageModel for Leaning {
    type Prompts = ();

    fn image_tokens(&self) -> usize {
        self.table.len()
    }

    fn codebook_size(&self) -> usize {
        self.codes()
    }

    fn device(&self) -> Device {
        Device::flex()
    }

    fn prepare(&self, _prompts: &[&[u32]], _guidance: f32) -> Result<()> {
        Ok(())
    }

    fn image_scores(&self, (): &(), codes: Tensor<2, Int>) -> ImageScores {
        let [batch, tokens] = codes.dims();
        let codes: Vec<u32> = codes.into_data().iter::<i64>().map(|id| id as u32).collect();
        let rows = codes.chunks(tokens).flat_map(|row| (0..tokens).flat_map(|n| self.logits(row, n)));
        let shape = [batch, tokens, self.codes()];
        Tensor::<3>::from_data(TensorData::new(rows.collect::<Vec<f32>>(), shape), &Device::flex()).into()
    }
}

fn models() -> impl Strategy<Value = Leaning> {
    (1..20_usize, 2..7_usize)
        .prop_flat_map(|(tokens, codes)| vec(vec(-3.0..3.0_f32, codes), tokens))
        .prop_map(|table| Leaning { table })
}

fn schedules() -> impl Strategy<Value = MaskSchedule> {
    prop_oneof![
        Just(MaskSchedule::Cosine),
        Just(MaskSchedule::Linear),
        (0.2..4.0_f32).prop_map(|exponent| MaskSchedule::Power { exponent }),
        (-6.0..-0.5_f32, 0.5..6.0_f32, 0.3..2.0_f32).prop_map(|(start, end, tau)| MaskSchedule::Sigmoid {
            start,
            end,
            tau
        }),
    ]
}

fn configs() -> impl Strategy<Value = MaskGitConfig> {
    let temperature = prop_oneof![Just(0.0_f32), 0.1..4.0_f32];
    (1..9_usize, schedules(), temperature, 0.3..3.0_f32).prop_map(
        |(timesteps, schedule, remask_temperature, token_temperature)| MaskGitConfig {
            timesteps,
            checkpoint_step: 0,
            guidance_scale: 0.0,
            token_temperature,
            remask_temperature,
            schedule,
            ..MaskGitConfig::default()
        },
    )
}

/// Paints `candidates`, pausing at every step of `stops`.
fn paint(model: &Leaning, config: &MaskGitConfig, candidates: &[Candidate], stops: &[usize]) -> Vec<Canvas> {
    let sampler = config.clone().init().unwrap();
    let mut canvases = vec![Canvas::default(); candidates.len()];
    for &stop in stops {
        sampler.advance(model, &(), candidates, &mut canvases, stop).unwrap();
    }
    canvases
}

/// Whether inverting the distribution `probs` at the uniform `u` may give `chosen`.
fn inverts(probs: &[f64], u: f32, chosen: usize) -> bool {
    let total: f64 = probs.iter().sum();
    let below: f64 = probs[..chosen].iter().sum::<f64>() / total;
    let u = f64::from(u);
    probs[chosen] > 0.0 && below - ROUNDING <= u && u <= below + probs[chosen] / total + ROUNDING
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn every_step_masks_the_scheduled_number_again_and_decided_tokens_never_change(
        model in models(), config in configs(), batch in 1..4_u64,
    ) {
        let (n, steps) = (model.image_tokens(), config.timesteps);
        let mask = model.codes() as u32;
        for canvas in paint(&model, &config, &candidates(0..batch), &[steps]) {
            prop_assert_eq!((canvas.step, canvas.chosen.len(), canvas.log_probs.len()), (steps, n * steps, n * steps));
            let mut before = n;
            for t in 0..steps {
                let undecided = &canvas.undecided[t * n..(t + 1) * n];
                prop_assert_eq!(undecided.iter().filter(|u| **u).count(), before, "before step {}", t);
                // What goes into the next step.
                let after: Vec<bool> = match canvas.undecided.get((t + 1) * n..(t + 2) * n) {
                    Some(next) => next.to_vec(),
                    None => canvas.codes.iter().map(|&id| id == mask).collect(),
                };
                // floor(N gamma), between 1 and one fewer than before.
                let gamma = config.schedule.ratio(((t + 1) as f64 / steps as f64) as f32);
                let scheduled = ((n as f32 * gamma).floor() as usize).clamp(1, before.saturating_sub(1).max(1));
                let masked = after.iter().filter(|m| **m).count();
                prop_assert_eq!(masked, scheduled, "after step {}", t);
                before = masked;
                for i in 0..n {
                    prop_assert!(undecided[i] || !after[i], "step {t} masked {i} again, which was decided");
                    let standing = canvas.chosen[t * n + i];
                    prop_assert!(standing < mask);
                    if !after[i] {
                        let next = canvas.chosen.get((t + 1) * n + i).copied().unwrap_or(canvas.codes[i]);
                        prop_assert_eq!(next, standing, "position {} was decided at step {}", i, t);
                    }
                }
            }
            prop_assert_eq!(canvas.prediction(n), &canvas.chosen[(steps - 1) * n..]);
        }
    }

    /// Position `n` of step `t` is drawn with uniform `n` of the candidate's stream for step `t`, so every uniform serves
    /// one decision; likewise the noise of the re-masking.
    #[test]
    fn every_decision_has_its_own_uniform(model in models(), config in configs(), batch in 1..4_u64) {
        let (n, steps) = (model.image_tokens(), config.timesteps);
        let mask = model.codes() as u32;
        let candidates = candidates(0..batch);
        for (candidate, canvas) in candidates.iter().zip(paint(&model, &config, &candidates, &[steps])) {
            let mut standing = vec![mask; n];
            let mut annealed = config.remask_temperature;
            for t in 0..steps {
                let uniforms = candidate.stream("image.token", t as u64).uniforms(n);
                let noise = candidate.stream("image.remask", t as u64).uniforms(n);
                annealed *= 1.0 - (t + 1) as f32 / steps as f32;
                let range = t * n..(t + 1) * n;
                let (chosen, log_probs) = (&canvas.chosen[range.clone()], &canvas.log_probs[range]);
                let mut confidence = Vec::new();
                for i in 0..n {
                    let probs = model.probs(&standing, i, config.token_temperature);
                    let (code, log_prob) = (chosen[i] as usize, f64::from(log_probs[i]));
                    prop_assert!((log_prob - probs[code].ln()).abs() < 1e-4, "{log_prob} {probs:?}");
                    if standing[i] == mask {
                        prop_assert!(inverts(&probs, uniforms[i], code), "step {t}, position {i}: {}", uniforms[i]);
                    }
                    let gumbel = -(-f64::from(noise[i]).ln()).ln();
                    confidence.push(log_prob + f64::from(annealed) * gumbel);
                }
                let after = match canvas.undecided.get((t + 1) * n..(t + 2) * n) {
                    Some(next) => next.to_vec(),
                    None => canvas.codes.iter().map(|&id| id == mask).collect::<Vec<_>>(),
                };
                // Of those undecided, the ones masked again are the least confident.
                let open = |i: &usize| standing[*i] == mask;
                let masked = (0..n).filter(open).filter(|&i| after[i]).map(|i| confidence[i]);
                let kept = (0..n).filter(open).filter(|&i| !after[i]).map(|i| confidence[i]);
                let (most, least) = (masked.fold(f64::NEG_INFINITY, f64::max), kept.fold(f64::INFINITY, f64::min));
                prop_assert!(most <= least + 1e-3, "step {t}: {most} was masked again and {least} kept");
                standing = (0..n).map(|i| if after[i] { mask } else { chosen[i] }).collect();
            }
            prop_assert_eq!(standing, canvas.codes);
        }
    }

    #[test]
    fn neither_the_batch_nor_a_pause_changes_a_candidate(
        model in models(), config in configs(), order in Just((0..4).collect::<Vec<_>>()).prop_shuffle(),
        (batch, stop) in (1..5_usize, 0..9_usize),
    ) {
        let all = paint(&model, &config, &candidates(0..4), &[config.timesteps]);
        let some: Vec<Candidate> = order[..batch].iter().map(|&i| candidates(i..i + 1)[0]).collect();
        let paused = paint(&model, &config, &some, &[stop.min(config.timesteps), config.timesteps]);
        for (&i, canvas) in order.iter().zip(paused) {
            prop_assert_eq!(&canvas, &all[i as usize]);
        }
    }

    #[test]
    fn every_token_of_a_text_has_its_own_uniform_and_is_one_of_those_allowed(
        (table, stop) in (2..8_usize).prop_flat_map(|v| (vec(vec(-3.0..3.0_f32, v), v), vec(0..v as u32, 0..2))),
        config in (1..7_usize, 0.3..2.0_f32, 0..9_usize, prop_oneof![Just(1.0_f32), 0.05..1.0_f32]).prop_map(
            |(max_new_tokens, temperature, top_k, top_p)| AutoregressiveConfig {
                max_new_tokens, temperature, top_k, top_p,
            },
        ),
        batch in 1..4_u64,
    ) {
        let writer = Writer { table, stop };
        let candidates = candidates(0..batch);
        let texts = config.clone().init().unwrap().generate(&writer, &[0], &candidates).unwrap();
        for (candidate, text) in candidates.iter().zip(texts) {
            let mut last = 0;
            let uniforms = candidate.stream("text.token", 0).uniforms(config.max_new_tokens);
            for (position, (&token, &log_prob)) in text.tokens.iter().zip(&text.log_probs).enumerate() {
                let probs = softmax(&writer.table[last], f64::from(config.temperature));
                prop_assert!((f64::from(log_prob) - probs[token as usize].ln()).abs() < 1e-4);
                let (kept, order) = allowed(&probs, config.top_k, f64::from(config.top_p));
                let place = order.iter().position(|&id| id == token as usize).unwrap();
                prop_assert!(
                    inverts(&kept, uniforms[position], place),
                    "position {position}: {token} for {}", uniforms[position]
                );
                let ends = writer.stop.contains(&token) || position + 1 == config.max_new_tokens;
                prop_assert_eq!(ends, position + 1 == text.tokens.len(), "{:?}", text.tokens);
                last = token as usize;
            }
        }
    }
}

/// Probabilities that are drawn from, and the tokens they belong to: as they are where nothing is cut off, else from the
/// most probable down, 0 for what top-k or top-p cuts off.
fn allowed(probs: &[f64], top_k: usize, top_p: f64) -> (Vec<f64>, Vec<usize>) {
    let mut order: Vec<usize> = (0..probs.len()).collect();
    let k = if top_k == 0 { probs.len() } else { top_k.min(probs.len()) };
    if k == probs.len() && top_p >= 1.0 {
        return (probs.to_vec(), order);
    }
    order.sort_by(|&a, &b| probs[b].total_cmp(&probs[a]));
    let mass: f64 = order[..k].iter().map(|&i| probs[i]).sum();
    let mut before = 0.0;
    let kept = order.iter().enumerate().map(|(place, &i)| {
        let keeps = place < k && before < top_p * mass;
        before += probs[i];
        if keeps { probs[i] } else { 0.0 }
    });
    (kept.collect(), order)
}
