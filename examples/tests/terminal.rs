//! What a recipe shows: on a terminal, in a file, to programs, and not at all. The events are those of a toy run.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../core/tests/common/mod.rs"]
mod common;
mod program;

use std::io::{self, Write};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use counterpoint::StepReport;
use counterpoint::metrics::Metrics;
use counterpoint::{DynamicGroupScalingConfig, Error, Event, Judged, StopToken, Task, Trainer};
use counterpoint_examples::{Invocation, Look, OutputMode, Progress, RecipeArgs, Resume};
use indicatif::{InMemoryTerm, TermLike};
use program::{SHORT, example, named, objects};
use serde_json::Value;

/// A sink that a test can read.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Standard error of a terminal.
struct Stderr(InMemoryTerm);

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_str(&std::str::from_utf8(bytes).unwrap().replace('\n', "\r\n"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A display in `mode` with its standard output and standard error.
fn display(mode: OutputMode) -> (Progress, Page, Page) {
    let (out, err) = (Page::default(), Page::default());
    (Progress::to(mode, Box::new(out.clone()), Box::new(err.clone())), out, err)
}

/// A display on a terminal of 100 columns, and its standard output.
fn terminal(look: Look) -> (Progress, InMemoryTerm, Page) {
    let (term, out) = (InMemoryTerm::new(24, 100), Page::default());
    (on(&term, look, out.clone()), term, out)
}

fn on(term: &InMemoryTerm, look: Look, out: Page) -> Progress {
    Progress::on_terminal(Box::new(term.clone()), look, Box::new(out), Box::new(Stderr(term.clone())))
}

/// A toy run of `steps` steps under Dynamic Group Scaling, three tasks a step, shown on `progress`.
fn trainer(steps: u64, progress: &Progress) -> Trainer {
    let mut parts = common::parts();
    parts.filter = Box::new(DynamicGroupScalingConfig::default().init().unwrap());
    parts.surrogate = Some("taste".to_owned());
    let config = counterpoint::config::TrainerConfig { tasks_per_step: 3, ..common::config(steps) };
    progress.start("toy", &config, 0);
    let mut trainer = common::trainer(parts, config);
    let shown = progress.clone();
    trainer.on_event(move |event| shown.show(event));
    trainer
}

fn run(steps: u64, progress: &Progress) {
    trainer(steps, progress).run(&StopToken::new()).unwrap();
}

/// A step with these metrics.
fn step(step: u64, metrics: &[(&str, f64)]) -> StepReport {
    let mut report = StepReport::new(step, Metrics::new(), true);
    for (name, value) in metrics {
        report.metrics.insert(*name, *value);
    }
    report
}

const PLAIN: Look = Look { unicode: false, colour: false };

#[test]
fn a_terminal_shows_four_lines_of_figures_and_what_is_being_done() {
    let (progress, term, out) = terminal(Look { unicode: true, colour: false });
    let mut trainer = trainer(6, &progress);
    for _ in 0..4 {
        trainer.step().unwrap();
    }
    let screen = term.contents();
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(lines.len(), 5, "{screen}");
    assert!(lines[0].starts_with("toy [████") && lines[0].contains("4/6 steps"), "{screen}");
    assert!(lines[0].contains(" s/step  ETA 00:00:"), "{screen}");
    let curve = lines[1].split_whitespace().nth(2).unwrap();
    assert!(lines[1].starts_with("reward 0.") && curve.chars().count() == 4, "{screen}");
    assert!(curve.contains('▁') && curve.contains('█'), "{screen}");
    for name in ["pass rate ", "threshold 0.", "attempts ", "KL ", "grad norm "] {
        assert!(lines[2].contains(name), "{screen}");
    }
    assert!(lines[3].contains("memory ") && lines[3].contains("iB"), "{screen}");
    assert_eq!(lines[3].contains("peak "), cfg!(target_os = "linux"), "{screen}");
    assert!(
        lines[3].contains("rollout ") && lines[3].contains(" %  reward ") && lines[3].contains("update "),
        "{screen}"
    );
    assert!(lines[4].ends_with("step 5: drafting"), "{screen}");
    progress.finish();
    let screen = term.contents();
    assert_eq!(screen.lines().count(), 1, "only the summary stays:\n{screen}");
    assert!(screen.starts_with("toy: 4/6 steps, 00:00:0") && screen.contains("reward 0."), "{screen}");
    assert_eq!(out.text(), "", "standard output is for results");
}

#[test]
fn the_hint_follows_the_events_of_a_step() {
    let (progress, term, _) = terminal(PLAIN);
    let config = counterpoint::config::TrainerConfig { tasks_per_step: 2, ..common::config(9) };
    progress.start("toy", &config, 6);
    let hint = || term.contents().lines().last().unwrap().to_owned();
    assert!(hint().ends_with("step 7: drafting"), "{}", hint());
    let [first, second] = [0, 1].map(|id| Task::new(id, "?"));
    let drafted = |task, attempt| progress.show(&Event::Drafted { task, attempt, drafted: 8, admitted: 5 });
    drafted(&first, 1);
    assert!(hint().ends_with("step 7: task 1 of 2, wave 1, 5 of 8 admitted"), "{}", hint());
    drafted(&first, 2);
    assert!(hint().ends_with("step 7: task 1 of 2, wave 2, 5 of 8 admitted"), "{}", hint());
    progress.show(&Event::AttemptsExhausted { task: &first, attempts: 2, filled: 3 });
    assert!(hint().ends_with("step 7: task 1 of 2, 2 waves, 3 refused drafts taken"), "{}", hint());
    progress.show(&Event::Group { task: &first, rollouts: &[], scores: &[], kept: &[0, 1] });
    assert!(hint().ends_with("step 7: task 1 of 2 scored"), "{}", hint());
    drafted(&second, 1);
    assert!(hint().ends_with("step 7: task 2 of 2, wave 1, 5 of 8 admitted"), "{}", hint());
    progress.show(&Event::Group { task: &second, rollouts: &[], scores: &[], kept: &[0, 1] });
    assert!(hint().ends_with("step 7: updating"), "{}", hint());
    progress.stopping();
    assert!(hint().ends_with("step 7: updating; stopping after this step"), "{}", hint());
    progress.show(&Event::Step(&step(6, &[])));
    assert!(hint().contains("step 8: drafting"), "{}", hint());
    assert!(term.contents().contains("7/9 steps"), "{}", term.contents());
}

#[test]
fn without_utf_8_the_screen_is_ascii() {
    let (progress, term, _) = terminal(PLAIN);
    run_halfway(&progress);
    assert!(term.contents().is_ascii(), "{}", term.contents());
    let screen = term.contents();
    let curve = screen.lines().find(|line| line.starts_with("reward ")).unwrap().split_whitespace().nth(2).unwrap();
    assert!(curve.contains('_') && curve.contains('#'), "{curve}");
}

fn run_halfway(progress: &Progress) {
    let mut trainer = trainer(6, progress);
    for _ in 0..3 {
        trainer.step().unwrap();
    }
    progress.show(&Event::StepSkipped { step: 3, reason: "the loss is NaN" });
}

/// Colours ("select graphic rendition") in what was sent to a terminal, as its cells keep them.
fn colours(term: &InMemoryTerm) -> usize {
    let sent = String::from_utf8(term.contents_formatted()).unwrap();
    // `contents_formatted` itself ends every line with a plain reset.
    sent.matches("\x1b[3").count()
}

#[test]
fn no_colour_means_no_escape_sequence_for_it() {
    let (progress, term, _) = terminal(Look { unicode: true, colour: true });
    run_halfway(&progress);
    assert!(colours(&term) >= 2, "the sparkline and the warning are coloured: {}", term.contents());
    let (progress, term, _) = terminal(Look { unicode: true, colour: false });
    run_halfway(&progress);
    progress.error(&Error::data("nothing there"));
    assert_eq!(colours(&term), 0);
    let sent = term.moves_since_last_check();
    assert!(sent.contains("reward ") && !sent.contains("\\u{1b}"), "no escape sequence in any text");
    assert!(term.contents().contains("step 4 skipped: the loss is NaN"), "{}", term.contents());
}

#[test]
fn the_environment_decides_on_colour() {
    let colour = |set: &[(&str, &str)]| {
        Look::colour(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into()))
    };
    assert!(colour(&[("TERM", "xterm")]));
    assert!(!colour(&[("TERM", "xterm"), ("NO_COLOR", "1")]));
    assert!(!colour(&[("TERM", "xterm"), ("NO_COLOR", "0")]), "any value");
    assert!(colour(&[("TERM", "xterm"), ("NO_COLOR", "")]), "an empty one is none");
    assert!(!colour(&[("TERM", "xterm"), ("CLICOLOR", "0")]));
    assert!(!colour(&[("TERM", "dumb")]));
    assert!(!colour(&[]));
}

#[test]
fn a_stage_counts_on_a_terminal_and_leaves_one_line() {
    let (progress, term, _) = terminal(PLAIN);
    let stage = progress.stage("before", 96);
    for _ in 0..31 {
        stage.inc();
    }
    assert!(term.contents().contains("before: 31/96 [====="), "{}", term.contents());
    drop(stage);
    assert!(term.contents().starts_with("before: 31/96 done in 0."), "{}", term.contents());
    assert_eq!(term.contents().lines().count(), 1, "{}", term.contents());
    let (progress, _, err) = display(OutputMode::People);
    drop(progress.stage("after", 0));
    assert!(err.text().starts_with("after: ...\nafter: done in 0."), "{}", err.text());
}

#[test]
fn a_narrow_terminal_keeps_one_row_per_line() {
    let term = InMemoryTerm::new(24, 40);
    let progress = on(&term, Look { unicode: true, colour: true }, Page::default());
    let mut trainer = trainer(6, &progress);
    for _ in 0..3 {
        trainer.step().unwrap();
    }
    assert_eq!(term.contents().lines().count(), 5, "{}", term.contents());
}

#[test]
fn the_echo_of_ctrl_c_and_lines_that_stay_leave_nothing_behind() {
    let (progress, term, _) = terminal(PLAIN);
    let mut trainer = trainer(6, &progress);
    trainer.step().unwrap();
    term.write_str("^C").unwrap();
    progress.stopping();
    trainer.step().unwrap();
    assert_eq!(term.contents().matches("toy [").count(), 1, "{}", term.contents());
    assert!(!term.contents().contains("^C"), "{}", term.contents());
    progress.finish();
    progress.error(&Error::data("nothing there"));
    let screen = term.contents();
    assert_eq!(screen.lines().count(), 2, "{screen}");
    assert!(screen.ends_with("\nerror: nothing there"), "{screen}");
    term.write_str("prompt").unwrap();
    assert!(term.contents().ends_with("there\nprompt"), "the cursor is left on a line of its own: {}", term.contents());
}

/// A terminal that was closed.
#[derive(Debug)]
struct Closed;

fn gone() -> io::Result<()> {
    Err(io::ErrorKind::BrokenPipe.into())
}

impl TermLike for Closed {
    fn width(&self) -> u16 {
        80
    }
    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        gone()
    }
    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        gone()
    }
    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        gone()
    }
    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        gone()
    }
    fn write_line(&self, _: &str) -> io::Result<()> {
        gone()
    }
    fn write_str(&self, _: &str) -> io::Result<()> {
        gone()
    }
    fn clear_line(&self) -> io::Result<()> {
        gone()
    }
    fn flush(&self) -> io::Result<()> {
        gone()
    }
}

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        gone().map(|()| 0)
    }
    fn flush(&mut self) -> io::Result<()> {
        gone()
    }
}

