//! Against CoRL's public code (`fixtures/make.py`), and what cannot be scored.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use counterpoint::burn::tensor::Device;
use counterpoint::image::RgbImage;
use counterpoint::registry::{self, BuildContext};
use counterpoint::{Reward, Sample, Score, Task, TokenStates};
use counterpoint_matching::{Tim, matching};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    width: usize,
    image: Vec<f32>,
    text: Vec<f32>,
    score: f64,
}

#[test]
fn scores_are_those_of_the_public_code() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/matching.json")).unwrap();
    assert!(cases.len() > 4);
    for Case { width, image, text, score } in cases {
        let states = TokenStates { width, image, text };
        let got = matching(&states).unwrap();
        assert!((got - score).abs() < 1e-6, "{got} {score}");
        // Neither order nor length of the rows matters.
        let longer = TokenStates { image: states.image.iter().map(|x| x * 7.0).collect(), ..states };
        assert!((matching(&longer).unwrap() - score).abs() < 1e-6);
    }
}

fn sample(image: Option<RgbImage>, states: Option<TokenStates>) -> Sample {
    let task = Task::new(0, "").with_base_prompt("a hat");
    let mut sample = Sample::new(&task, 0, "a hat".to_owned(), String::new(), image.map(Arc::new));
    sample.states = states.map(Arc::new);
    sample
}

#[test]
fn what_cannot_be_scored_is_abstained_from() {
    let states = |text: &[f32]| TokenStates { width: 2, image: vec![1.0, 0.0, 0.0, 2.0], text: text.to_vec() };
    let image = || Some(RgbImage::new(1, 1));
    let samples = [
        sample(image(), Some(states(&[3.0, 0.0]))),
        sample(None, None),
        sample(image(), None),
        sample(image(), Some(states(&[]))),
        sample(image(), Some(states(&[0.0, 0.0]))),
    ];
    let scores = Tim.score(&samples).unwrap();
    assert_eq!(scores[0], Score::Value(0.75), "half of the image and all of the text find their like");
    assert!(scores[1..4].iter().all(|score| matches!(score, Score::Abstain(_))), "{scores:?}");
    assert_eq!(scores[4], Score::Value(0.0));
}

#[test]
fn it_is_built_by_name_and_says_what_it_needs() {
    let context = BuildContext::new(Device::flex(), ".");
    let reward = registry::reward("tim", &Default::default(), &context).unwrap();
    assert!(reward.needs_states());
    assert!(registry::reward("tim", &toml::toml! { wrong = 1 }, &context).is_err());
}
