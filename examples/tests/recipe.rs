//! The Sync-R1 recipe itself, shortened: what its config builds, trains and resumes.
#![allow(clippy::unwrap_used)]

use std::any::Any;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use counterpoint::checkpoint::latest;
use counterpoint::config::RunConfig;
use counterpoint::metrics::MetricsLog;
use counterpoint::registry;
use counterpoint::trainer::Outcome;
use counterpoint::{StopToken, Trainer};
use counterpoint_examples::parts;
use counterpoint_showo::ShowoPolicy;

fn base() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn config(extra: &[&str]) -> RunConfig {
    let short = [
        "trainer.steps=4",
        "trainer.group_size=3",
        "trainer.images_per_answer=1",
        "data.answer_share=0",
        "trainer.warmup_steps=1",
        "trainer.max_attempts=2",
        "trainer.checkpoint_every=2",
        "sampler.image.timesteps=4",
        "sampler.image.checkpoint_step=1",
        "objective.denoising_steps=2",
    ];
    let overrides: Vec<String> = short.iter().chain(extra).map(|s| (*s).to_owned()).collect();
    RunConfig::load(&base().join("sync_r1.toml"), &overrides).unwrap()
}

fn trainer(config: &RunConfig, folder: &Path) -> Trainer {
    let parts = parts(config, &base(), &Device::flex()).unwrap();
    let trainer = Trainer::new(parts, config.trainer.clone(), config.run.seed).unwrap();
    trainer.with_folder(folder).with_run_config(&config.to_table().unwrap()).unwrap()
}

fn metrics(folder: &Path) -> Vec<counterpoint::metrics::Metrics> {
    let lines = MetricsLog::read(&folder.join("metrics.jsonl")).unwrap();
    lines.into_iter().map(|(_, metrics)| metrics.without_timings()).collect()
}

/// The trained decoder as a file under the official names. (Checkpoints carry burn's parameter ids besides, which are
/// drawn anew in every process.)
fn parameters(trainer: Trainer, folder: &Path) -> Vec<u8> {
    let policy: Box<dyn Any> = trainer.into_parts().policy;
    let policy = policy.downcast::<ShowoPolicy>().unwrap();
    let path = folder.join("final.safetensors");
    policy.decoder().save(&path).unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn a_run_that_was_stopped_and_resumed_equals_the_uninterrupted_one_bit_for_bit() {
    let config = config(&[]);
    let (whole, halves) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut uninterrupted = trainer(&config, whole.path());
    assert_eq!(uninterrupted.run(&StopToken::new()).unwrap(), Outcome::Completed);

    let mut first = trainer(&config, halves.path());
    let stop = StopToken::new();
    let from_within = stop.clone();
    first.on_event(move |event| {
        if matches!(event, counterpoint::Event::Step(report) if report.step == 2) {
            from_within.set();
        }
    });
    assert_eq!(first.run(&stop).unwrap(), Outcome::Cancelled);
    drop(first);
    let mut second = trainer(&config, halves.path());
    second.resume(&latest(&halves.path().join("checkpoints")).unwrap().unwrap()).unwrap();
    assert_eq!(second.progress().step, 3);
    second.run(&StopToken::new()).unwrap();

    assert_eq!(metrics(halves.path()), metrics(whole.path()));
    assert_eq!(metrics(whole.path()).len(), 4);
    let [a, b] = [parameters(second, halves.path()), parameters(uninterrupted, whole.path())];
    assert!(a == b, "the final parameters differ");
}

#[test]
fn rollouts_and_updates_on_two_devices_and_rewards_on_their_own_give_the_same_run() {
    let nested = ["trainer.steps=2", "trainer.group_size=4", "trainer.images_per_answer=2"];
    let two = ["rollouts", "updates"].map(|what| format!("placement.{what}=[\"flex\", \"flex\"]"));
    let placed = [two[0].as_str(), &two[1], "placement.rewards=flex"];
    let run = |set: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let mut trainer = trainer(&config(set), folder.path());
        trainer.run(&StopToken::new()).unwrap();
        (metrics(folder.path()), parameters(trainer, folder.path()))
    };
    let (alone, placed) = (run(&nested), run(&[&nested[..], &placed].concat()));
    assert_eq!(alone.0, placed.0);
    assert!(alone.1 == placed.1, "the final parameters differ");
}

