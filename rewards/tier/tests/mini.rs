//! The committed tower tells the facts of the miniature world apart.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use burn::tensor::Device;
use counterpoint::{Reward, Sample};
use counterpoint_tier::TierConfig;
use serde_json::json;

#[test]
fn the_fitting_fact_beats_a_near_one_and_a_near_one_beats_another() {
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/unifybench/assets/towers/tier");
    let mut expert = TierConfig { weights, batch: 256 }.init(&Device::flex()).unwrap();
    let facts = [
        "a red hat at the beach.",
        "a blue kite at the city.",
        "a green ball at the desert.",
        "a pink scarf at the lake.",
        "a yellow balloon at the park.",
    ];
    let near = [
        "a blue hat at the beach.",
        "a blue ball at the city.",
        "a green ball at the castle.",
        "a pink hat at the lake.",
        "a red balloon at the park.",
    ];
    for target in 0..facts.len() {
        let other = facts[(target + 1) % facts.len()];
        let samples = [facts[target], near[target], other].map(|response| Sample {
            candidate: 0,
            class: "person".into(),
            prompt: String::new(),
            response: response.into(),
            image: None,
            references: Vec::new(),
            params: json!({ "facts": facts, "target": target }),
        });
        let scores: Vec<f64> = expert.score(&samples).unwrap().iter().map(|s| s.value().unwrap()).collect();
        assert!(scores[0] > scores[1] + 0.1 && scores[1] > scores[2] + 0.1, "{}: {scores:?}", facts[target]);
    }
}
