//! Runs with plugins that each break a rule: survived by the policy that the config chooses, and no score invented.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use burn::tensor::Device;
use counterpoint::registry::{BuildContext, named_reward};
use counterpoint::{ErrorKind, Event, Result, Reward, RewardEnsemble, Score, Trainer};
use counterpoint_bad_plugins::{ALL, build, can_build};
use counterpoint_examples::parts;
use counterpoint_host::{Manifest, Probed, Runner, Sealed, Sidecar, probe};
use tempfile::TempDir;
use toml::Table;

use crate::support::{base, config};

pub fn tests() -> Vec<(&'static str, fn())> {
    vec![
        ("a_run_survives_every_bad_plugin_in_a_child_process", every_bad_plugin),
        ("a_run_survives_in_its_own_process_what_does_not_kill_it", in_this_process),
        ("a_death_costs_one_call", one_call),
        ("a_reward_that_fails_stops_the_run_with_its_name", stops),
        ("a_run_stops_when_a_plugin_is_given_up", given_up),
        ("a_value_that_is_none_or_out_of_range_is_a_failure", no_value),
        ("only_the_items_are_dropped_with_which_a_plugin_fails", dropped),
        ("a_call_that_hangs_is_ended_at_its_deadline", deadlines),
    ]
}

/// What a run sees of a plugin with `isolation = "process"` and `on_failure = "drop"`.
enum Seen {
    /// It is refused before the run, in these words.
    Refused(&'static str),
    /// No item has a score, for this reason.
    Nothing(&'static str),
    /// Some items have none, for this reason.
    Some(&'static str),
    /// Items of some images have none, for this reason.
    Perhaps(&'static str),
    /// Every item has its own score: what it breaks is for the validator to find.
    Scores,
}

fn seen(name: &str) -> Seen {
    match name {
        "future_symbol" => Seen::Refused("cpt_plugin_v1_get"),
        "future_major" => Seen::Refused("got one for 2.1; this host speaks 1.1"),
        "damaged_magic" => Seen::Refused("expected a table that begins with"),
        "short_table" | "huge_table" => Seen::Refused("expected a table of 64 bytes or more"),
        "other_version" => Seen::Refused("abi: expected the table's own version"),
        "broken_manifest" => Seen::Refused("expected a manifest"),
        "crashes_at_load" => Seen::Refused("signal"),
        "hangs_at_load" => Seen::Refused("within"),
        "refuses_settings" => Seen::Refused("not today"),
        "exits" => Seen::Nothing("exit status: 3"),
        "exits_with_0" => Seen::Nothing("exit status: 0"),
        "panics" => Seen::Nothing("signal: 6"),
        "segfaults" => Seen::Nothing("signal: 11"),
        "slow" => Seen::Nothing("within"),
        "writes_after_outputs" | "writes_before_outputs" => Seen::Nothing("it wrote outside of"),
        "flushes_subnormals" => Seen::Refused("floating-point mode"),
        "changes_rounding" => Seen::Nothing("floating-point mode"),
        "wrong_count" => Seen::Some("left this item without an answer"),
        "nan" => Seen::Perhaps("expected a finite `light`, got NaN"),
        "lies_about_range" => Seen::Perhaps("in the declared range 0 to 1"),
        "forgets_a_value" => Seen::Some("expected a finite `length`, got NaN"),
        _ => Seen::Scores,
    }
}

/// A plugin of the set, built and with a sidecar, and a table of settings for it.
struct Plugin {
    _folder: TempDir,
    path: PathBuf,
}

impl Plugin {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = build(name, folder.path());
        // What cannot say what it is has the manifest of the plugin that it pretends to be.
        let runner = Runner::find().unwrap();
        let manifest =
            look(&runner, &path, Duration::from_millis(500)).map_or_else(|_| good(), |probed| probed.manifest);
        Sidecar::of(&path, &manifest).unwrap().write(&path).unwrap();
        Self { _folder: folder, path }
    }

    fn reward(&self, settings: &str) -> Result<Box<dyn Reward>> {
        let mut table: Table = settings.parse().unwrap();
        table.insert("kind".to_owned(), "plugin".into());
        table.insert("path".to_owned(), self.path.to_str().unwrap().into());
        named_reward("good", &table, &BuildContext::new(Device::flex(), base()))
    }
}

fn good() -> Manifest {
    let folder = tempfile::tempdir().unwrap();
    let path = build("good", folder.path());
    look(&Runner::find().unwrap(), &path, Duration::from_secs(10)).unwrap().manifest
}

fn look(runner: &Runner, path: &Path, timeout: Duration) -> counterpoint_host::Result<Probed> {
    probe(runner, &Sealed::of(path)?, timeout)
}

/// A trainer that takes whatever reward it is given, and what that said of finished candidates.
struct Run {
    trainer: Trainer,
    scores: Arc<Mutex<Vec<Score>>>,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl Run {
    fn new() -> Self {
        let mut config = config(1000, &["trainer.tasks_per_step=1", "trainer.max_attempts=1"]);
        let good = Plugin::new("good");
        let mut table = Table::new();
        table.insert("kind".to_owned(), "plugin".into());
        table.insert("path".to_owned(), good.path.to_str().unwrap().into());
        config.rewards = [("good".to_owned(), table)].into();
        config.reward_weights = [("default".to_owned(), [("good".to_owned(), 1.0)].into())].into();
        config.filter.surrogate = Some("good".to_owned());
        let parts = parts(&config, &base(), &Device::flex()).unwrap();
        let mut trainer = Trainer::new(parts, config.trainer.clone(), 0).unwrap();
        let (scores, warnings) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (heard, warned) = (Arc::clone(&scores), Arc::clone(&warnings));
        trainer.on_event(move |event| match event {
            Event::Group { scores, .. } => {
                heard
                    .lock()
                    .unwrap()
                    .extend(scores.iter().flat_map(|s| s.parts.iter().map(|(_, score)| score.clone())));
            }
            Event::GroupDropped { reason, .. } => warned.lock().unwrap().push((*reason).to_owned()),
            _ => {}
        });
        Self { trainer, scores, warnings }
    }

    /// A step with `reward`, and what that said.
    fn step(&mut self, reward: Box<dyn Reward>) -> Result<Vec<Score>> {
        let weights = [("default".to_owned(), [("good".to_owned(), 1.0)].into())].into();
        self.trainer.rollouts_mut().0.rewards = RewardEnsemble::new(vec![reward], weights).unwrap();
        self.again()
    }

    /// Another step with the same reward.
    fn again(&mut self) -> Result<Vec<Score>> {
        self.scores.lock().unwrap().clear();
        self.warnings.lock().unwrap().clear();
        self.trainer.step()?;
        Ok(self.scores.lock().unwrap().clone())
    }
}

fn check(name: &str, seen: &Seen, scores: &[Score]) {
    assert_eq!(scores.len(), 3, "{name}: {scores:?}");
    let reasons: Vec<&String> =
        scores.iter().filter_map(|s| if let Score::Fail(why) = s { Some(why) } else { None }).collect();
    let values: Vec<f64> = scores.iter().filter_map(Score::value).collect();
    assert_eq!(reasons.len() + values.len(), 3, "{name}: {scores:?}");
    assert!(values.iter().all(|v| (0.0..=1.0).contains(v)), "{name}: {values:?}");
    let failed = match seen {
        Seen::Refused(_) => panic!("{name}: was not refused"),
        Seen::Nothing(_) => reasons.len() == 3,
        Seen::Some(_) => !reasons.is_empty(),
        Seen::Perhaps(_) => true,
        Seen::Scores => reasons.is_empty(),
    };
    assert!(failed, "{name}: {scores:?}");
    if let Seen::Nothing(why) | Seen::Some(why) | Seen::Perhaps(why) = seen {
        assert!(reasons.iter().all(|reason| reason.contains(why)), "{name}: {reasons:?}");
    }
}

fn every_bad_plugin() {
    let settings = "isolation = 'process'\non_failure = 'drop'\ndeadline_s = 0.3\n\
                    process = { startup_timeout_s = 1.0, grace_s = 0.1, backoff_s = 0.01 }";
    let mut run = Run::new();
    for bad in ALL.iter().filter(|bad| can_build(bad.name)) {
        let (plugin, seen) = (Plugin::new(bad.name), seen(bad.name));
        match (plugin.reward(settings), &seen) {
            (Err(error), Seen::Refused(words)) => {
                let message = error.to_string();
                assert!(message.contains(words) && message.contains("good"), "{}: {message}", bad.name);
            }
            (Err(error), _) => panic!("{}: {error}", bad.name),
            (Ok(reward), seen) => check(bad.name, seen, &run.step(reward).unwrap()),
        }
    }
    // And the run goes on.
    let good = Plugin::new("good");
    check("good", &Seen::Scores, &run.step(good.reward("").unwrap()).unwrap());
}

fn in_this_process() {
    let mut run = Run::new();
    let survivors = [
        "future_symbol",
        "future_major",
        "damaged_magic",
        "short_table",
        "huge_table",
        "other_version",
        "broken_manifest",
        "crashes_at_load",
        "hangs_at_load",
        "refuses_settings",
        "writes_after_outputs",
        "writes_before_outputs",
        "changes_rounding",
        "flushes_subnormals",
        "wrong_count",
        "nan",
        "lies_about_range",
        "forgets_a_value",
    ];
    for name in survivors {
        let (plugin, seen) = (Plugin::new(name), seen(name));
        let settings = "on_failure = 'drop'\nprocess = { startup_timeout_s = 1.0 }";
        match (plugin.reward(settings), &seen) {
            (Err(error), Seen::Refused(words)) => assert!(error.to_string().contains(words), "{name}: {error}"),
            (Err(error), _) => panic!("{name}: {error}"),
            (Ok(reward), seen) => check(name, seen, &run.step(reward).unwrap()),
        }
    }
}

/// A C plugin that ends its process in every second call.
fn every_second_call(folder: &Path) -> PathBuf {
    let mark = folder.join("mark");
    let source = format!(
        "#include <stdio.h>\n#define ON_SCORE(instance, host, batch, scores) \
         if (remove(\"{0}\") != 0) {{ fclose(fopen(\"{0}\", \"w\")); _Exit(7); }}\n#include \"good.h\"\n",
        mark.display()
    );
    counterpoint_bad_plugins::build_source("every_second_call", &source, folder)
}

fn one_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = every_second_call(folder.path());
    Sidecar::of(&path, &good()).unwrap().write(&path).unwrap();
    let plugin = Plugin { _folder: folder, path };
    let mut run = Run::new();
    // The ensemble makes the call again: every call of the run is answered, by the process after the one that died.
    let reward = plugin.reward("isolation = 'process'\nprocess = { backoff_s = 0.01 }").unwrap();
    for scores in [run.step(reward).unwrap(), run.again().unwrap()] {
        check("every second call", &Seen::Scores, &scores);
    }
}

fn stops() {
    for (policy, calls, kind) in [("retry", 3, ErrorKind::Reward), ("stop", 1, ErrorKind::Stopped)] {
        let folder = tempfile::tempdir().unwrap();
        let counted = folder.path().join("calls");
        let source = format!(
            "#include <stdio.h>\n#define ON_SCORE(instance, host, batch, scores) {{ \
             FILE *file = fopen(\"{}\", \"a\"); fputc('x', file); fclose(file); \
             host->fail(host->context, CPT_WHOLE_CALL, cpt_text(\"out of ink\")); return CPT_ERROR; }}\n#include \"good.h\"\n",
            counted.display()
        );
        let path = counterpoint_bad_plugins::build_source("counting", &source, folder.path());
        Sidecar::of(&path, &good()).unwrap().write(&path).unwrap();
        let plugin = Plugin { _folder: folder, path };
        let error = Run::new().step(plugin.reward(&format!("on_failure = '{policy}'")).unwrap()).unwrap_err();
        let message = format!("{error:#}");
        assert_eq!(error.kind(), kind, "{message}");
        assert!(message.starts_with("reward `good`") && message.ends_with("out of ink"), "{message}");
        assert_eq!(std::fs::read(&counted).unwrap().len(), calls, "{policy}");
    }
}

fn given_up() {
    // Dropping goes on only as long as there is somebody to ask.
    let plugin = Plugin::new("exits");
    let settings = "isolation = 'process'\non_failure = 'drop'\nprocess = { restarts = 1, backoff_s = 0.01 }";
    let mut run = Run::new();
    let reward = plugin.reward(settings).unwrap();
    let error = match run.step(reward) {
        Err(error) => error,
        Ok(_) => run.again().unwrap_err(),
    };
    assert_eq!(error.kind(), ErrorKind::Stopped);
    let message = error.to_string();
    assert!(message.starts_with("reward `good`") && message.contains("exit status: 3"), "{message}");
}

fn no_value() {
    // Without an image the score is the mean byte of the response: `nan` spoils bright ones, `lies_about_range` dark ones.
    let task = counterpoint::Task::new(0, "");
    let samples =
        ["", "\u{ff}\u{ff}"].map(|words| counterpoint::Sample::new(&task, 0, String::new(), words.to_owned(), None));
    let (dark, bright) = (Score::Value(0.0), Score::Value(f64::from(2 * (0xc3 + 0xbf)) / (4.0 * 255.0)));
    for (name, spoilt) in [("good", None), ("nan", Some(1)), ("lies_about_range", Some(0)), ("wrong_count", Some(1))] {
        let scores = Plugin::new(name).reward("").unwrap().score(&samples).unwrap();
        for (i, (score, right)) in scores.iter().zip([&dark, &bright]).enumerate() {
            match score {
                Score::Fail(_) => assert_eq!(spoilt, Some(i), "{name}: {scores:?}"),
                score if name == "lies_about_range" => assert!(score.value().is_some_and(|v| (v - 0.0).abs() < 1.0)),
                score => assert!(spoilt != Some(i) && (score == right), "{name}: {scores:?}"),
            }
        }
    }
}

fn dropped() {
    // It refuses calls of more than 16 items: smaller parts of the call are answered, and nothing is dropped.
    let plugin = Plugin::new("refuses_many_items");
    let task = counterpoint::Task::new(0, "");
    let sample = |i: u64| counterpoint::Sample::new(&task, i, String::new(), "x".repeat(i as usize), None);
    let samples: Vec<_> = (0..40).map(sample).collect();
    let mut reward = plugin.reward("on_failure = 'drop'\noutput = 'length'").unwrap();
    let expected: Vec<Score> = (0..40).map(|i| Score::Value(f64::from(i))).collect();
    assert_eq!(reward.score(&samples).unwrap(), expected);
    let error = plugin.reward("").unwrap().score(&samples).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Reward);
}

/// In this process a call that hangs could not be ended: what has a deadline runs in a child.
fn deadlines() {
    let task = counterpoint::Task::new(0, "");
    let folder = tempfile::tempdir().unwrap();
    // It hangs in this process, and in a child at an answer that says so.
    let source = format!(
        "#define _GNU_SOURCE\n#include <unistd.h>\n#define ON_ITEM(instance, host, batch, i) \
         if (getpid() == {} || item->response.size == 4) pause();\n#include \"good.h\"\n",
        std::process::id()
    );
    let path = counterpoint_bad_plugins::build_source("hangs_here", &source, folder.path());
    Sidecar::of(&path, &good()).unwrap().write(&path).unwrap();
    let plugin = Plugin { _folder: folder, path };
    let mut reward = plugin.reward("deadline_s = 1.0\nprocess = { grace_s = 0.1, backoff_s = 0.01 }").unwrap();
    let mut score =
        |words: &str| reward.score(&[counterpoint::Sample::new(&task, 0, String::new(), words.to_owned(), None)]);
    assert!(matches!(score("x").unwrap()[..], [Score::Value(_)]));
    let error = score("hang").unwrap_err();
    assert!(error.kind() == ErrorKind::Reward && error.to_string().contains("was killed"), "{error}");
    assert!(matches!(score("x").unwrap()[..], [Score::Value(_)]), "another process took its place");
}
