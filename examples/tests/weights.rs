//! The weights example on files that torch wrote.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use counterpoint::config::{EvaluationSection, RunConfig, load};
use counterpoint::registry::settings;
use counterpoint::{DynamicGroupScalingConfig, SyncGrpoConfig};
use counterpoint_examples::references;
use counterpoint_samplers::UnifiedConfig;
use counterpoint_unictokens::PersonalTasksConfig;
use counterpoint_unifybench::BenchmarkConfig;

/// The example that cargo builds along with the tests.
fn example() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().and_then(Path::parent).unwrap();
    target.join("examples").join(format!("weights{}", std::env::consts::EXE_SUFFIX))
}

fn weights(arguments: &[&str]) -> Output {
    Command::new(example()).args(arguments).output().unwrap()
}

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/weights/tests/fixtures");
    folder.join(name).display().to_string()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn place(folder: &tempfile::TempDir, name: &str) -> (PathBuf, String) {
    let path = folder.path().join(name);
    let text = path.display().to_string();
    (path, text)
}

#[test]
fn inspect_gives_the_statistics_that_torch_gives() {
    let text = std::fs::read(fixture("numbers.json")).unwrap();
    let expected: BTreeMap<String, (Option<f64>, Option<f64>, u64)> = serde_json::from_slice(&text).unwrap();
    let output = weights(&["inspect", &fixture("numbers.pt"), "--json"]);
    assert!(output.status.success(), "{}", err(&output));
    let object = json(&output);
    let tensors = object["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), expected.len());
    let close = |got: &serde_json::Value, expected: Option<f64>| match (got.as_f64(), expected) {
        (None, None) => true,
        (Some(got), Some(expected)) => (got - expected).abs() <= 1e-12 * expected.abs().max(1.0),
        _ => false,
    };
    for (tensor, (name, (mean, std, non_finite))) in tensors.iter().zip(&expected) {
        assert_eq!(tensor["name"], **name);
        assert!(close(&tensor["mean"], *mean), "{tensor} {mean:?}");
        assert!(close(&tensor["std"], *std), "{tensor} {std:?}");
        assert_eq!(tensor["non_finite"], *non_finite, "{name}");
    }
    assert_eq!(object["non_finite"], 5);
}

#[test]
fn inspect_prints_a_table_with_the_columns_under_each_other() {
    let output = weights(&["inspect", &fixture("state.pt")]);
    let text = out(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with("state.pt (torch.save)"));
    assert!(lines[1].starts_with("tensor ") && lines[1].ends_with("non-finite"));
    assert!(lines[2].starts_with("bf16 ") && lines[2].contains("[5]") && lines[2].contains("bf16"));
    let table = &lines[1..lines.len() - 1];
    assert_eq!(table.len(), 14);
    assert!(table.iter().all(|line| line.len() == lines[1].len()), "{text}");
    assert!(lines[lines.len() - 1].starts_with("13 tensors, "), "{text}");
    let text = out(&weights(&["inspect", &fixture("nested.ckpt")]));
    assert!(text.contains("note: the model is under \"state_dict\""), "{text}");
}

#[test]
fn a_converted_file_is_no_different_and_a_cast_one_only_within_a_tolerance() {
    let folder = tempfile::tempdir().unwrap();
    let (_, same) = place(&folder, "same.safetensors");
    let (_, half) = place(&folder, "half.bpk");
    let original = fixture("state.pt");
    assert!(weights(&["convert", &original, &same]).status.success());
    let output = weights(&["diff", &original, &same]);
    assert_eq!(
        (output.status.code(), out(&output).trim()),
        (Some(0), "13 tensors equal, 0 different, 0 only in A, 0 only in B")
    );

    assert!(weights(&["convert", &original, &half, "--dtype", "bf16"]).status.success());
    let output = weights(&["diff", &original, &half]);
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("[2, 3] f32") && out(&output).contains("[2, 3] bf16"), "{}", out(&output));
    assert_eq!(weights(&["diff", &original, &half, "--tolerance", "0.02"]).status.code(), Some(0));
    assert_eq!(weights(&["diff", &original, &half, "--tolerance", "0.00001"]).status.code(), Some(1));
}

