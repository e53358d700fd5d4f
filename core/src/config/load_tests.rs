#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::config::{Chunk, MemoryBudget, TrainerConfig};

const RUN: &str = r#"[run]
name = "tiny"
seed = 7

[policy]
kind = "showo"
weights = "model.safetensors"
layers.count = 2

[sampler]
kind = "maskgit"
steps = 50

[filter]
kind = "dgs"
surrogate = "ber"
tpr = 0.25

[rewards.tier]
model = "ernie"
[rewards.ber]

[reward_weights.default]
tier = 0.4
ber = 0.6

[data]
kind = "questions"
root = "data"

[trainer]
steps = 10
group_size = 4
"#;

fn load(overrides: &[&str]) -> Result<RunConfig> {
    load_text(RUN, overrides)
}

fn load_text(text: &str, overrides: &[&str]) -> Result<RunConfig> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.toml");
    std::fs::write(&path, text).unwrap();
    RunConfig::load(&path, &overrides.iter().map(|&o| o.to_owned()).collect::<Vec<_>>())
}

/// The message from the file's name on, and that it is a config error.
fn refused(text: &str, overrides: &[&str]) -> String {
    let error = load_text(text, overrides).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let message = error.to_string();
    message.find("run.toml").map(|at| message[at..].to_owned()).unwrap_or(message)
}

#[test]
fn a_file_is_read_and_defaults_are_filled_in() {
    let config = load(&[]).unwrap();
    assert_eq!((config.run.name.as_str(), config.run.seed), ("tiny", 7));
    assert_eq!(config.run.output, Path::new("runs"));
    assert_eq!(config.policy.kind, "showo");
    assert_eq!(config.policy.settings, "weights = 'model.safetensors'\nlayers.count = 2".parse().unwrap());
    assert_eq!((config.filter.kind.as_str(), config.filter.surrogate.as_deref()), ("dgs", Some("ber")));
    assert_eq!(config.filter.settings, "tpr = 0.25".parse().unwrap());
    assert_eq!(config.objective.kind, "sync_grpo");
    assert_eq!(config.reward_weights["default"]["ber"], 0.6);
    assert_eq!(config.data.kind, "questions");
    assert_eq!(config.data.settings, "root = 'data'".parse().unwrap());
    assert_eq!(config.trainer, TrainerConfig { steps: 10, group_size: 4, ..TrainerConfig::default() });
}

#[test]
fn the_resolved_config_loads_to_an_equal_one() {
    let overrides = ["trainer.learning_rate=3e-7", "data.concepts=['<ada>', '<bo>']", "filter.limits=[0.1, 1e-30]"];
    let config = load(&overrides).unwrap();
    let text = config.to_toml().unwrap();
    assert_eq!(load_text(&text, &[]).unwrap(), config);
    assert_eq!(RunConfig::from_toml(&text, &[]).unwrap().to_toml().unwrap(), text);
}

#[test]
fn overrides_set_values_of_every_type_and_the_last_one_holds() {
    let config = load(&[
        "trainer.steps=20",
        "trainer.steps = 30",
        "trainer.keep_best=false",
        "trainer.betas=[0.8, 0.9]",
        "trainer.learning_rate=1e-5",
        "run.name=bare-word",
        "policy.weights=\"a=b\"",
        "policy.device.index=1",
        "rewards.\"my.reward\".scale=2",
    ])
    .unwrap();
    assert_eq!(config.trainer.steps, 30);
    assert!(!config.trainer.keep_best);
    assert_eq!((config.trainer.betas, config.trainer.learning_rate), ([0.8, 0.9], 1e-5));
    assert_eq!(config.run.name, "bare-word");
    assert_eq!(config.policy.settings["weights"].as_str(), Some("a=b"));
    assert_eq!(config.policy.settings["device"]["index"].as_integer(), Some(1));
    assert_eq!(config.rewards["my.reward"]["scale"].as_integer(), Some(2));
}

#[test]
fn an_override_is_a_string_where_one_is_expected_and_a_table_where_it_sets_something_below() {
    for name in ["nan", "2024", "true", "1e5"] {
        assert_eq!(load(&[&format!("run.name={name}")]).unwrap().run.name, name);
    }
    let config = load(&["trainer.chunk=12", "trainer.chunk.memory_mib=64"]).unwrap();
    assert_eq!(config.trainer.chunk, Chunk::Memory(MemoryBudget { memory_mib: 64 }));
}

#[test]
fn what_a_component_says_of_its_settings_is_found_in_file_and_overrides() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, RUN).unwrap();
    let overrides = ["rewards.tier.wieghts=1".to_owned()];
    let at = |message: &str| located(Error::config(message), &path, &overrides).to_string();
    assert_eq!(at("rewards.tier.wieghts: unknown"), "--set rewards.tier.wieghts=1: rewards.tier.wieghts: unknown");
    assert_eq!(at("trainer.steps: wrong"), format!("{}:32: trainer.steps: wrong", path.display()));
    assert_eq!(at("something else: wrong"), "something else: wrong");
    let data = located(Error::data("trainer.steps: wrong"), &path, &overrides);
    assert_eq!(data.to_string(), "trainer.steps: wrong", "it is not about the config");
}

