//! FER says why it does not score.
#![allow(clippy::unwrap_used)]

use burn::tensor::Device;
use counterpoint::registry::{self, BuildContext};
use counterpoint::{Sample, Score};
use counterpoint_fer as _;

#[test]
fn it_abstains_from_every_sample_with_the_reason() {
    let context = BuildContext { device: Device::flex(), base: ".".into() };
    let mut reward = registry::reward("fer", &toml::Table::new(), &context).unwrap();
    let sample = Sample {
        candidate: 0,
        class: "person".into(),
        prompt: String::new(),
        response: String::new(),
        image: None,
        references: Vec::new(),
        params: serde_json::json!({}).into(),
    };
    let abstained = Score::Abstain("no face expert installed".into());
    assert_eq!(reward.score(&[sample.clone(), sample]).unwrap(), [abstained.clone(), abstained]);
    let mut unknown = toml::Table::new();
    unknown.insert("faces".into(), 1.into());
    assert!(registry::reward("fer", &unknown, &context).is_err());
}
