//! MaskGIT: the schedule, the invariants of a rollout, and what it draws.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use burn::tensor::{Bool, Device, Int, Tensor};
use common::{Painter, candidates, chi_square, softmax};
use counterpoint_samplers::{
    Canvas, ImageModel, ImageScores, MaskGitConfig, MaskSchedule, RevealOrder, least_confident,
};

fn painter() -> Painter {
    Painter { tokens: 16, logits: vec![1.0, 0.0, -1.0, 0.5, 2.0] }
}

fn config() -> MaskGitConfig {
    MaskGitConfig { timesteps: 6, guidance_scale: 0.0, ..MaskGitConfig::default() }
}

fn paint(config: &MaskGitConfig, range: std::ops::Range<u64>, stops: &[usize]) -> Vec<Canvas> {
    let (painter, candidates) = (painter(), candidates(range));
    let sampler = config.clone().init().unwrap();
    let prompts = painter.prepare(&vec![&[][..]; candidates.len()], 0.0).unwrap();
    let mut canvases = vec![Canvas::default(); candidates.len()];
    for &stop in stops {
        sampler.advance(&painter, &prompts, &candidates, &mut canvases, stop).unwrap();
    }
    canvases
}

#[test]
fn mask_lengths_are_those_of_the_public_code() {
    let golden: BTreeMap<String, Vec<usize>> =
        serde_json::from_str(include_str!("fixtures/mask_lengths.json")).unwrap();
    assert_eq!(golden.len(), 15);
    for (key, expected) in golden {
        let mut words = key.split(' ');
        let schedule = match words.next().unwrap() {
            "cosine" => MaskSchedule::Cosine,
            "linear" => MaskSchedule::Linear,
            "pow2" => MaskSchedule::Power { exponent: 2.0 },
            "pow0.5" => MaskSchedule::Power { exponent: 0.5 },
            "sigmoid" => MaskSchedule::Sigmoid { start: -3.0, end: 3.0, tau: 1.0 },
            other => panic!("{other}"),
        };
        let [steps, tokens]: [usize; 2] =
            [words.next().unwrap().parse().unwrap(), words.next().unwrap().parse().unwrap()];
        let mut undecided = tokens;
        for (step, expected) in expected.into_iter().enumerate() {
            undecided = schedule.remask(step, steps, tokens, undecided);
            assert_eq!(undecided, expected, "{key}, step {step}");
        }
    }
}

#[test]
fn each_step_masks_the_scheduled_number_again_and_decided_tokens_stay() {
    for schedule in [MaskSchedule::Cosine, MaskSchedule::Linear, MaskSchedule::Power { exponent: 0.5 }] {
        for canvas in paint(&MaskGitConfig { schedule, ..config() }, 0..5, &[6]) {
            let (n, steps) = (16, 6);
            assert_eq!((canvas.step, canvas.chosen.len(), canvas.codes.len()), (steps, n * steps, n));
            let mut before = n;
            for t in 0..steps {
                let undecided = &canvas.undecided[t * n..(t + 1) * n];
                assert_eq!(undecided.iter().filter(|&&u| u).count(), before);
                if t > 0 {
                    let last = (t - 1) * n;
                    for (i, &undecided) in undecided.iter().enumerate() {
                        assert!(canvas.undecided[last + i] || !undecided, "a decided token was masked again");
                        if !undecided {
                            assert_eq!(canvas.chosen[t * n + i], canvas.chosen[last + i]);
                        }
                    }
                }
                before = schedule.remask(t, steps, n, before);
            }
            assert_eq!(canvas.prediction(n), &canvas.chosen[(steps - 1) * n..]);
        }
    }
}

#[test]
fn tokens_are_drawn_from_the_models_distribution_and_recorded_at_its_log_probability() {
    let probs = softmax(&painter().logits, 1.0);
    let canvases = paint(&config(), 0..400, &[1]);
    let mut counts = vec![0; probs.len()];
    for canvas in &canvases {
        for (&id, &log_prob) in canvas.chosen.iter().zip(&canvas.log_probs) {
            counts[id as usize] += 1;
            assert!((f64::from(log_prob) - probs[id as usize].ln()).abs() < 1e-5);
        }
    }
    // 99.9 % quantile of chi-square with 4 degrees of freedom.
    assert!(chi_square(&counts, &probs) < 18.5, "{counts:?}");
}

#[test]
fn a_candidate_does_not_depend_on_its_batch() {
    let all = paint(&config(), 0..8, &[6]);
    for i in [0, 3, 7] {
        assert_eq!(paint(&config(), i..i + 1, &[6])[0], all[i as usize]);
    }
    assert_ne!(all[0], all[1]);
}

#[test]
fn two_phases_are_one() {
    assert_eq!(paint(&config(), 0..4, &[2, 6]), paint(&config(), 0..4, &[6]));
}

