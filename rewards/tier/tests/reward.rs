//! TIER on a tower with random weights: the formula, what is abstained from, what fails.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use burn::tensor::Device;
use counterpoint::registry::{self, BuildContext};
use counterpoint::{Reward, Sample, Score, Task};
use counterpoint_encoders::BertConfig;
use counterpoint_encoders::bert::Pooling;
use counterpoint_encoders::plugin::{Plugin, PluginExpert};
use counterpoint_sdk::Description;
use counterpoint_sdk::testing::{TestExpert, TestItem};
use counterpoint_tier::{Normalise, Tier, TierConfig, tier};
use serde_json::json;

const FACTS: [&str; 3] = ["a red hat at the beach.", "a blue kite at the park.", "a pink ball at the lake."];

/// Writes a tower with random weights into `dir`.
fn tower(dir: &Path) {
    let words = "[PAD] [UNK] . a red hat at the beach blue kite park pink ball lake";
    let vocab: serde_json::Map<_, _> = words.split(' ').enumerate().map(|(i, w)| (w.to_owned(), json!(i))).collect();
    let config = BertConfig {
        vocab_size: vocab.len(),
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 32,
        max_position_embeddings: 16,
        use_task_id: true,
        ..BertConfig::default()
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}
    });
    config.init(&Device::flex()).unwrap().save(&config, dir).unwrap();
    std::fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

fn expert() -> Tier {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path());
    expert_at(dir.path())
}

fn expert_at(dir: &Path) -> Tier {
    TierConfig::new(dir).init(&Device::flex()).unwrap()
}

fn sample(response: &str, params: serde_json::Value) -> Sample {
    let task = Task::new(0, "").with_class("person").with_params(params);
    Sample::new(&task, 0, String::new(), response.into(), None)
}

fn asked(response: &str, target: usize) -> Sample {
    sample(response, json!({ "facts": FACTS, "target": target }))
}

#[test]
fn the_formula() {
    assert_eq!(tier(&[0.0, 1.0, 0.0], 1), 1.0);
    assert!((tier(&[1.0, 0.0, 0.0], 1) - (2.0 - 2_f64.sqrt()) / 2.0).abs() < 1e-12);
    assert_eq!(tier(&[0.0, 0.0], 0), 0.5);
    assert_eq!(tier(&[1.0, -1.0, 1.0, 1.0], 1), 0.0, "distances beyond 2 are clamped");
    assert!((tier(&[0.6, 0.8], 0) - (2.0 - 0.8_f64.sqrt()) / 2.0).abs() < 1e-12);
}

#[test]
fn scores_are_the_formula_on_the_towers_cosines() {
    let mut expert = expert();
    let texts: Vec<String> = FACTS.iter().map(|&f| f.to_owned()).chain(["a red kite.".to_owned()]).collect();
    let rows = expert.embed(&texts).unwrap();
    let cosines: Vec<f64> =
        (0..3).map(|k| rows[3].iter().zip(rows[k].iter()).map(|(a, b)| f64::from(a * b)).sum()).collect();
    let score = expert.score(&[asked("A red kite!", 1)]).unwrap()[0].value().unwrap();
    assert!((score - tier(&cosines, 1)).abs() < 1e-5, "{score}");
}

#[test]
fn a_score_depends_neither_on_the_batch_nor_on_punctuation() {
    let mut expert = expert();
    let samples = [
        asked("a red hat at the beach.", 0),
        asked(" A red, hat  at the <beach>!", 0),
        asked("a pink ball at the lake. a a a a a a", 2),
        asked("kite", 1),
    ];
    let together = expert.score(&samples).unwrap();
    assert_eq!(together[0], together[1]);
    for (sample, score) in samples.iter().zip(&together) {
        let alone = expert.score(std::slice::from_ref(sample)).unwrap();
        assert!((alone[0].value().unwrap() - score.value().unwrap()).abs() < 1e-5);
    }
    assert!(expert.score(&[]).unwrap().is_empty());
}

#[test]
fn what_lacks_facts_is_abstained_from_and_what_is_malformed_fails() {
    let mut expert = expert();
    let params = [json!(null), json!({}), json!({"facts": [], "target": 0}), json!({"facts": FACTS})];
    for params in params {
        let score = expert.score(&[sample("a red hat.", params.clone())]).unwrap().remove(0);
        assert!(matches!(score, Score::Abstain(_)), "{params}: {score:?}");
    }
    let params = [
        json!({"facts": FACTS, "target": 3}),
        json!({"facts": FACTS, "target": -1}),
        json!({"facts": "a red hat", "target": 0}),
        json!({"facts": ["..."], "target": 0}),
    ];
    for params in params {
        let score = expert.score(&[sample("a red hat.", params.clone())]).unwrap().remove(0);
        assert!(matches!(score, Score::Fail(_)), "{params}: {score:?}");
    }
    assert_eq!(expert.score(&[asked(" ... ", 0)]).unwrap(), [Score::Value(0.0)], "it does not pay to say nothing");
}

