//! One run, three ways to have its rewards: to the bit the same.

use std::path::Path;

use burn::tensor::Device;
use counterpoint::config::RunConfig;
use counterpoint::registry::{BuildContext, named_reward, task_source};
use counterpoint::{ErrorKind, Judges, Reward, Sample, Score};
use counterpoint_plugins::replace_rewards;

use crate::support::{base, config, install, train};

pub fn tests() -> Vec<(&'static str, fn())> {
    vec![
        ("a_run_is_the_same_with_rewards_linked_in_loaded_and_bridged", the_same_run),
        ("scores_are_the_same_to_the_bit_also_of_what_cannot_be_scored", the_same_scores),
        ("a_folder_without_an_expert_that_the_run_needs_is_refused", nothing_to_replace),
    ]
}

fn the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path());
    let linked = train(&config(2, &[])).unwrap();
    assert_eq!(linked.len(), 2);
    for isolation in ["none", "process"] {
        assert_eq!(train(&from_plugins(config(2, &[]), folder.path(), isolation)).unwrap(), linked, "{isolation}");
    }
}

/// `config` with every reward that a plugin in `folder` has from that plugin.
fn from_plugins(mut config: RunConfig, folder: &Path, isolation: &str) -> RunConfig {
    let replaced = replace_rewards(&mut config, folder).unwrap();
    assert_eq!(replaced, ["ber", "der", "fer", "tier"]);
    for name in replaced {
        config.rewards.get_mut(&name).unwrap().insert("isolation".to_owned(), isolation.into());
    }
    config
}

/// Samples of every kind: with and without image, references, facts and words.
fn samples() -> Vec<Sample> {
    let data = config(1, &[]).data;
    let context = BuildContext::new(Device::flex(), base());
    let tasks = task_source(&data.kind, &data.settings, &context).unwrap();
    let streams = counterpoint::Streams::new(3);
    let mut samples = Vec::new();
    for cursor in 0..6 {
        let task = tasks.task(0, cursor, &streams).unwrap();
        let image = task.references.first().cloned();
        for (i, words) in ["", "beach red hat.", "\u{1f600}\0 a lake"].iter().enumerate() {
            let prompt = format!("{} {words}", task.base_prompt);
            let image = image.clone().filter(|_| i != 1);
            samples.push(Sample::new(&task, i as u64, prompt, (*words).to_owned(), image));
        }
        let mut bare = samples[samples.len() - 1].clone();
        (bare.references, bare.prompt) = (Vec::new(), String::new());
        samples.push(bare.clone());
        bare.params = serde_json::json!({ "facts": 3 }).into();
        samples.push(bare);
    }
    samples
}

/// A score without its words: those of plugins may differ.
fn essence(score: &Score) -> (u8, u64) {
    match score {
        Score::Value(value) => (0, value.to_bits()),
        Score::Abstain(_) => (1, 0),
        Score::Fail(_) => (2, 0),
    }
}

fn the_same_scores() {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path());
    let context = BuildContext::new(Device::flex(), base());
    let samples = samples();
    let rewards = |isolation: Option<&str>| -> Vec<Box<dyn Reward>> {
        let mut config = config(1, &[]);
        if let Some(isolation) = isolation {
            config = from_plugins(config, folder.path(), isolation);
        }
        ["tier", "ber", "der", "fer"].map(|name| named_reward(name, &config.rewards[name], &context).unwrap()).into()
    };
    let scores = |isolation| -> Vec<Vec<(u8, u64)>> {
        let of = |reward: &mut Box<dyn Reward>| reward.score(&samples).unwrap().iter().map(essence).collect();
        rewards(isolation).iter_mut().map(of).collect()
    };
    let linked = scores(None);
    for (name, scores) in ["tier", "ber", "der", "fer"].iter().zip(&linked) {
        let kinds: std::collections::BTreeSet<u8> = scores.iter().map(|s| s.0).collect();
        assert!(kinds.len() > 1 && kinds.contains(&0), "{name}: {kinds:?}");
    }
    let judges = |isolation| rewards(isolation).iter().map(|reward| reward.judges()).collect::<Vec<_>>();
    let halves = [Judges::Understanding, Judges::Both, Judges::Generation, Judges::Generation];
    for isolation in [None, Some("none"), Some("process")] {
        assert_eq!(judges(isolation), halves, "{isolation:?}");
    }
    assert_eq!(scores(Some("none")), linked, "loaded");
    assert_eq!(scores(Some("process")), linked, "bridged");
}

fn nothing_to_replace() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(1, &[]);
    let error = replace_rewards(&mut config, folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("for one of the run's rewards (ber, der, fer, tier), got none"), "{error}");
}
