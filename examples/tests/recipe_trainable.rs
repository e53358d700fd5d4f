//! The Sync-R1 recipe on each part of the policy that can be trained: rollouts, rewards, updates, checkpoint, resume.
#![allow(clippy::unwrap_used)]

use std::any::Any;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use counterpoint::checkpoint::latest;
use counterpoint::config::RunConfig;
use counterpoint::metrics::{Metrics, MetricsLog};
use counterpoint::trainer::Outcome;
use counterpoint::{StopToken, Trainer};
use counterpoint_examples::parts;
use counterpoint_showo::ShowoPolicy;

fn base() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn config(trainable: &str) -> RunConfig {
    let trainable = format!("policy.trainable={trainable}");
    let short = [
        &trainable,
        "trainer.steps=2",
        "trainer.group_size=2",
        "trainer.images_per_answer=1",
        "data.answer_share=0",
        "trainer.tasks_per_step=1",
        "trainer.warmup_steps=1",
        "trainer.max_attempts=1",
        "trainer.checkpoint_every=1",
        "trainer.keep_last=2",
        "sampler.image.timesteps=3",
        "sampler.image.checkpoint_step=1",
        "objective.denoising_steps=1",
    ];
    let overrides: Vec<String> = short.iter().map(|s| (*s).to_owned()).collect();
    RunConfig::load(&base().join("sync_r1.toml"), &overrides).unwrap()
}

fn trainer(config: &RunConfig, folder: &Path) -> Trainer {
    let parts = parts(config, &base(), &Device::flex()).unwrap();
    let trainer = Trainer::new(parts, config.trainer.clone(), config.run.seed).unwrap();
    trainer.with_folder(folder).with_run_config(&config.to_table().unwrap()).unwrap()
}

fn metrics(folder: &Path) -> Vec<Metrics> {
    let lines = MetricsLog::read(&folder.join("metrics.jsonl")).unwrap();
    lines.into_iter().map(|(_, metrics)| metrics.without_timings()).collect()
}

/// The trained decoder under the official names, adapters merged.
fn weights(trainer: Trainer, folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let policy: Box<dyn Any> = trainer.into_parts().policy;
    policy.downcast::<ShowoPolicy>().unwrap().decoder().save(&folder.join("final.safetensors")).unwrap();
    tensors(&folder.join("final.safetensors"))
}

fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect()
}

/// Trains two steps and, in another folder, the second one again from the first one's checkpoint; gives the names of the
/// weights that have changed and the bytes of a checkpoint's parameters.
fn trained(trainable: &str) -> (Vec<String>, u64) {
    let config = config(trainable);
    let (whole, half) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut uninterrupted = trainer(&config, whole.path());
    assert_eq!(uninterrupted.run(&StopToken::new()).unwrap(), Outcome::Completed);
    let mut resumed = trainer(&config, half.path());
    resumed.resume(&whole.path().join("checkpoints/step-000001")).unwrap();
    assert_eq!(resumed.run(&StopToken::new()).unwrap(), Outcome::Completed);
    assert_eq!(metrics(half.path()), metrics(whole.path())[1..]);

    let bytes = std::fs::metadata(whole.path().join("checkpoints/step-000001/parameters.bpk")).unwrap().len();
    let (resumed, after) = (weights(resumed, half.path()), weights(uninterrupted, whole.path()));
    assert!(resumed == after, "the final weights differ");
    let before = tensors(&base().join("../policies/showo/assets/tiny/model.safetensors"));
    assert!(before.keys().eq(after.keys()), "the official names");
    (before.keys().filter(|name| before[*name] != after[*name]).cloned().collect(), bytes)
}

fn outside(name: &str) -> bool {
    name.contains("embed_tokens") || name.contains("lm_head")
}

#[test]
fn all_and_decoder() {
    let (all, whole) = trained("all");
    let (decoder, part) = trained("decoder");
    assert!(all.iter().any(|name| outside(name)) && all.len() > decoder.len());
    assert!(!decoder.is_empty() && !decoder.iter().any(|name| outside(name)), "{decoder:?}");
    assert!(part < whole);
}