#[test]
fn it_is_registered_by_name_and_refuses_unknown_settings() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path());
    let context = BuildContext::new(Device::flex(), dir.path());
    let table = toml::toml! { weights = "." };
    let mut reward = registry::reward("tier", &table, &context).unwrap();
    assert_eq!(reward.name(), "tier");
    assert!(reward.score(&[asked("a red hat at the beach.", 0)]).unwrap()[0].value().is_some());
    let table = toml::toml! { weights = "." wieghts = 1 };
    assert!(registry::reward("tier", &table, &context).is_err());
    let table = toml::toml! { weights = "nowhere" };
    let message = registry::reward("tier", &table, &context).err().unwrap().to_string();
    assert!(message.contains("nowhere"), "{message}");
}

/// TIER as a plugin has it.
struct TierPlugin;

impl Plugin for TierPlugin {
    type Config = TierConfig;

    fn describe() -> Description {
        Description::new("")
    }
}

#[test]
fn a_plugin_finds_published_files_as_a_config_does() {
    let dir = tempfile::tempdir().unwrap();
    let beside = dir.path().join("weights/me/tower");
    std::fs::create_dir_all(&beside).unwrap();
    tower(&beside);
    let create = |settings| TestExpert::<PluginExpert<TierPlugin>>::create_at(&settings, dir.path());
    let item = TestItem::new().response("a red hat at the beach.").params(&json!({ "facts": FACTS, "target": 0 }));
    let expected = expert_at(&beside).score(&[asked(FACTS[0], 0)]).unwrap()[0].value().unwrap();
    for weights in ["hf:me/tower", "weights/me/tower"] {
        let scores = create(json!({ "weights": weights })).unwrap().score(std::slice::from_ref(&item)).unwrap();
        assert_eq!(scores, [counterpoint_sdk::Score::Value(expected)], "{weights}");
    }
    for (settings, words) in [
        (json!({ "weights": "hf:me/tower", "wieghts": 1 }), "wieghts"),
        (json!({ "weights": "hf:me/tower", "batch": 0 }), "tier: expected batch of 1 or more, got 0"),
        (json!({ "weights": "hf:me/nobody" }), "me/nobody"),
    ] {
        let error = create(settings).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_tokenizer_of_another_tower_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path());
    let path = dir.path().join("tokenizer.json");
    let text = std::fs::read_to_string(&path).unwrap().replace("\"lake\":14", "\"lake\":15");
    std::fs::write(&path, text).unwrap();
    let error = TierConfig { batch: 1, ..TierConfig::new(dir.path()) }.init(&Device::flex()).unwrap_err();
    assert!(error.to_string().contains("at most 15 tokens"), "{error}");
}

#[test]
fn a_score_is_the_same_to_the_bit_in_any_company_and_after_anything() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path());
    let fresh = || TierConfig { batch: 4, ..TierConfig::new(dir.path()) }.init(&Device::flex()).unwrap();
    let samples: Vec<Sample> = ["red", "a blue kite", "", "the hat at the lake", "pink pink"]
        .iter()
        .zip(0..)
        .map(|(r, i)| asked(r, i % 3))
        .collect();
    let together = fresh().score(&samples).unwrap();
    let mut expert = fresh();
    for (sample, expected) in samples.iter().zip(&together).rev() {
        assert_eq!(&expert.score(std::slice::from_ref(sample)).unwrap()[0], expected);
    }
}

#[test]
fn texts_without_end_and_texts_of_one_emoji_have_a_result() {
    let mut expert = expert();
    let long = "red hat ".repeat(10_000);
    let samples = [
        asked(&long, 0),
        asked("\u{1f600}", 0),
        asked("\u{e9}\u{e9}", 0),
        sample("a red hat", json!({ "facts": ["\u{1f600}", "a hat."], "target": 1 })),
        sample("a red hat", json!({ "facts": [long, "a hat."], "target": 1 })),
    ];
    let scores = expert.score(&samples).unwrap();
    assert!(scores[0].value().is_some_and(|s| s > 0.0), "{scores:?}");
    assert_eq!(scores[1], Score::Value(0.0), "nothing was said");
    assert!(scores[2].value().is_some() && scores[4].value().is_some(), "{scores:?}");
    assert!(matches!(&scores[3], Score::Fail(why) if why.contains("params.facts[0]")), "{scores:?}");
}