#[test]
fn a_misspelt_override_is_refused_with_the_nearest_key() {
    let message = refused(RUN, &["trainer.group_sise=3"]);
    assert!(message.starts_with("--set trainer.group_sise=3: trainer.group_sise: unknown key"), "{message}");
    assert!(message.contains("did you mean `group_size`? (known: steps, group_size,"), "{message}");
    let message = refused(RUN, &["trianer.steps=3"]);
    assert!(message.starts_with("--set trianer.steps=3: trianer: unknown key; did you mean `trainer`?"), "{message}");
    let message = refused(RUN, &["reward_weights.default.tire=1"]);
    assert!(message.contains("no reward `tire` in [rewards]; did you mean `tier`?"), "{message}");
}

#[test]
fn a_malformed_override_is_refused() {
    for (given, expected) in [
        ("trainer.steps", "--set trainer.steps: expected key=value"),
        ("=3", "--set =3: expected a dotted key"),
        ("trainer..steps=3", "--set trainer..steps=3: expected a dotted key"),
        ("run.\nname=3", "--set run.\nname=3: expected a dotted key"),
        ("trainer.steps=", "--set trainer.steps=: expected a value"),
        ("trainer.betas=[0.9", "--set trainer.betas=[0.9: not valid TOML after `=`"),
        ("run.seed.x=3", "--set run.seed.x=3: run.seed: expected an integer of 0 or more, got"),
        ("run.seed=99999999999999999999", "--set run.seed=99999999999999999999: expected an integer of -2^63 to"),
        (
            "trainer.steps=-3",
            "--set trainer.steps=-3: trainer.steps: expected an integer of 1 or more, got integer `-3`",
        ),
        ("trainer.steps=ten", "--set trainer.steps=ten: trainer.steps: expected an integer of 1 or more, got string"),
        ("trainer.steps=0", "--set trainer.steps=0: trainer.steps: expected an integer of 1 or more, got 0"),
        ("trainer=3", "--set trainer=3: trainer: expected a table, got integer `3`"),
    ] {
        let message = refused(RUN, &[given]);
        assert!(message.starts_with(expected), "expected {expected}, got {message}");
    }
}

#[test]
fn an_override_is_blamed_only_for_what_it_sets() {
    let message = refused(&RUN.replace("seed = 7", "seed = -7"), &["run.name=other"]);
    assert_eq!(message, "run.toml:3: run.seed: expected an integer of 0 or more, got integer `-7`");
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_its_line() {
    for (from, to, expected) in [
        ("seed = 7", "sede = 7", "run.toml:3: run.sede: unknown key; did you mean `seed`? (known: name, seed, output)"),
        ("[trainer]", "[trainre]", "run.toml:31: trainre: unknown key; did you mean `trainer`?"),
        ("name = \"tiny\"", "", "run.toml:1: run.name: missing"),
        ("name = \"tiny\"", "name = \"a/b\"", "run.toml:2: run.name: expected a folder name"),
        ("kind = \"showo\"", "", "run.toml:5: policy.kind: missing"),
        ("kind = \"showo\"", "kind = 3", "run.toml:5: policy: expected a string as `kind`, got integer `3`"),
        ("surrogate = \"ber\"", "surrogate = \"bre\"", "run.toml:16: filter.surrogate: no reward `bre` in [rewards]"),
        ("ber = 0.6", "ber = -0.6", "run.toml:25: reward_weights.default.ber: expected a finite number of 0 or more"),
        (
            "tier = 0.4\nber = 0.6",
            "tier = 0",
            "run.toml:23: reward_weights.default: expected 1 or more weights above 0",
        ),
        ("weights.default", "weights.person", "run.toml:23: reward_weights.default: missing"),
        ("kind = \"questions\"", "", "run.toml:27: data.kind: missing; it has no default, add it"),
        (
            "group_size = 4",
            "group_size = 1",
            "run.toml:33: trainer.group_size: expected an integer of 2 or more, got 1",
        ),
        ("group_size = 4", "betas = [0.9]", "run.toml:33: trainer.betas: expected an array of length 2, got 1"),
        (
            "group_size = 4",
            "betas = [0.9, true]",
            "run.toml:33: trainer.betas[1]: expected a number, got boolean `true`",
        ),
    ] {
        let text = RUN.replace(from, to);
        assert_ne!(text, RUN, "{from} is in the file");
        let message = refused(&text, &[]);
        assert!(message.starts_with(expected), "expected {expected}, got {message}");
    }
}

#[test]
fn a_missing_section_is_named() {
    let message = refused("[run]\nname = 'x'", &[]);
    assert_eq!(message, "run.toml: policy: missing; it has no default, add it");
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_line() {
    let message = refused(&RUN.replace("seed = 7", "seed = = 7"), &[]);
    assert!(message.starts_with("run.toml:3: not valid TOML: "), "{message}");
    let message = refused(&RUN.replace("steps = 10", "group_size = 3"), &[]);
    assert!(message.starts_with("run.toml:33: not valid TOML: duplicate key"), "{message}");
}

#[test]
fn a_missing_file_is_named() {
    let error = RunConfig::load(Path::new("no/such/run.toml"), &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().starts_with("cannot read no/such/run.toml"), "{error}");
}
