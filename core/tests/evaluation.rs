//! Evaluations between steps, checks of the data before the first one, and samples that no reward is to judge.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{ToyPolicy, ToyTasks, alone, changed, config, each, parts, taste, trainer, weights};
use counterpoint::checkpoint::latest;
use counterpoint::config::{RunConfig, TrainerConfig};
use counterpoint::evaluation::{means, metrics};
use counterpoint::metrics::MetricsLog;
use counterpoint::{
    Candidate, Error, ErrorKind, Evaluator, Event, Judged, Result, Reward, RewardEnsemble, Rollout, Sample, Sampler,
    Score, Segment, StopToken, Streams, Task, TaskSource, Trainer, Trajectory, one_shot,
};

/// Two tasks; scores whether the answer begins with a 2, and how many calls there were before as the second score.
struct Exam {
    tasks: Vec<Task>,
    calls: f64,
}

impl Exam {
    fn new() -> Box<Self> {
        let task = |id, class: &str| Task::new(id, "1").with_class(class).with_base_prompt(format!("task {id}"));
        Box::new(Self { tasks: vec![task(0, "even"), task(1, "odd")], calls: 0.0 })
    }
}

impl Evaluator for Exam {
    fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    fn candidates(&self) -> u64 {
        3
    }

    fn split(&self, task: &Task) -> String {
        task.class.clone()
    }

    fn judge(&mut self, _task: &Task, samples: &[Sample]) -> Result<Vec<Vec<(String, f64)>>> {
        self.calls += 1.0;
        let right = |sample: &Sample| f64::from(u8::from(sample.response.starts_with('2')));
        Ok(samples.iter().map(|s| vec![("two".to_owned(), right(s)), ("calls".to_owned(), self.calls)]).collect())
    }
}

fn run(evaluated: bool, folder: &Path) -> (Vec<u32>, Vec<Vec<Judged>>, Vec<u64>) {
    let settings = TrainerConfig { checkpoint_every: 2, ..config(6) };
    let mut run = trainer(parts(), settings).with_folder(folder);
    if evaluated {
        run = run.with_evaluator(Exam::new(), 2, Some("calls"));
    }
    let (seen, steps) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (samples, at) = (Arc::clone(&seen), Arc::clone(&steps));
    run.on_event(move |event| {
        if let Event::Evaluated { step, samples: judged } = event {
            samples.lock().unwrap().push(judged.to_vec());
            at.lock().unwrap().push(*step);
        }
    });
    run.run(&StopToken::new()).unwrap();
    let (seen, steps) = (seen.lock().unwrap().clone(), steps.lock().unwrap().clone());
    (weights(&mut run), seen, steps)
}

#[test]
fn an_evaluation_every_few_steps_is_in_metrics_and_events_and_changes_nothing() {
    let (with, without) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (trained, evaluations, steps) = run(true, with.path());
    assert_eq!(trained, run(false, without.path()).0);
    assert_eq!(steps, [2, 4, 6]);

    let samples = &evaluations[2];
    assert_eq!(samples.len(), 6);
    assert_eq!((samples[0].split.as_str(), samples[5].split.as_str(), samples[5].task), ("even", "odd", 1));
    assert_eq!(samples[5].prompt, "task 1");
    assert!(
        samples
            .iter()
            .all(|s| s.image.is_some() && s.rewards.contains_key("taste") && s.rewards.contains_key("reward"))
    );
    let lines = MetricsLog::read(&with.path().join("metrics.jsonl")).unwrap();
    let metrics = &lines[5].1;
    let mean = means(samples).into_iter().find(|(name, _)| name == "two").unwrap().1;
    assert_eq!(metrics.get("eval/two"), Some(mean));
    let taste = samples.iter().map(|s| s.rewards["taste"]).sum::<f64>() / 6.0;
    assert!((metrics.get("eval/rewards/taste").unwrap() - taste).abs() < 1e-12);
    assert!(metrics.get("eval/reward").is_some() && lines[4].1.get("eval/two").is_none());
}

