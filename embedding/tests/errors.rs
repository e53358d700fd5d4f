//! What goes wrong reaches the embedding program as a kind that it can match on, with a message for people.
#![cfg(feature = "flex")]
#![allow(clippy::unwrap_used)]

mod common;

use common::{folder, step, trainer, weights};
use counterpoint::burn::tensor::Device;
use counterpoint::config::TrainerConfig;
use counterpoint::{
    Error, ErrorKind, Learner, LogProbs, Parameters, Parts, Policy, Replay, Result, Reward, RewardEnsemble, Sample,
    Score, StopToken, Streams, Task, Trainer,
};
use counterpoint_embedding::{Composer, Stepwise, parts};

fn config() -> TrainerConfig {
    TrainerConfig { steps: 5, group_size: 4, warmup_steps: 0, ..TrainerConfig::default() }
}

fn toy() -> Parts {
    parts(&Device::flex()).unwrap()
}

/// Its parts with something else in them.
fn changed(change: impl FnOnce(&mut Parts)) -> Parts {
    let mut parts = toy();
    change(&mut parts);
    parts
}

/// The kind of the error, and its message with those of its causes, that a run of `parts` ends with.
fn fails(parts: Parts) -> (ErrorKind, String) {
    let error = Trainer::new(parts, config(), 1).unwrap().run(&StopToken::new()).unwrap_err();
    (error.kind(), format!("{error:#}"))
}

/// What a program might do about each kind.
fn reaction(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Config => "show the form again",
        ErrorKind::Data => "skip the file",
        ErrorKind::Contract => "file a bug",
        ErrorKind::Reward => "restart the expert",
        ErrorKind::NonFinite => "lower the learning rate",
        ErrorKind::Checkpoint => "start anew",
        ErrorKind::Io => "free some space",
        // More kinds may come.
        _ => "tell the user",
    }
}

#[test]
fn a_setting_out_of_range_is_a_config_error() {
    let error = Trainer::new(toy(), TrainerConfig { group_size: 1, ..config() }, 1).err().unwrap();
    assert_eq!(reaction(&error), "show the form again");
    assert_eq!(error.to_string(), "trainer.group_size: expected an integer of 2 or more, got 1");
}

#[test]
fn an_error_of_the_programs_own_task_source_comes_back_as_it_is() {
    let tasks = |_step: u64, cursor: u64, _: &Streams| match cursor {
        0..3 => Ok(Task::new(cursor, "0")),
        _ => Err(Error::data("songs.txt: expected another line, got the end")),
    };
    let (kind, message) = fails(changed(|p| p.tasks = Box::new(tasks)));
    assert_eq!((kind, message.as_str()), (ErrorKind::Data, "songs.txt: expected another line, got the end"));
}

/// A policy that its sampler does not know.
struct Stranger(Composer);

impl Policy for Stranger {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        self.0.log_probs(chunk, parameters)
    }

    fn kind(&self) -> &str {
        "stranger"
    }

    fn learner(&mut self) -> &mut dyn Learner {
        self.0.learner()
    }
}

#[test]
fn a_sampler_refuses_a_policy_of_another_kind() {
    let policy = Box::new(Stranger(Composer::new(&Device::flex())));
    let (kind, message) = fails(changed(|p| p.policy = policy));
    assert_eq!(kind, ErrorKind::Contract);
    let says = "the sampler draws from policies of type counterpoint_embedding::policy::Composer and was given one of kind `stranger`";
    assert!(message.starts_with(says), "{message}");
}

/// A policy whose replay forgets what its sampler did.
struct Forgetful(Composer);

impl Policy for Forgetful {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        let scores = self.0.log_probs(chunk, parameters)?;
        Ok(LogProbs::new(scores.log_probs * 0.5))
    }

    fn learner(&mut self) -> &mut dyn Learner {
        self.0.learner()
    }

    fn wrapped(&self) -> Option<&dyn Policy> {
        Some(&self.0)
    }
}

