//! Autoregressive text: what is drawn under temperature, top-k and top-p, and when it stops.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Writer, candidates, chi_square, softmax};
use counterpoint_samplers::{AutoregressiveConfig, Continuation};

const LOGITS: [f32; 5] = [2.0, 1.0, 0.0, -1.0, 1.5];

/// Every token is followed by the same distribution; nothing stops.
fn writer() -> Writer {
    Writer { table: vec![LOGITS.to_vec(); 5], stop: vec![] }
}

fn write(writer: &Writer, config: AutoregressiveConfig, range: std::ops::Range<u64>) -> Vec<Continuation> {
    config.init().unwrap().generate(writer, &[0], &candidates(range)).unwrap()
}

fn counts(config: AutoregressiveConfig) -> Vec<usize> {
    let mut counts = vec![0; 5];
    let config = AutoregressiveConfig { max_new_tokens: 20, ..config };
    for text in write(&writer(), config, 0..500) {
        text.tokens.iter().for_each(|&id| counts[id as usize] += 1);
    }
    counts
}

/// The distribution `keep` renormalised.
fn only(keep: &[usize], probs: &[f64]) -> Vec<f64> {
    let sum: f64 = keep.iter().map(|&i| probs[i]).sum();
    (0..probs.len()).map(|i| if keep.contains(&i) { probs[i] / sum } else { 0.0 }).collect()
}

#[test]
fn tokens_follow_the_tempered_distribution() {
    for temperature in [0.7_f32, 1.0, 1.6] {
        let counts = counts(AutoregressiveConfig { temperature, ..Default::default() });
        let probs = softmax(&LOGITS, f64::from(temperature));
        assert!(chi_square(&counts, &probs) < 18.5, "{temperature}: {counts:?}");
    }
}

#[test]
fn top_k_and_top_p_draw_from_the_most_probable_renormalised() {
    let probs = softmax(&LOGITS, 1.0);
    let cases: [(usize, f32, &[usize]); 4] = [
        (2, 1.0, &[0, 4]),
        (1, 1.0, &[0]),
        // 0.44 + 0.27 reach 0.6; a third token is needed for 0.8.
        (0, 0.6, &[0, 4]),
        (0, 0.8, &[0, 4, 1]),
    ];
    for (top_k, top_p, keep) in cases {
        let counts = counts(AutoregressiveConfig { top_k, top_p, ..Default::default() });
        let expected = only(keep, &probs);
        let outside: usize = counts.iter().zip(&expected).filter(|(_, p)| **p == 0.0).map(|(c, _)| c).sum();
        assert_eq!(outside, 0, "top_k {top_k}, top_p {top_p}: {counts:?}");
        assert!(chi_square(&counts, &expected) < 18.5, "top_k {top_k}, top_p {top_p}: {counts:?}");
    }
}

#[test]
fn log_probabilities_are_those_of_the_tempered_distribution_over_all_tokens() {
    let config = AutoregressiveConfig { temperature: 0.7, top_k: 2, max_new_tokens: 5, ..Default::default() };
    let probs = softmax(&LOGITS, 0.7);
    for text in write(&writer(), config, 0..10) {
        for (&id, &log_prob) in text.tokens.iter().zip(&text.log_probs) {
            assert!((f64::from(log_prob) - probs[id as usize].ln()).abs() < 1e-5);
        }
    }
}

#[test]
fn greedy_takes_the_most_probable_and_scores_it_untempered() {
    let config = AutoregressiveConfig { temperature: 0.0, max_new_tokens: 3, ..Default::default() };
    let text = write(&writer(), config, 0..1).remove(0);
    assert_eq!(text.tokens, [0, 0, 0]);
    assert!((f64::from(text.log_probs[0]) - softmax(&LOGITS, 1.0)[0].ln()).abs() < 1e-5);
}

#[test]
fn each_candidate_stops_on_its_own_and_keeps_its_stop_token() {
    let writer = Writer { stop: vec![1], ..writer() };
    let texts = write(&writer, AutoregressiveConfig { max_new_tokens: 40, ..Default::default() }, 0..50);
    for text in &texts {
        let stop = text.tokens.iter().position(|&id| id == 1);
        assert!(stop.is_none_or(|at| at + 1 == text.tokens.len()), "{:?}", text.tokens);
        assert_eq!(text.tokens.len(), text.log_probs.len());
    }
    let lengths: std::collections::HashSet<usize> = texts.iter().map(|t| t.tokens.len()).collect();
    assert!(lengths.len() > 5);
}

#[test]
fn a_candidate_does_not_depend_on_its_batch() {
    let writer = Writer { stop: vec![1], ..writer() };
    let config = AutoregressiveConfig { max_new_tokens: 10, ..Default::default() };
    let all = write(&writer, config.clone(), 0..6);
    for i in [0, 2, 5] {
        assert_eq!(write(&writer, config.clone(), i..i + 1)[0], all[i as usize]);
    }
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let refused = |config: AutoregressiveConfig| config.init().unwrap_err().to_string();
    assert!(refused(AutoregressiveConfig { max_new_tokens: 0, ..Default::default() }).contains("max_new_tokens"));
    assert!(refused(AutoregressiveConfig { temperature: -0.5, ..Default::default() }).contains("temperature"));
    assert!(refused(AutoregressiveConfig { top_p: 0.0, ..Default::default() }).contains("top_p"));
}