#[test]
fn pooling_comes_from_the_settings_or_from_the_folder_and_precision_rounds() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path());
    let value = |config: TierConfig| {
        config.init(&Device::flex()).unwrap().score(&[asked("a red kite", 1)]).unwrap()[0].value().unwrap()
    };
    let (mean, cls) = (
        value(TierConfig::new(dir.path())),
        value(TierConfig { pooling: Some(Pooling::Cls), ..TierConfig::new(dir.path()) }),
    );
    assert_ne!(mean, cls);
    let half = value(TierConfig { dtype: counterpoint_weights::Precision::Bf16, ..TierConfig::new(dir.path()) });
    assert!(half != mean && (half - mean).abs() < 0.02, "{half} {mean}");
    std::fs::create_dir(dir.path().join("1_Pooling")).unwrap();
    let says = |text: &str| std::fs::write(dir.path().join("1_Pooling/config.json"), text).unwrap();
    says(r#"{"word_embedding_dimension": 16, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#);
    assert_eq!(value(TierConfig::new(dir.path())), cls);
    says(r#"{"pooling_mode_max_tokens": true}"#);
    let error = TierConfig::new(dir.path()).init(&Device::flex()).unwrap_err().to_string();
    assert!(error.contains("max"), "{error}");
}

/// `count` unit vectors, of which any two have the cosine `common`.
fn crowded(count: usize, common: f64) -> Vec<Vec<f32>> {
    let vector = |k: usize| {
        let own = (0..count).map(|i| if i == k { (1.0 - common).sqrt() as f32 } else { 0.0 });
        std::iter::once(common.sqrt() as f32).chain(own).collect()
    };
    (0..count).map(vector).collect()
}

fn near(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "expected {expected:?}, got {got:?}");
}

#[test]
fn a_perfect_answer_among_eight_facts_with_cosines_near_0_8_scores_1_once_they_are_centred() {
    let facts = crowded(8, 0.8);
    let score = |how: Normalise, answer: usize| tier(&how.similarities(&facts[answer], &facts), 0);
    // d = sqrt(7 * 0.8^2) = 2.1166 is beyond 2.
    assert_eq!(score(Normalise::None, 0), 0.0);
    // Centred: the one-hot vectors of the right fact and of another one, sqrt(2) apart.
    near(&[score(Normalise::Centre, 0), score(Normalise::Centre, 1)], &[1.0, 1.0 - 0.5_f64.sqrt()]);
    // Shares of 1 + 7 * 0.8 = 6.6: d^2 = (5.6 / 6.6)^2 + 7 * (0.8 / 6.6)^2 = 35.84 / 43.56 for the right one, and
    // (5.8^2 + 1 + 6 * 0.64) / 43.56 = 38.48 / 43.56 for another one.
    let by_hand = [35.84_f64, 38.48].map(|squares| (2.0 - (squares / 43.56).sqrt()) / 2.0);
    near(&[score(Normalise::Sum, 0), score(Normalise::Sum, 1)], &by_hand);
}

#[test]
fn each_way_to_normalise_gives_the_numbers_of_its_formula() {
    let facts = [[0.6, 0.8], [0.8, -0.6], [-1.0, 0.0_f32]];
    let answer = [0.6, -0.8_f32];
    let all = |how: Normalise| how.similarities(&answer, &facts);
    near(&all(Normalise::None), &[-0.28, 0.96, -0.6]);
    near(&all(Normalise::Sum), &[0.0, 1.0, 0.0]);
    // m = (2/15, 1/15). Times 15: r - m = (7, -13), e_k - m = (7, 11), (10, -10), (-17, -1); S_k = (1 + 2 cos) / 3.
    let cosines = [
        (49.0 - 143.0) / (218.0_f64 * 170.0).sqrt(),
        (70.0 + 130.0) / (218.0_f64 * 200.0).sqrt(),
        (-119.0 + 13.0) / (218.0_f64 * 290.0).sqrt(),
    ];
    near(&all(Normalise::Centre), &cosines.map(|c| (1.0 + 2.0 * c) / 3.0));

    // Two facts: 1 and 0 for either of them.
    near(&Normalise::Centre.similarities(&facts[0], &facts[..2]), &[1.0, 0.0]);
    // Nothing to tell it from, nothing that tells them apart, no cosine above 0.
    near(&Normalise::Centre.similarities(&answer, &facts[..1]), &[-0.28]);
    near(&Normalise::Centre.similarities(&answer, &[facts[0]; 3]), &[1.0 / 3.0; 3]);
    near(&Normalise::Sum.similarities(&answer, &[facts[0], facts[2]]), &[0.0, 0.0]);
    for how in [Normalise::None, Normalise::Centre, Normalise::Sum] {
        assert!(tier(&how.similarities(&[f32::NAN, 0.0], &facts), 0).is_nan(), "{how:?}");
    }
}

#[test]
fn the_settings_choose_how_to_normalise() {
    let dir = tempfile::tempdir().unwrap();
    tower(dir.path());
    let context = BuildContext::new(Device::flex(), dir.path());
    let value = |table: toml::Table| {
        let mut reward = registry::reward("tier", &table, &context).unwrap();
        reward.score(&[asked(FACTS[1], 1)]).unwrap()[0].value().unwrap()
    };
    let plain = value(toml::toml! { weights = "." });
    assert_eq!(plain, value(toml::toml! { weights = "." normalise = "none" }));
    // Embeddings of random weights crowd too.
    assert!(value(toml::toml! { weights = "." normalise = "centre" }) > plain + 0.1);
    assert_ne!(value(toml::toml! { weights = "." normalise = "sum" }), plain);
    let error = registry::reward("tier", &toml::toml! { weights = "." normalise = "mean" }, &context).err().unwrap();
    assert!(format!("{error:#}").contains("known: none, centre, sum"), "{error:#}");
}