#[test]
fn a_reader_that_went_away_does_not_stop_the_run() {
    let sink = || Box::new(Closed);
    let mut displays = vec![Progress::on_terminal(Box::new(Closed), PLAIN, sink(), sink())];
    for mode in [OutputMode::People, OutputMode::Quiet, OutputMode::Json] {
        displays.push(Progress::to(mode, sink(), sink()));
    }
    for progress in displays {
        run_halfway(&progress);
        progress.finish();
        progress.table(&"rows", "caption");
        progress.error(&Error::data("nothing there"));
    }
}

#[test]
fn elsewhere_there_are_plain_lines_every_few_steps() {
    let (progress, out, err) = display(OutputMode::People);
    run(12, &progress);
    progress.show(&Event::StepSkipped { step: 12, reason: "a plugin said \x1b[31m\r\nNaN" });
    progress.finish();
    let text = err.text();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    let steps: Vec<&str> = text.lines().filter(|line| line.contains(" s/step")).collect();
    assert_eq!(steps.len(), 3, "steps 5, 10 and the last:\n{text}");
    for (line, position) in steps.iter().zip(["5/12 steps", "10/12 steps", "12/12 steps"]) {
        assert!(line.starts_with(position) && line.contains("reward 0.") && line.contains("pass rate "), "{line}");
    }
    assert!(text.lines().last().unwrap().starts_with("step 13 skipped: a plugin said  [31m  NaN"), "{text}");
    assert_eq!(out.text(), "");
}