#[test]
fn a_policy_that_scores_wrongly_is_not_trained() {
    // Its sampler draws from the composer inside.
    let policy = Box::new(Forgetful(Composer::new(&Device::flex())));
    let (kind, message) = fails(changed(|p| p.policy = policy));
    assert_eq!(kind, ErrorKind::Contract);
    assert!(message.contains("Understanding segment, step 0, position 0"), "{message}");
}

/// A reward that answers every batch with the same words.
struct Always(fn(&Sample) -> Result<Score>);

impl Reward for Always {
    fn name(&self) -> &str {
        "always"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        samples.iter().map(self.0).collect()
    }
}

fn rewarded(reward: Box<dyn Reward>) -> Parts {
    let weights = [(reward.name().to_owned(), 1.0)].into();
    let rewards = RewardEnsemble::new(vec![reward], [("default".to_owned(), weights)].into()).unwrap();
    changed(|p| p.rewards = rewards)
}

#[test]
fn a_reward_that_fails_as_a_whole_stops_the_run_with_its_name() {
    let (kind, message) = fails(rewarded(Box::new(Always(|_| Err(Error::data("the judge has left"))))));
    assert_eq!(kind, ErrorKind::Reward);
    assert!(message.contains("`always`") && message.ends_with("the judge has left"), "{message}");
}

#[test]
fn scores_that_are_not_numbers_stop_the_run_after_three_steps() {
    let (kind, message) = fails(rewarded(Box::new(Always(|_| Ok(Score::Value(f64::NAN))))));
    assert_eq!(kind, ErrorKind::NonFinite);
    assert!(message.contains("3 steps in a row") && message.contains("`always`"), "{message}");
}

#[test]
fn abstentions_and_failures_of_single_samples_are_no_errors() {
    let samples: Vec<Sample> = (0..)
        .zip(["1 2 3", "7", "do re mi"])
        .map(|(i, melody)| Sample::new(&Task::new(0, "1"), i, String::new(), melody.to_owned(), None))
        .collect();
    let scores = Stepwise.score(&samples).unwrap();
    assert_eq!(scores[0], Score::Value(1.0));
    assert!(matches!(scores[1], Score::Abstain(_)) && matches!(scores[2], Score::Fail(_)), "{scores:?}");

    // Nothing to compare with: the group is dropped, the run goes on.
    let abstaining = rewarded(Box::new(Always(|_| Ok(Score::Abstain("no opinion".into())))));
    let mut run = Trainer::new(abstaining, config(), 1).unwrap();
    let log = common::listen(&mut run);
    assert!(!run.step().unwrap().updated);
    assert!(log.lock().unwrap().iter().any(|line| line.contains("GroupDropped")), "{:?}", log.lock().unwrap());
}

#[test]
fn a_checkpoint_of_another_run_is_refused_and_changes_nothing() {
    let folder = folder("foreign");
    let mut made = trainer(5, 1).with_folder(&folder);
    step(&mut made);
    step(&mut made);
    let checkpoint = folder.join("checkpoints/step-000002");

    let mut other = trainer(5, 2);
    let before = weights(&mut other);
    let error = other.resume(&checkpoint).unwrap_err();
    assert_eq!(reaction(&error), "start anew");
    assert!(error.to_string().contains("seed"), "{error}");
    assert_eq!((weights(&mut other), other.progress().step), (before, 0));

    let policy = Box::new(Stranger(Composer::new(&Device::flex())));
    let mut stranger = Trainer::new(changed(|p| p.policy = policy), config(), 1).unwrap();
    let error = stranger.resume(&checkpoint).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checkpoint);
    assert!(error.to_string().contains("stranger") && error.to_string().contains("melody"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_written_is_an_io_error_with_its_cause() {
    let file = folder("io").join("occupied");
    std::fs::write(&file, "a file").unwrap();
    let mut run = trainer(5, 1).with_folder(&file);
    let error = run.step().unwrap_err();
    assert_eq!(run.progress().step, 0, "nothing was computed that could not be kept");
    assert_eq!(reaction(&error), "free some space");
    assert!(error.to_string().contains("occupied"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}