#[test]
fn diff_names_what_only_one_file_has_and_how_far_numbers_are_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (_, renamed) = place(&folder, "renamed.pt");
    let original = fixture("state.pt");
    let output =
        weights(&["convert", &original, &renamed, "--rename", "^shared\\.(.)$=common.$1", "--rename", "^u8$=u9"]);
    assert!(output.status.success(), "{}", err(&output));
    let output = weights(&["diff", &original, &renamed, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let different = json(&output)["different"].clone();
    let names: Vec<&str> = different.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["common.a", "common.b", "shared.a", "shared.b", "u8", "u9"]);
    assert!(different[0]["a"].is_null() && different[2]["b"].is_null());
    assert!(
        out(&weights(&["diff", &original, &renamed]))
            .ends_with("10 tensors equal, 0 different, 3 only in A, 3 only in B\n")
    );

    // Tensors "tensor" of [6, 4], [2, 4] and [3, 4]: shapes are compared before numbers are.
    let output = weights(&["diff", &fixture("transposed.pt"), &fixture("parameter.pt")]);
    assert!(out(&output).contains("[6, 4] f32") && out(&output).contains("[2, 4] f32"), "{}", out(&output));
    let (path, other) = place(&folder, "other.safetensors");
    assert!(weights(&["convert", &fixture("parameter.pt"), &other]).status.success());
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 4;
    let last = f32::from_le_bytes(bytes[at..].try_into().unwrap());
    bytes[at..].copy_from_slice(&(last + 0.5).to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let output = weights(&["diff", &fixture("parameter.pt"), &other, "--json"]);
    let absolute = json(&output)["different"][0]["difference"][0].as_f64().unwrap();
    assert!((absolute - 0.5).abs() < 1e-6, "{absolute}");
}

#[test]
fn nothing_is_overwritten_unasked_and_errors_say_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let (path, there) = place(&folder, "there.safetensors");
    std::fs::write(&path, "mine").unwrap();
    let original = fixture("state.pt");
    let output = weights(&["convert", &original, &there]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("there.safetensors exists"), "{}", err(&output));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    assert!(weights(&["convert", &original, &there, "--force"]).status.success());
    assert_eq!(weights(&["diff", &original, &there]).status.code(), Some(0));

    let output = weights(&["inspect", &fixture("malicious.pt")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("refused"), "{}", err(&output));
    let output = weights(&["convert", &original, &there, "--rename", "nothing"]);
    assert!(err(&output).contains("expected REGEX=TEXT"), "{}", err(&output));
    let output = weights(&["diff", &original, &there, "--tolerance", "-1"]);
    assert!(!output.status.success());
}

/// `weights fetch` of a config of this package, on a machine without cache and network.
fn fetch(config: &Path) -> Output {
    let nowhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(example());
    command.arg("fetch").arg(config).env("HF_HOME", nowhere.path()).env_remove("HF_HUB_CACHE");
    command.env("HF_ENDPOINT", "http://127.0.0.1:9").output().unwrap()
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_full_recipe_has_the_papers_settings() {
    let config = RunConfig::load(&package().join("sync_r1_full.toml"), &[]).unwrap();
    let trainer = &config.trainer;
    assert_eq!((trainer.steps, trainer.group_size, trainer.learning_rate), (100, 9, 1e-6));
    let data: PersonalTasksConfig = settings("data", &config.data.settings).unwrap();
    assert_eq!((trainer.weight_decay, trainer.max_grad_norm, data.visual_share), (1e-3, 1.0, 0.5));
    let filter: DynamicGroupScalingConfig = settings("filter", &config.filter.settings).unwrap();
    filter.validate().unwrap();
    assert_eq!((filter.tpr, filter.mu, filter.eta, filter.sigma), (0.25, 0.12, 0.8, 2.0));
    let objective: SyncGrpoConfig = settings("objective", &config.objective.settings).unwrap();
    let paper =
        SyncGrpoConfig { clip_low: 0.2, clip_high: 0.2, beta: 0.01, a_und: 0.4, a_gen: 0.6, ..Default::default() };
    assert_eq!(objective, paper);
    let sampler: UnifiedConfig = settings("sampler", &config.sampler.settings).unwrap();
    assert_eq!((sampler.image.timesteps, sampler.image.checkpoint_step, sampler.image.guidance_scale), (50, 10, 5.0));
    assert_eq!(config.reward_weights["person"].values().sum::<f64>(), 1.0);
}

#[test]
fn the_revealed_recipe_is_the_full_one_with_other_estimators_and_nothing_else() {
    let changes = [
        "run.name=sync_r1_revealed",
        "sampler.image.score_guidance=false",
        "objective.image_positions=revealed",
        "objective.denoising_steps=10",
        "objective.step_sampling=stratified",
        "objective.credit=causal",
        "objective.advantage=leave_one_out",
        "data.answer_share=0.667",
        "trainer.tasks_per_step=6",
        "trainer.generation_learning_rate=1e-6",
        "trainer.images_per_answer=3",
        "trainer.signal_every=10",
    ];
    let full = RunConfig::load(&package().join("sync_r1_full.toml"), &changes.map(str::to_owned)).unwrap();
    let revealed = RunConfig::load(&package().join("sync_r1_revealed.toml"), &[]).unwrap();
    assert_eq!(revealed, full);
    revealed.trainer.validate().unwrap();
    settings::<SyncGrpoConfig>("objective", &revealed.objective.settings).unwrap().validate().unwrap();
    settings::<UnifiedConfig>("sampler", &revealed.sampler.settings).unwrap();
}

#[test]
fn the_full_measures_fit_the_full_recipe_and_name_their_files() {
    #[derive(serde::Deserialize)]
    struct Measures {
        evaluation: EvaluationSection,
    }
    let mut config = RunConfig::load(&package().join("sync_r1_full.toml"), &[]).unwrap();
    config.evaluation = load::<Measures>(&package().join("evaluate_full.toml"), &[]).unwrap().evaluation;
    config.validate().unwrap();
    settings::<BenchmarkConfig>("evaluation", &config.evaluation.settings).unwrap();
    let sampler = config.evaluation_sampler().unwrap();
    let sampler: UnifiedConfig = settings("sampler", &sampler.settings).unwrap();
    assert_eq!((sampler.text.top_k, sampler.image.timesteps, sampler.image.guidance_scale), (1, 50, 5.0));
    let named: Vec<String> = references(&config).unwrap().iter().map(|found| found.key.clone()).collect();
    for key in
        ["evaluation.likeness.clip_i.weights", "evaluation.alignment.clip_t.weights", "evaluation.faces.face.detector"]
    {
        assert!(named.iter().any(|known| known == key), "{key}: {named:?}");
    }
}

#[test]
fn fetch_explains_every_file_of_the_full_recipe_without_a_network() {
    let output = fetch(&package().join("sync_r1_full.toml"));
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    let printed = out(&output);
    let expected: [(&str, &[&str]); 8] = [
        ("policy.weights = hf:showlab/show-o-512x512: missing: ", &["config.json", "model.safetensors"]),
        ("policy.image_tokenizer = hf:showlab/magvitv2: missing: ", &["model.safetensors", "pytorch_model.bin"]),
        ("policy.tokenizer = hf:microsoft/phi-1_5: missing: ", &["tokenizer.json", "merges.txt", "added_tokens.json"]),
        ("rewards.ber.weights = hf:Salesforce/blip2-itm-vit-g: missing: ", &["vocab.txt", "preprocessor_config.json"]),
        ("rewards.der.weights = hf:facebook/dinov2-base: missing: ", &["config.json", "preprocessor_config.json"]),
        ("rewards.fer.detector = weights/mtcnn: missing: ", &["pnet.pt", "onet.pt", "facenet-pytorch 2.6.0 on PyPI"]),
        ("rewards.fer.weights = weights/facenet: missing: ", &["20180402-114759-vggface2.pt", "*.pb", "releases"]),
        ("rewards.tier.weights = hf:nghuyong/ernie-3.0-base-zh: missing: ", &["model.safetensors", "vocab.txt"]),
    ];
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{printed}");
    for (line, (beginning, parts)) in lines.iter().zip(expected) {
        assert!(line.starts_with(beginning), "{line}");
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        let source = beginning.split(" = ").nth(1).and_then(|rest| rest.strip_suffix(": missing: ")).unwrap();
        let folder = match source.strip_prefix("hf:") {
            Some(name) => {
                assert!(line.contains(&format!("(from https://huggingface.co/{name})")), "{line}");
                package().join("weights").join(name)
            }
            None => package().join(source),
        };
        assert!(line.ends_with(&format!("into {}", folder.display())), "{line}");
    }
}

#[test]
fn fetch_says_where_files_are_that_are_there() {
    let output = fetch(&package().join("sync_r1.toml"));
    assert!(output.status.success(), "{}{}", out(&output), err(&output));
    let printed = out(&output);
    let keys = [
        "policy.model",
        "rewards.ber.weights",
        "rewards.der.weights",
        "rewards.fer.detector",
        "rewards.fer.weights",
        "rewards.tier.weights",
    ];
    assert_eq!(printed.lines().count(), keys.len(), "{printed}");
    for (line, key) in printed.lines().zip(keys) {
        assert!(line.starts_with(&format!("{key} = ..")) && line.contains(": there, "), "{line}");
    }

    // Beside a config of its own: with all files, then without one.
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("mine.toml");
    let text = "[run]\nname = 'mine'\n[data]\nkind = 'other'\n[policy]\nkind = 'other'\n[sampler]\nkind = 'other'\n\
                [rewards.mine]\nkind = 'der'\nweights = 'hf:an-owner/dino'\n[reward_weights.default]\nmine = 1.0\n";
    std::fs::write(&config, text).unwrap();
    let repository = folder.path().join("weights/an-owner/dino");
    std::fs::create_dir_all(&repository).unwrap();
    for name in ["config.json", "model.safetensors", "preprocessor_config.json"] {
        std::fs::write(repository.join(name), "").unwrap();
    }
    let output = fetch(&config);
    let expected = format!("rewards.mine.weights = hf:an-owner/dino: there, {}\n", repository.display());
    assert_eq!((output.status.code(), out(&output)), (Some(0), expected));
    std::fs::remove_file(repository.join("config.json")).unwrap();
    let output = fetch(&config);
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("put its config.json (from https"), "only what is missing: {}", out(&output));

    std::fs::write(&config, text.replace("'hf:an-owner/dino'", "3")).unwrap();
    let output = fetch(&config);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("rewards.mine.weights: expected a string, got integer `3`"), "{}", err(&output));
}