#[test]
fn what_is_judged_may_be_drawn_by_another_sampler_and_training_does_not_notice() {
    let other_sampler = one_shot(|_: &ToyPolicy, task, candidates| {
        let one = |candidate: &Candidate| {
            let number = candidate.key.candidate;
            let text = Segment::text(vec![1], vec![2], vec![0.0]);
            let sample = Sample::new(task, number, task.question.clone(), "2 by another".to_owned(), None);
            Rollout::new(Trajectory::new(number, vec![text]), sample)
        };
        Ok(candidates.iter().map(one).collect())
    });
    let run = |other: Option<Box<dyn Sampler>>| {
        let rewards = alone(each("taste", |sample| Score::Value(sample.image.as_ref().map_or(0.0, |_| taste(sample)))));
        let parts = changed(parts(), |parts| parts.rewards = rewards);
        let mut run = trainer(parts, config(3)).with_evaluator(Exam::new(), 1, None);
        if let Some(other) = other {
            run = run.with_evaluation_sampler(other);
        }
        run.run(&StopToken::new()).unwrap();
        let judged = run.evaluate(&mut || {}).unwrap().unwrap();
        (weights(&mut run), judged.iter().all(|sample| sample.response == "2 by another"))
    };
    let (trained, drawn) = run(Some(other_sampler));
    assert!(drawn);
    assert_eq!(run(None), (trained, false));
}

#[test]
fn the_metric_that_is_named_decides_which_checkpoint_is_the_best() {
    // Of calls there are always more; of the reward of a step there are not.
    let folder = tempfile::tempdir().unwrap();
    run(true, folder.path());
    let checkpoints = folder.path().join("checkpoints");
    let newest = latest(&checkpoints).unwrap().unwrap();
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(newest.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["metric"].as_f64(), Some(5.5), "calls 5 and 6: {manifest}");

    let settings = TrainerConfig { checkpoint_every: 1, ..config(2) };
    let error = trainer(parts(), settings).with_evaluator(Exam::new(), 1, Some("too")).step().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("two") && error.to_string().contains("got `too`"), "{error}");
}

#[test]
fn rewards_of_responses_that_were_given_are_no_rewards_of_what_a_model_said() {
    let sample = |given, reward: f64| Judged {
        given,
        scores: vec![(if given { "painting/image" } else { "image" }.to_owned(), reward)],
        rewards: [("reward".to_owned(), reward)].into(),
        ..Judged::default()
    };
    let found = metrics(&[sample(false, 0.25), sample(true, 1.0)]);
    assert_eq!(found.get("eval/reward"), Some(0.25));
    assert_eq!((found.get("eval/image"), found.get("eval/painting/image")), (Some(0.25), Some(1.0)));
    assert_eq!(metrics(&[sample(true, 1.0)]).get("eval/reward"), Some(1.0), "there is nothing else");
}