#[test]
fn without_temperature_the_least_confident_are_masked_again_and_of_equals_the_first() {
    let device = Device::flex();
    let confidence = Tensor::from_floats([[-1.0, -3.0, -2.0, -3.0, -9.0]], &device);
    let undecided =
        Tensor::<2, Bool>::from_bool(burn::tensor::TensorData::from([[true, true, true, true, false]]), &device);
    let mask = |count| {
        let mask = least_confident(confidence.clone(), undecided.clone(), count);
        mask.into_data().iter::<bool>().collect::<Vec<_>>()
    };
    assert_eq!(mask(1), [false, true, false, false, false]);
    assert_eq!(mask(3), [false, true, true, true, false]);
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let refused = |config: MaskGitConfig| config.init().unwrap_err().to_string();
    assert!(refused(MaskGitConfig { timesteps: 0, ..config() }).contains("timesteps: expected at least 1"));
    assert!(refused(MaskGitConfig { checkpoint_step: 7, ..config() }).contains("at most timesteps = 6, got 7"));
    assert!(refused(MaskGitConfig { remask_temperature: -1.0, ..config() }).contains("remask_temperature"));
    assert!(
        refused(MaskGitConfig { token_temperature: 0.0, ..config() })
            .contains("token_temperature: expected a number above 0")
    );
    assert!(refused(MaskGitConfig { guidance_scale: f32::NAN, ..config() }).contains("guidance_scale"));
    let schedule = MaskSchedule::Power { exponent: 0.0 };
    assert!(refused(MaskGitConfig { schedule, ..config() }).contains("exponent"));
}

/// Scores of every position, whatever the image; `conditional` are told apart from the guided ones where there are any.
struct Given {
    guided: Vec<[f32; 3]>,
    conditional: Vec<[f32; 3]>,
}

impl ImageModel for Given {
    type Prompts = usize;

    fn image_tokens(&self) -> usize {
        self.guided.len()
    }

    fn codebook_size(&self) -> usize {
        3
    }

    fn device(&self) -> Device {
        Device::flex()
    }

    fn prepare(&self, prompts: &[&[u32]], _guidance: f32) -> counterpoint::Result<usize> {
        Ok(prompts.len())
    }

    fn image_scores(&self, batch: &usize, _codes: Tensor<2, Int>) -> ImageScores {
        let all = |rows: &[[f32; 3]]| {
            let flat = Tensor::<1>::from_floats(&rows.concat()[..], &Device::flex());
            flat.reshape([1, rows.len(), 3]).expand([*batch, rows.len(), 3])
        };
        ImageScores { guided: all(&self.guided), conditional: all(&self.conditional) }
    }
}

#[test]
fn guidance_may_shape_what_is_drawn_and_stay_out_of_what_is_recorded() {
    let given = Given { guided: vec![[4.0, 0.0, 0.0]; 8], conditional: vec![[0.0, 1.0, 0.0]; 8] };
    let log_softmax = |scores: [f32; 3]| {
        let sum: f32 = scores.iter().map(|s| (s / 2.0).exp()).sum();
        scores.map(|s| s / 2.0 - sum.ln())
    };
    for (score_guidance, scale, expected) in [
        (true, 2.0, log_softmax([4.0, 0.0, 0.0])),
        (false, 2.0, log_softmax([0.0, 1.0, 0.0])),
        // Without guidance there is nothing to leave out.
        (false, 0.0, log_softmax([4.0, 0.0, 0.0])),
    ] {
        let config = MaskGitConfig {
            timesteps: 4,
            guidance_scale: scale,
            score_guidance,
            token_temperature: 2.0,
            ..MaskGitConfig::default()
        };
        assert_eq!(config.scored_guidance(), if score_guidance { scale } else { 0.0 });
        let sampler = config.init().unwrap();
        let candidates = candidates(0..6);
        let mut canvases = vec![Canvas::default(); 6];
        sampler.advance(&given, &6, &candidates, &mut canvases, 4).unwrap();
        let chosen: Vec<u32> = canvases.iter().flat_map(|c| c.chosen.clone()).collect();
        let zeros = chosen.iter().filter(|code| **code == 0).count() as f64 / chosen.len() as f64;
        assert!(zeros > 0.7, "what is drawn is guided: {zeros}");
        for canvas in &canvases {
            for (code, got) in canvas.chosen.iter().zip(&canvas.log_probs) {
                assert!((got - expected[*code as usize]).abs() < 1e-5, "{score_guidance} {code}: {got}");
            }
        }
    }
}

/// In which positions the first step decides, over many images: how often each.
fn decided_first(order: RevealOrder) -> Vec<f64> {
    // Sure of position 0, and less of each one after it.
    let scores: Vec<[f32; 3]> = (0..6).map(|position| [12.0 - 2.0 * position as f32, 0.0, 0.0]).collect();
    let sure = Given { guided: scores.clone(), conditional: scores };
    const IMAGES: u64 = 3000;
    let schedule = MaskSchedule::Linear;
    let config = MaskGitConfig { timesteps: 3, guidance_scale: 0.0, order, schedule, ..MaskGitConfig::default() };
    let candidates = candidates(0..IMAGES);
    let mut canvases = vec![Canvas::default(); IMAGES as usize];
    config.init().unwrap().advance(&sure, &(IMAGES as usize), &candidates, &mut canvases, 1).unwrap();
    let share = |position: usize| canvases.iter().filter(|c| c.codes[position] != 3).count() as f64 / IMAGES as f64;
    (0..6).map(share).collect()
}

#[test]
fn a_random_order_asks_the_model_nothing_and_a_confident_one_does() {
    let shares = decided_first(RevealOrder::Random);
    // As many in every image, so that the shares of positions add up to a whole number: each its part of it, within 4.5
    // standard errors.
    let even = shares.iter().sum::<f64>() / 6.0;
    assert!((0.3..=0.5).contains(&even), "{shares:?}");
    for share in shares {
        assert!((share - even).abs() < 4.5 * (even * (1.0 - even) / 3000.0).sqrt(), "{share}");
    }
    let confident = decided_first(RevealOrder::Confidence);
    assert!(confident[0] - confident[5] > 0.1, "{confident:?}");
}
