//! The control tasks on the tiny Show-o: the estimators that are meant for learning let easy rewards rise.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use burn::tensor::Device;
use counterpoint::SyncGrpoConfig;
use counterpoint::config::RunConfig;
use counterpoint::controls::{Control, Outcome};
use counterpoint_examples::parts;

fn run(control: Control) -> Outcome {
    let base = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let set = [
        "trainer.steps=15",
        "trainer.warmup_steps=1",
        "trainer.tasks_per_step=1",
        "trainer.group_size=12",
        "trainer.images_per_answer=1",
        "trainer.learning_rate=5e-4",
        "trainer.generation_learning_rate=shared",
        "policy.trainable=all",
        "sampler.image.timesteps=4",
        "sampler.image.checkpoint_step=1",
        "sampler.image.score_guidance=false",
        "objective.a_und=1",
        "objective.a_gen=1",
        "objective.credit=causal",
        "objective.image_positions=revealed",
        "objective.denoising_steps=4",
    ];
    let config = RunConfig::load(&base.join("sync_r1.toml"), &set.map(str::to_owned)).unwrap();
    let objective = SyncGrpoConfig::of(&config.objective.kind, &config.objective.settings).unwrap();
    let parts = parts(&config, &base, &Device::flex()).unwrap();
    control.run(parts, &config.trainer, &objective, 'l', 0).unwrap()
}

#[test]
fn an_easy_reward_of_images_rises() {
    let outcome = run(Control::Generation);
    assert!(outcome.passed(), "{outcome:?}");
}

#[test]
fn easy_rewards_of_both_halves_rise_together() {
    let outcome = run(Control::Both);
    assert!(outcome.passed(), "{outcome:?}");
}

#[test]
fn an_easy_reward_of_answers_rises_and_moves_no_image_where_images_are_not_rewarded() {
    for control in [Control::Understanding, Control::AnswerAlone] {
        let outcome = run(control);
        assert!(outcome.passed(), "{outcome:?}");
    }
}