#[test]
fn concept_tokens() {
    let (changed, bytes) = trained("concept_tokens");
    assert!(!changed.is_empty() && changed.iter().all(|name| outside(name)), "{changed:?}");
    let whole = std::fs::metadata(base().join("../policies/showo/assets/tiny/model.safetensors")).unwrap().len();
    assert!(bytes < whole / 20, "{bytes} of {whole} bytes");
}

#[test]
fn lora_with_dropout_passes_the_gate() {
    let lora = |dropout| format!("{{ lora = {{ rank = 2, dropout = {dropout}, targets = [\"q_proj\", \"fc1\"] }} }}");
    let (changed, bytes) = trained(&lora("0.3"));
    let target = |name: &String| name.ends_with("q_proj.weight") || name.ends_with("fc1.weight");
    assert!(!changed.is_empty() && changed.iter().all(target), "{changed:?}");
    let whole = std::fs::metadata(base().join("../policies/showo/assets/tiny/model.safetensors")).unwrap().len();
    assert!(bytes < whole / 5, "{bytes} of {whole} bytes");
}

#[test]
fn a_run_goes_on_only_with_what_it_trained() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = trainer(&config("concept_tokens"), folder.path());
    first.step().unwrap();
    first.save().unwrap();
    drop(first);
    let mut second = trainer(&config("decoder"), folder.path());
    let message = second.resume(&latest(&folder.path().join("checkpoints")).unwrap().unwrap()).unwrap_err().to_string();
    assert!(message.contains("policy.trainable"), "{message}");
}

#[test]
fn a_wrong_setting_is_refused_with_its_key() {
    let refused = |trainable: &str| parts(&config(trainable), &base(), &Device::flex()).err().unwrap().to_string();
    let message = refused("decodr");
    assert!(message.contains("policy.trainable") && message.contains("did you mean `decoder`"), "{message}");
    let message = refused("{ lora = { rank = 0 } }");
    assert!(message.contains("policy.trainable: lora: rank") && message.contains("got 0"), "{message}");
    let message = refused("{ lora = { targets = [\"fc3\"] } }");
    assert!(message.contains("fc3") && message.contains("known: q_proj"), "{message}");
}

/// What a run of the default leaves, an optimizer for each half among it, becomes the originals' files.
#[test]
fn a_checkpoint_of_the_recipe_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("{ lora = { rank = 2, alpha = 4.0 } }");
    assert!(config.trainer.optimizer().per_half, "the recipe has one optimizer now: nothing is tested here");
    assert_eq!(trainer(&config, folder.path()).run(&StopToken::new()).unwrap(), Outcome::Completed);
    let written = folder.path().join("config.toml");
    let mut absolute = config.clone();
    let model = base().join("../policies/showo/assets/tiny").display().to_string();
    absolute.policy.settings.insert("model".to_owned(), model.into());
    std::fs::write(&written, absolute.to_toml().unwrap()).unwrap();

    let export = std::env::current_exe().unwrap().parent().unwrap().join("../examples/export");
    let checkpoint = latest(&folder.path().join("checkpoints")).unwrap().unwrap();
    let out = folder.path().join("exported");
    let run = std::process::Command::new(export)
        .args([
            "--config".as_ref(),
            written.as_os_str(),
            "--checkpoint".as_ref(),
            checkpoint.as_os_str(),
            out.as_os_str(),
        ])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let exported = tensors(&out.join("pytorch_model.safetensors"));
    let mut policy = ShowoPolicy::load(&base().join("../policies/showo/assets/tiny"), &Device::flex()).unwrap();
    let fresh = folder.path().join("fresh.safetensors");
    policy.module_learner().module().save(&fresh).unwrap();
    assert_ne!(exported, tensors(&fresh), "the adapters were not merged");
}
