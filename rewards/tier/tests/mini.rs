//! The committed tower tells the facts of the miniature world apart.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use burn::tensor::Device;
use counterpoint::{Reward, Sample, Task};
use counterpoint_tier::TierConfig;
use serde_json::json;

fn score(responses: &[&str], facts: &[&str], target: usize) -> Vec<f64> {
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/unifybench/assets/towers/tier");
    let mut expert = TierConfig::new(weights).init(&Device::flex()).unwrap();
    let task = Task::new(0, "").with_class("person").with_params(json!({ "facts": facts, "target": target }));
    let sample = |response: &&str| Sample::new(&task, 0, String::new(), (*response).into(), None);
    let samples: Vec<Sample> = responses.iter().map(sample).collect();
    expert.score(&samples).unwrap().iter().map(|s| s.value().unwrap()).collect()
}

#[test]
fn a_fact_told_in_part_is_worth_less_than_the_whole() {
    let facts = ["beach red hat.", "city blue kite.", "park yellow balloon.", "castle red scarf."];
    for (target, fact) in facts.iter().enumerate() {
        let words: Vec<&str> = fact.trim_end_matches('.').split(' ').collect();
        let (thing, place) = (format!("{} {}.", words[0], words[2]), format!("{}.", words[0]));
        let scores = score(&[fact, &thing, &place], &facts, target);
        assert!(scores[0] > scores[1] + 0.05 && scores[1] > scores[2], "{fact} {scores:?}");
    }
}

#[test]
fn the_fitting_fact_beats_a_near_one_and_a_near_one_beats_another() {
    let facts = ["beach red hat.", "city blue kite.", "desert green ball.", "lake pink scarf.", "park yellow balloon."];
    let near = ["beach blue hat.", "city blue ball.", "castle green ball.", "lake pink hat.", "park red balloon."];
    for target in 0..facts.len() {
        let other = facts[(target + 1) % facts.len()];
        let scores = score(&[facts[target], near[target], other], &facts, target);
        assert!(scores[0] > scores[1] + 0.1 && scores[1] > scores[2] + 0.1, "{}: {scores:?}", facts[target]);
    }
}