#[test]
fn quiet_says_errors_and_the_table_alone() {
    let (progress, out, err) = display(OutputMode::Quiet);
    drop(progress.stage("before", 2));
    run(2, &progress);
    progress.show(&Event::StepSkipped { step: 1, reason: "NaN" });
    progress.finish();
    progress.stopped(2, "cargo run");
    assert_eq!((out.text(), err.text()), (String::new(), String::new()));
    progress.table(&"rows", "caption");
    progress.done(Path::new("runs"));
    progress.error(&Error::data("nothing there"));
    assert_eq!((out.text().as_str(), err.text().as_str()), ("rows\ncaption\n", "error: nothing there\n"));
}

#[test]
fn json_is_one_object_per_event_with_the_metrics_of_the_log() {
    let (progress, out, err) = display(OutputMode::Json);
    let folder = tempfile::tempdir().unwrap();
    trainer(3, &progress).with_folder(folder.path()).run(&StopToken::new()).unwrap();
    progress.finish();
    let objects = objects(&out.text());
    assert_eq!(err.text(), "");
    assert!(out.text().lines().all(|line| line.starts_with("{\"event\":\"")), "{}", out.text());
    assert_eq!(objects[0], serde_json::json!({"event": "start", "name": "toy", "steps": 3, "done": 0}));
    assert!(named(&objects, "drafted").len() >= 9, "three tasks in three steps");
    assert_eq!(named(&objects, "group").len(), 9);
    assert_eq!(named(&objects, "group")[0]["rewards"].as_array().unwrap().len(), 4);
    let log = std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    let steps = named(&objects, "step");
    assert_eq!(steps.len(), 3);
    for (line, told) in log.lines().zip(steps) {
        let logged: Value = serde_json::from_str(line).unwrap();
        for (name, value) in logged.as_object().unwrap() {
            assert_eq!(told[name], *value, "{name}");
        }
        assert_eq!(told["updated"], true);
        assert!(told["memory/now"].as_u64().unwrap() > 1 << 20);
    }
    let checkpoint = named(&objects, "checkpoint")[0];
    assert_eq!(checkpoint["step"], 3);
    assert!(Path::new(checkpoint["path"].as_str().unwrap()).is_dir());
}

