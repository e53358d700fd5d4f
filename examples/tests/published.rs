//! The recipe on somebody's photographs and facts, with a model and towers in the layouts in which they are published: from
//! the folder to the report, in f32 and bf16, stopped and gone on with.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use counterpoint::metrics::MetricsLog;

/// An example among what cargo builds along with the tests.
fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().and_then(Path::parent).unwrap().join("examples").join(name)
}

fn said(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

#[test]
fn own_concepts_train_from_start_to_report_in_f32_and_bf16_and_go_on_after_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let (out, runs) = (folder.path().join("published"), folder.path().join("runs"));
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/unictokens/tests/fixtures/concepts");
    said(&example("published"), &[data.to_str().unwrap(), out.to_str().unwrap()]);
    for file in ["showo/config.json", "magvitv2/model.safetensors", "phi-1_5/vocab.json", "towers/blip2/vocab.txt"] {
        assert!(out.join(file).is_file(), "{file}");
    }

    let run = |name: &str, dtype: &str, steps: u64, more: &[&str]| {
        let set = [
            format!("run.name={name}"),
            format!("run.output={}", runs.display()),
            format!("policy.dtype={dtype}"),
            format!("rewards.ber.dtype={dtype}"),
            format!("trainer.steps={steps}"),
            "trainer.warmup_steps=0".to_owned(),
            "trainer.checkpoint_every=1".to_owned(),
            "trainer.group_size=2".to_owned(),
            "trainer.max_attempts=2".to_owned(),
            "sampler.image.timesteps=2".to_owned(),
            "sampler.image.checkpoint_step=1".to_owned(),
            "evaluation.every=1".to_owned(),
            "evaluation.max_tasks=1".to_owned(),
        ];
        let config = out.join("sync_r1.toml");
        let set = set.iter().flat_map(|set| ["--set", set.as_str()]);
        let arguments: Vec<&str> = ["--config", config.to_str().unwrap()].into_iter().chain(set).collect();
        said(&example("sync_r1"), &[&arguments, more].concat())
    };
    let metrics = |name: &str| {
        let lines = MetricsLog::read(&runs.join(name).join("metrics.jsonl")).unwrap();
        lines.into_iter().map(|(_, metrics)| metrics.without_timings()).collect::<Vec<_>>()
    };
    let text = run("whole", "bf16", 2, &[]);
    assert!(text.contains("held-out, both") && text.contains("means of the rewards"), "{text}");
    assert!(runs.join("whole/report.html").is_file());
    let weights = fs::read_to_string(runs.join("whole/weights.json")).unwrap();
    assert!(weights.contains("\"policy.model\"") && weights.contains("sha256"), "{weights}");
    let whole = metrics("whole");
    assert!(whole.len() == 2 && whole.iter().all(|m| m.get("eval/reward").is_some()));
    assert_eq!(whole[0].get("ratio_max"), Some(1.0));
    assert!(whole[0].get("kl").unwrap() < 1e-5, "{:?}", whole[0].get("kl"));

    let evaluate = |runs_of: &[&str]| {
        let measures = out.join("evaluate.toml");
        let set = [
            format!("run.output={}", runs.display()),
            "evaluation.max_tasks=2".to_owned(),
            "evaluation.candidates=1".to_owned(),
        ];
        let set = set.iter().flat_map(|set| ["--set", set.as_str()]);
        let config = out.join("sync_r1.toml");
        let files = ["--config", config.to_str().unwrap(), "--measures", measures.to_str().unwrap()];
        Command::new(example("evaluate")).args(files).args(set).args(runs_of).output().unwrap()
    };
    let whole_run = format!("trained={}", runs.join("whole").display());
    let output = evaluate(&[&whole_run]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    for words in [
        "| untrained | ",
        "| trained | ",
        "Rec.: weighted",
        "VQA: bleu",
        "QA: bleu",
        "Gen.: blip2",
        "Knowledge Gen.: dinov2",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let evaluation = runs.join("evaluation");
    for file in ["report.html", "table.md", "table.csv", "differences.md", "side_by_side.png"] {
        assert!(evaluation.join(file).is_file(), "{file}");
    }
    // A second time nothing is drawn again; of a damaged one all is.
    let samples = evaluation.join("trained/seed-0/samples.json");
    let before = fs::metadata(&samples).unwrap().modified().unwrap();
    let table = || fs::read_to_string(evaluation.join("table.json")).unwrap();
    let first = table();
    assert!(evaluate(&[&whole_run]).status.success());
    assert_eq!((fs::metadata(&samples).unwrap().modified().unwrap(), table()), (before, first.clone()));
    fs::remove_file(evaluation.join("trained/seed-0/model.json")).unwrap();
    assert!(evaluate(&[&whole_run]).status.success());
    assert_ne!(fs::metadata(&samples).unwrap().modified().unwrap(), before);
    assert_eq!(table(), first);
    let output = evaluate(&[&whole_run, &whole_run]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("two runs of seed 0 as `trained`"), "{text}");
    let output = evaluate(&["untrained=nowhere"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("nowhere"), "{text}");

    run("parts", "bf16", 1, &[]);
    run("parts", "bf16", 2, &["--resume"]);
    assert_eq!(metrics("parts")[0], whole[0]);
    run("plain", "f32", 1, &[]);
    assert_eq!(metrics("plain")[0].get("ratio_max"), Some(1.0));
}

#[test]
fn concepts_are_taught_first_and_training_begins_from_them() {
    let folder = tempfile::tempdir().unwrap();
    let (out, runs) = (folder.path().join("published"), folder.path().join("runs"));
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/unictokens/tests/fixtures/concepts");
    said(&example("published"), &[data.to_str().unwrap(), out.to_str().unwrap()]);
    let (config, output) = (out.join("personalize.toml"), format!("run.output={}", runs.display()));
    let arguments = ["--config", config.to_str().unwrap(), "--set", &output, "--set", "data.concepts=['miso', 'kona']"];
    let text = said(&example("personalize"), &arguments);
    assert!(text.contains("| miso | generation | 3 |"), "{text}");
    let taught = runs.join("personalised");
    for file in [
        "report.html",
        "concepts.json",
        "miso/generation/epoch_3_embed.pt",
        "kona/understanding/metrics.jsonl",
        "kona/understanding/events.out.tfevents.counterpoint",
    ] {
        assert!(taught.join(file).is_file(), "{file}");
    }
    // Nothing is left to do, and what is there is the same.
    let rows = || fs::read(taught.join("miso/generation/epoch_3.safetensors")).unwrap();
    let before = rows();
    said(&example("personalize"), &[&arguments[..], &["--resume"]].concat());
    assert_eq!(rows(), before);

    // <vera>, which was not taught, begins from words as the recipe says.
    let sets = [
        output,
        format!("policy.personalised={}", taught.display()),
        "trainer.steps=1".to_owned(),
        "trainer.warmup_steps=0".to_owned(),
        "trainer.group_size=2".to_owned(),
        "trainer.max_attempts=1".to_owned(),
        "sampler.image.timesteps=2".to_owned(),
        "sampler.image.checkpoint_step=1".to_owned(),
        "evaluation.max_tasks=1".to_owned(),
    ];
    let config = out.join("sync_r1.toml");
    let sets = sets.iter().flat_map(|set| ["--set", set.as_str()]);
    let arguments: Vec<&str> = ["--config", config.to_str().unwrap()].into_iter().chain(sets).collect();
    said(&example("sync_r1"), &arguments);
    assert!(runs.join("published/metrics.jsonl").is_file());

    fs::write(taught.join("concepts.json"), "{\"concept_files\": [{\"name\": \"miso\"}]}").unwrap();
    let output = Command::new(example("sync_r1")).args(&arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("concepts.json") && text.contains("files"), "{text}");
}