#[test]
fn an_unknown_place_is_named_with_its_key() {
    for (key, set) in [
        ("placement.rollouts", "placement.rollouts=[\"flex\", \"gpu\"]"),
        ("placement.updates", "placement.updates=[\"gpu\"]"),
        ("placement.rewards", "placement.rewards=gpu"),
    ] {
        let message = parts(&config(&[set]), &base(), &Device::flex()).err().unwrap().to_string();
        assert!(message.contains(key) && message.contains("`gpu`") && message.contains("`vulkan`"), "{message}");
    }
    let message = parts(&config(&["placement.rewards=cuda:0"]), &base(), &Device::flex()).err().unwrap().to_string();
    assert!(message.contains("--features cuda"), "{message}");
}

#[test]
fn answers_alone_are_learned_from_beside_images() {
    let folder = tempfile::tempdir().unwrap();
    let set = [
        "trainer.steps=1",
        "trainer.tasks_per_step=2",
        "data.answer_share=0.5",
        "trainer.generation_learning_rate=1e-4",
    ];
    let mut trainer = trainer(&config(&set), folder.path());
    trainer.run(&StopToken::new()).unwrap();
    let metrics = metrics(folder.path()).remove(0);
    // Of two groups of three one is painted.
    assert_eq!(metrics.get("rewards/ber/abstained"), Some(3.0));
    assert_eq!(metrics.get("rewards/tier/abstained"), Some(0.0));
    for half in ["understanding", "generation"] {
        assert!(metrics.get(&format!("grad_norm/{half}")).is_some(), "{half}");
    }
}

#[test]
fn answers_that_end_at_their_limit_are_counted_and_may_be_left_out_of_the_loss() {
    let short = ["trainer.steps=1", "sampler.text.max_new_tokens=1"];
    let step = |set: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        trainer(&config(set), folder.path()).run(&StopToken::new()).unwrap();
        metrics(folder.path()).remove(0)
    };
    let (learned, masked) = (step(&short), step(&[&short[..], &["objective.mask_truncated=true"]].concat()));
    for metrics in [&learned, &masked] {
        assert_eq!(metrics.get("answer/truncated"), Some(1.0));
    }
    assert!(learned.get("ratio_mean/understanding").is_some());
    assert_eq!(masked.get("ratio_mean/understanding"), None);
    assert!(masked.get("ratio_mean/generation").is_some());
}

#[test]
fn the_seed_alone_settles_a_run() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    for (folder, seed) in folders.iter().zip(["run.seed=1", "run.seed=1", "run.seed=2"]) {
        trainer(&config(&["trainer.steps=1", seed]), folder.path()).run(&StopToken::new()).unwrap();
    }
    let [a, b, c] = [0, 1, 2].map(|i| metrics(folders[i].path()));
    assert_eq!(a, b);
    assert_ne!(a, c);
}

#[test]
fn everything_that_the_recipes_select_is_registered() {
    assert_eq!(registry::policies(), ["janus", "showo"]);
    assert_eq!(registry::samplers(), ["janus", "showo"]);
    assert_eq!(
        registry::rewards(),
        ["accuracy", "ber", "clip", "cycle", "der", "fer", "format", "plugin", "shapes", "tier", "tim"]
    );
    assert_eq!(registry::filters(), ["dgs", "drop_zero_variance", "keep_all", "top_k"]);
    assert_eq!(registry::objectives(), ["dapo", "dr_grpo", "grpo", "gspo", "sync_grpo"]);
}

#[test]
fn a_component_with_a_wrong_name_or_setting_is_refused_with_the_nearest() {
    let refused = |set: &str| parts(&config(&[set]), &base(), &Device::flex()).err().unwrap().to_string();
    let message = refused("policy.kind=shwo");
    assert!(message.contains("`shwo`") && message.contains("did you mean `showo`"), "{message}");
    let message = refused("filter.tpr=1.5");
    assert!(message.contains("filter.tpr") && message.contains("1.5"), "{message}");
    let message = refused("sampler.image.timestep=4");
    assert!(message.contains("timestep") && message.contains("did you mean `timesteps`"), "{message}");
    let message = refused("policy.model=\"nowhere\"");
    assert!(message.contains("nowhere") && message.contains("config.json"), "{message}");
}