#[test]
fn json_tells_what_a_recipe_says_and_what_is_not_finite() {
    let (progress, out, err) = display(OutputMode::Json);
    let task = Task::new(7, "?");
    let stage = progress.stage("before", 2);
    stage.inc();
    stage.inc();
    drop(stage);
    progress.show(&Event::AttemptsExhausted { task: &task, attempts: 8, filled: 2 });
    progress.show(&Event::GroupDropped { task: &task, reason: "a \"reason\"\nin two lines" });
    progress.show(&Event::StepSkipped { step: 1, reason: "NaN" });
    let judged = Judged { scores: vec![("right".to_owned(), 0.5)], ..Judged::default() };
    progress.show(&Event::Evaluated { step: 2, samples: &[judged] });
    progress.show(&Event::Step(&step(2, &[("kl", f64::INFINITY), ("reward", 0.1), ("event", 1.0)])));
    progress.resumed(Path::new("c"), 2);
    progress.stopping();
    progress.stopped(3, "cargo run -- --resume");
    progress.table(&"rows", "caption");
    progress.done(Path::new("runs/toy"));
    progress.error(&Error::new(counterpoint::ErrorKind::NonFinite, "three in a row"));
    let objects = objects(&out.text());
    let events: Vec<&str> = objects.iter().map(|o| o["event"].as_str().unwrap()).collect();
    let expected = [
        "stage",
        "stage",
        "attempts_exhausted",
        "group_dropped",
        "step_skipped",
        "evaluated",
        "step",
        "resumed",
        "stopping",
        "stopped",
        "table",
        "done",
        "error",
    ];
    assert_eq!(events, expected);
    assert_eq!(
        objects[0],
        serde_json::json!({"event": "stage", "name": "before", "done": 0, "of": 2, "seconds": null})
    );
    assert_eq!(objects[1]["done"], 2);
    assert!(objects[1]["seconds"].is_number());
    assert_eq!(objects[2], serde_json::json!({"event": "attempts_exhausted", "task": 7, "attempts": 8, "filled": 2}));
    assert_eq!(objects[3]["reason"], "a \"reason\"\nin two lines");
    assert_eq!(objects[4], serde_json::json!({"event": "step_skipped", "step": 1, "reason": "NaN"}));
    assert_eq!(objects[5], serde_json::json!({"event": "evaluated", "step": 2, "means": {"right": 0.5}}));
    assert_eq!((&objects[6]["kl"], &objects[6]["non_finite"]["kl"]), (&Value::Null, &Value::from("inf")));
    assert_eq!(objects[6]["reward"], 0.1);
    assert_eq!(objects[9]["resume"], "cargo run -- --resume");
    assert_eq!(objects[10]["table"], "rows");
    assert_eq!(objects[11], serde_json::json!({"event": "done", "folder": "runs/toy"}));
    assert_eq!(objects[12], serde_json::json!({"event": "error", "kind": "non_finite", "message": "three in a row"}));
    assert_eq!(err.text(), "");
}