#[test]
fn the_section_says_when_and_by_what() {
    let text = "[run]\nname = 'a'\n[data]\nkind = 'a'\n[policy]\nkind = 'a'\n[sampler]\nkind = 'a'\n\
                image = { guidance_scale = 0.0, timesteps = 4 }\n[rewards.a]\n\
                [reward_weights.default]\na = 1.0\n[trainer]\ncheckpoint_every = 10\n";
    let load = |more: &str| RunConfig::from_toml(&format!("{text}[evaluation]\n{more}"), &[]);
    let section = load("kind = 'exam'\nevery = 5\nbest = 'two'\nown = 3").unwrap();
    assert_eq!((section.evaluation.every, section.evaluation.best.as_deref()), (5, Some("two")));
    assert_eq!(section.evaluation.settings["own"].as_integer(), Some(3));
    assert_eq!(RunConfig::from_toml(&section.to_toml().unwrap(), &[]).unwrap(), section);
    assert_eq!(section.evaluation_sampler(), None);
    let plain = RunConfig::from_toml(text, &[]).unwrap();
    assert_eq!(plain.evaluation.kind, "none");

    let guided = load("kind = 'exam'\nsampler = { image = { guidance_scale = 2.0 }, text = { top_k = 3 } }").unwrap();
    assert_eq!(RunConfig::from_toml(&guided.to_toml().unwrap(), &[]).unwrap(), guided);
    assert_eq!(guided.sampler, plain.sampler);
    let sampler = guided.evaluation_sampler().unwrap();
    let expected = "image = { guidance_scale = 2.0, timesteps = 4 }\ntext = { top_k = 3 }";
    assert_eq!((sampler.kind.as_str(), sampler.settings), ("a", expected.parse().unwrap()));
    for (more, words) in [
        ("every = 5", "evaluation.kind"),
        ("kind = 'exam'\nevery = 3\nbest = 'two'", "a divisor of trainer.checkpoint_every (10)"),
        ("kind = 'exam'\nevery = -1", "0 or more"),
        ("sampler = { text = {} }", "evaluation.kind"),
        ("kind = 'exam'\nsampler = 'greedy'", "a table of keys of [sampler]"),
    ] {
        let error = load(more).unwrap_err().to_string();
        assert!(error.contains(words), "{more}: {error}");
    }
}

/// Tasks of two classes, which stand for themselves.
struct Surveyed;

impl TaskSource for Surveyed {
    fn task(&self, step: u64, cursor: u64, streams: &Streams) -> Result<Task> {
        ToyTasks.task(step, cursor, streams)
    }

    fn survey(&self) -> Result<Vec<Task>> {
        Ok(["cat", "person", "person"].map(|class| Task::new(0, "1").with_class(class)).to_vec())
    }
}

/// Refuses persons.
struct Shy;

impl Reward for Shy {
    fn name(&self) -> &str {
        "shy"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        Ok(samples.iter().map(|s| Score::Value(taste(s))).collect())
    }

    fn check(&mut self, tasks: &[Task]) -> Result<()> {
        let persons = tasks.iter().filter(|task| task.class == "person").count();
        if persons > 0 { Err(Error::data(format!("{persons} persons of {}", tasks.len()))) } else { Ok(()) }
    }
}

#[test]
fn rewards_see_before_the_first_step_the_tasks_in_whose_class_they_have_a_weight() {
    let made = |tables: &[(&str, &str)]| {
        let table = |(class, reward): &(&str, &str)| ((*class).to_owned(), [((*reward).to_owned(), 1.0)].into());
        let rewards: Vec<Box<dyn Reward>> = vec![Box::new(Shy), each("bold", |s| Score::Value(taste(s)))];
        let ensemble = RewardEnsemble::new(rewards, tables.iter().map(table).collect()).unwrap();
        let parts = changed(parts(), |p| {
            p.tasks = Box::new(Surveyed);
            p.rewards = ensemble;
        });
        Trainer::new(parts, config(1), 7)
    };
    let error = made(&[("default", "shy")]).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("reward `shy`: 2 persons of 3"), "{error}");
    assert!(made(&[("default", "shy"), ("person", "bold")]).is_ok());
    assert!(made(&[("default", "bold"), ("person", "shy")]).err().unwrap().to_string().contains("2 persons of 2"));
}

#[test]
fn a_sample_that_is_withheld_is_dropped_with_its_reason() {
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let mut ensemble = alone(each("taste", move |_| {
        *count.lock().unwrap() += 1;
        Score::Value(0.5)
    }));
    let sample = |i| Sample::new(&Task::new(0, "1"), i, String::new(), "1".to_owned(), None);
    let scored = ensemble.score(&[sample(0), sample(1).withhold("too long"), sample(2)]).unwrap();
    assert_eq!(scored.iter().map(|s| s.total).collect::<Vec<_>>(), [Some(0.5), None, Some(0.5)]);
    assert!(scored[1].reason().unwrap().contains("`taste` (too long)"), "{:?}", scored[1].reason());
    assert_eq!(*asked.lock().unwrap(), 2);
}