#[test]
fn the_options_exclude_each_other_and_are_kept_on_resume() {
    let parse = |args: &[&str]| RecipeArgs::try_parse_from([&["sync_r1"], args].concat());
    let conflict = parse(&["--quiet", "--json"]).unwrap_err();
    assert_eq!(conflict.kind(), clap::error::ErrorKind::ArgumentConflict);
    for (option, mode) in [("--quiet", OutputMode::Quiet), ("--json", OutputMode::Json)] {
        let args = parse(&[option, "--seed", "3"]).unwrap();
        assert_eq!(args.output(), mode);
        let command = args.resume_command(Invocation::Example("sync_r1"));
        let options: Vec<&str> = command.split(" -- ").nth(1).unwrap().split(' ').collect();
        let resumed = parse(&options).unwrap();
        assert_eq!((resumed.resume, resumed.seed, resumed.output()), (Resume::Yes, Some(3), mode), "{command}");
    }
    assert_eq!((parse(&[]).unwrap().output(), parse(&[]).unwrap().resume), (OutputMode::People, Resume::No));
    assert_eq!(parse(&["--resume=if-there", "--quiet"]).unwrap().resume, Resume::IfThere);
    assert!(!parse(&[]).unwrap().resume_command(Invocation::Example("sync_r1")).contains("quiet"));
}

#[test]
fn what_takes_longer_than_two_seconds_is_shown_and_what_is_short_is_not() {
    let (progress, _, err) = display(OutputMode::People);
    drop(progress.delayed("short"));
    let long = progress.delayed("long");
    std::thread::sleep(Duration::from_millis(2500));
    drop(long);
    let said = err.text();
    assert!(!said.contains("short") && said.starts_with("long: ..."), "{said}");
    assert!(said.contains("long: done in 0.") || said.contains("long: done in 1."), "{said}");
}

/// What the recipe says and how it ends.
fn sync_r1(args: &[&str]) -> Output {
    example(args).output().unwrap()
}

#[test]
fn an_errors_cause_is_said_once() {
    for mode in ["--quiet", "--json"] {
        let output = sync_r1(&[mode, "--config", "no/such/run.toml"]);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(said.contains("cannot read no/such/run.toml: "), "{said}");
        assert_eq!(said.matches("(os error 2)").count(), 1, "{said}");
    }
}

#[test]
fn the_recipe_refuses_in_json_on_standard_output_and_in_words_on_standard_error() {
    let wrong = ["--set", "policy.kind=shwo"];
    let output = sync_r1(&[&["--json"], &wrong[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let objects = objects(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(objects.len(), 1);
    assert_eq!((&objects[0]["event"], &objects[0]["kind"]), (&Value::from("error"), &Value::from("config")));
    assert!(objects[0]["message"].as_str().unwrap().contains("did you mean `showo`"), "{}", objects[0]);
    assert!(output.stderr.is_empty());
    let output = sync_r1(&[&["--quiet"], &wrong[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: "));
}

#[test]
fn a_real_run_says_everything_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let output = format!("run.output='{}'", folder.path().display());
    let mut args = vec!["--json", "--set", output.as_str(), "--set", "trainer.steps=1"];
    args.extend(SHORT.iter().flat_map(|set| ["--set", *set]));
    let output = sync_r1(&args);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let objects = objects(std::str::from_utf8(&output.stdout).unwrap());
    // Where it takes longer than two seconds to load the models, that is said first.
    let told = objects.iter().filter(|o| o["name"] != "preparing");
    let mut events: Vec<&str> = told.map(|o| o["event"].as_str().unwrap()).collect();
    events.dedup();
    let refused = events.iter().position(|event| *event == "attempts_exhausted").map(|place| events.remove(place));
    // One concept uses one table of reward weights; the other is said to be unused.
    assert!(named(&objects, "log")[0]["message"].as_str().unwrap().contains("reward_weights.person"));
    let expected = ["log", "stage", "start", "drafted", "group", "step", "checkpoint", "stage", "table", "done"];
    assert_eq!(events, expected, "{refused:?}");
    assert!(!named(&objects, "table")[0]["table"]["rows"].as_array().unwrap().is_empty());
    let done = named(&objects, "done")[0]["folder"].as_str().unwrap();
    assert!(Path::new(done).join("metrics.jsonl").is_file());
}
