//! Every command of the guide is run, in the guide's order, each chapter in a working copy of its own.
//!
//! Commands that take minutes in full run shortened, by options that the guide describes; a command that this test does
//! not know how to run is refused. The guide's Rust listings are run by the package `embedding`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Options that make the main job take seconds: one step, few candidates, one concept, hurried images.
const SHORT: [&str; 10] = [
    "trainer.steps=1",
    "trainer.warmup_steps=0",
    "trainer.group_size=2",
    "trainer.images_per_answer=1",
    "data.answer_share=0",
    "objective.denoising_steps=1",
    "trainer.max_attempts=1",
    "sampler.image.timesteps=2",
    "sampler.image.checkpoint_step=1",
    "data.concepts=[\"ada\"]",
];

/// How a command is run.
#[derive(Debug, PartialEq)]
enum Run {
    /// The program, with these arguments.
    Here(PathBuf, Vec<String>),
    /// Not by this test: it is a line of CI.
    InCi,
    /// Not at all: it needs a network, or builds anew what these tests were built with.
    NotHere,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// `name` among what cargo builds along with the tests, in the profile of the tests.
fn built(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().and_then(Path::parent).unwrap();
    target.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// Commands of the `sh` blocks of a chapter, without their comments.
fn commands(chapter: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut within = false;
    for line in chapter.lines() {
        match line.trim_end() {
            "```sh" => within = true,
            "```" => within = false,
            command if within && !command.is_empty() => {
                found.push(command.split(" #").next().unwrap().trim().to_owned());
            }
            // Any other way to mark a command would not be seen here.
            fence if fence.starts_with("```") => {
                let language = &fence[3..];
                assert!(
                    ["rust", "rust,ignore", "c", "python", "text", "toml"].contains(&language),
                    "a block in `{language}`: is it run?"
                );
            }
            _ => {}
        }
    }
    assert!(!within, "a block that does not end");
    found
}

/// What `command` comes to; an error says why it is not known.
fn plan(command: &str, ci: &str) -> Result<Run, String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let rest = |from: usize| words[from..].iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    // Nothing here is given to a shell, so nothing may need one.
    if command.contains(|c: char| "|&;<>$`*?'\"\\(){}".contains(c)) {
        return Err(format!("`{command}` needs a shell"));
    }
    match words.as_slice() {
        ["cargo", "run", "--release", "--example", name, arguments @ ..] => {
            let mut arguments: Vec<String> = match arguments {
                [] => Vec::new(),
                ["--", arguments @ ..] => arguments.iter().map(|word| (*word).to_owned()).collect(),
                _ => return Err(format!("`{command}`: expected `--` before the example's arguments")),
            };
            match *name {
                "sync_r1" => {
                    // Other recipes have other concepts.
                    let other = arguments.iter().any(|word| word == "--config");
                    let short = SHORT.iter().filter(|set| !(other && set.starts_with("data.")));
                    arguments.extend(short.flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
                }
                "corl" => {
                    let short = [
                        "trainer.steps=1",
                        "trainer.warmup_steps=0",
                        "trainer.group_size=2",
                        "evaluation.candidates=1",
                    ];
                    arguments.extend(short.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
                }
                "sft" => arguments.extend(["--steps", "2", "--batch", "2"].map(str::to_owned)),
                "ablate" => {
                    let of = |plan: &str| arguments.iter().any(|word| word.contains(plan));
                    let arm = match (of("estimators"), of("generalisation")) {
                        (true, _) => "remask-final",
                        (_, true) => "things",
                        _ => "no-dgs",
                    };
                    let short = ["--arms", arm, "--seeds", "2"].map(str::to_owned);
                    arguments.extend(
                        short.into_iter().chain(SHORT.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()])),
                    );
                }
                "evaluate" => {
                    let of = |measures: &str| arguments.iter().any(|word| word.contains(measures));
                    let short: &[&str] = match (of("truth"), of("conditions")) {
                        (true, _) => &["evaluation.candidates=1"],
                        (_, true) => &["evaluation.candidates=1", "data.concepts=['kit']"],
                        _ => &["evaluation.candidates=1", "evaluation.max_tasks=1"],
                    };
                    arguments.extend(short.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
                }
                "controls" => {
                    arguments.extend(["--only", "constant"].map(str::to_owned));
                    let short = ["trainer.steps=4", "trainer.group_size=2", "trainer.images_per_answer=1"];
                    arguments.extend(short.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
                }
                "custom_policy" | "custom_reward" | "export" | "personalize" | "parity" | "published" | "weights" => {}
                _ => return Err(format!("`{command}`: no word here of how long the example `{name}` takes")),
            }
            Ok(Run::Here(built(&format!("examples/{name}")), arguments))
        }
        ["cargo", "run", "--release", "-p", "counterpoint-validator", "--", ..] => {
            Ok(Run::Here(built("counterpoint-validator"), rest(6)))
        }
        ["cargo", "run", "--release", "-p", "counterpoint-dataset", "--", ..] => {
            Ok(Run::Here(built("unifybench"), rest(6)))
        }
        ["counterpoint", subcommand, ..] => {
            let mut arguments = rest(1);
            if *subcommand == "train" {
                arguments.extend(SHORT.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
            }
            Ok(Run::Here(built("counterpoint"), arguments))
        }
        ["cargo", "install", "--path", "examples", "--locked"] => Ok(Run::NotHere),
        ["cargo", "test" | "build", .., "--manifest-path", "plugins/template/rust/Cargo.toml"] => {
            Ok(Run::Here("cargo".into(), rest(1)))
        }
        ["cc", ..] => Ok(Run::Here("cc".into(), rest(1))),
        ["./brightness-test"] => Ok(Run::Here(words[0].into(), Vec::new())),
        ["python3", "-m", "pip", ..] => Ok(Run::NotHere),
        ["python3", "-m", "unittest", ..] => Ok(Run::Here("python3".into(), rest(1))),
        ["ls", folder] if !folder.starts_with(['/', '-']) => Ok(Run::Here("ls".into(), rest(1))),
        ["head", "-n", _, file] if !file.starts_with(['/', '-']) => Ok(Run::Here("head".into(), rest(1))),
        ["cargo", "test", ..] | ["mdbook", ..] if ci.contains(command) => Ok(Run::InCi),
        ["cargo", "test", ..] | ["mdbook", ..] => Err(format!("`{command}` is no command of CI")),
        _ => Err(format!("`{command}` is of a kind that this test cannot run")),
    }
}

/// All that CI runs.
fn ci() -> String {
    let scripts = std::fs::read_dir(root().join(".ci")).unwrap();
    scripts.map(|script| std::fs::read_to_string(script.unwrap().path()).unwrap()).collect()
}

/// A folder in which the repository's own paths work and what a command writes stays apart.
fn working_copy() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        if !["target", "runs", ".git"].contains(&entry.file_name().to_str().unwrap()) {
            std::os::unix::fs::symlink(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    copy
}

fn has_numpy() -> bool {
    Command::new("python3").args(["-c", "import numpy"]).output().is_ok_and(|output| output.status.success())
}

/// Runs all commands of a chapter.
fn run_chapter(name: &str) {
    let chapter = std::fs::read_to_string(root().join("docs/src").join(name)).unwrap();
    let (ci, copy) = (ci(), working_copy());
    if name == "plugin_python.md" && !has_numpy() {
        eprintln!("not run: {name}, for want of python3 with numpy");
        return;
    }
    let here = copy.path().to_str().unwrap();
    for command in commands(&chapter) {
        let command = command.replace("$PWD", here);
        let Run::Here(program, arguments) = plan(&command, &ci).unwrap() else { continue };
        let program = if program.starts_with(".") { copy.path().join(program) } else { program };
        let mut process = Command::new(&program);
        // What `pip install ./plugins/bridge/python` would make known.
        process.env("PYTHONPATH", root().join("plugins/bridge/python")).env_remove("CARGO_TARGET_DIR");
        let output = process.args(&arguments).current_dir(&copy).output();
        let output = output.unwrap_or_else(|e| panic!("{name}: {command}: cannot run {}: {e}", program.display()));
        let said = [output.stdout.clone(), output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        assert!(output.status.success(), "{name}: {command}\n{}{}", said[0], said[1]);
        let silent = program.ends_with("cc") || said.iter().any(|said| !said.is_empty());
        assert!(silent, "{name}: {command} said nothing");
    }
}

macro_rules! chapters {
    ($($test:ident: $file:literal,)*) => {
        const CHAPTERS: &[&str] = &[$($file),*];
        $(#[test] fn $test() { run_chapter($file); })*
    };
}

chapters! {
    commands_of_quick_start: "quick_start.md",
    commands_of_the_program: "command.md",
    commands_of_the_config: "config.md",
    commands_of_own_data: "own_data.md",
    commands_of_evaluation: "evaluation.md",
    commands_of_learning: "learning.md",
    commands_of_showo: "showo.md",
    commands_of_janus: "janus.md",
    commands_of_embedding: "embedding.md",
    commands_of_runs: "runs.md",
    commands_of_experts: "experts.md",
    commands_of_results: "results.md",
    commands_of_plugins: "plugins.md",
    commands_of_plugin_rust: "plugin_rust.md",
    commands_of_plugin_c: "plugin_c.md",
    commands_of_plugin_python: "plugin_python.md",
}

#[test]
fn every_chapter_is_in_the_summary_and_every_one_with_commands_is_run() {
    let source = root().join("docs/src");
    let summary = std::fs::read_to_string(source.join("SUMMARY.md")).unwrap();
    let listings = ["embedding/src/guide.rs", "core/weights/src/lib.rs"];
    let listings = listings.map(|file| std::fs::read_to_string(root().join(file)).unwrap()).concat();
    let mut all = 0;
    for entry in std::fs::read_dir(&source).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "SUMMARY.md" || !name.ends_with(".md") {
            continue;
        }
        assert!(summary.contains(&format!("({name})")), "{name} is not in the summary");
        assert!(listings.contains(&format!("{name}\"")), "the listings of {name} are not run");
        let chapter = std::fs::read_to_string(source.join(&name)).unwrap();
        let commands = commands(&chapter);
        assert!(commands.is_empty() || CHAPTERS.contains(&name.as_str()), "{name}: {commands:?} are not run");
        all += commands.len();
    }
    assert!(all > 10, "only {all} commands were found: the test looks in the wrong place");
}

#[test]
fn listings_are_neither_ignored_nor_only_compiled() {
    for entry in std::fs::read_dir(root().join("docs/src")).unwrap() {
        let path = entry.unwrap().path();
        let chapter = std::fs::read_to_string(&path).unwrap();
        // The template's own tests compile and run it.
        let template = "<!-- the file plugins/template/rust/src/lib.rs -->\n```rust,ignore\n";
        let chapter = chapter.replace(template, "");
        for attribute in ["```rust,", "```ignore", "```no_run", "```should_panic"] {
            assert!(!chapter.contains(attribute), "{}: {attribute}", path.display());
        }
    }
}

#[test]
fn links_between_chapters_lead_somewhere() {
    let source = root().join("docs/src");
    for entry in std::fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        let chapter = std::fs::read_to_string(&path).unwrap();
        for link in chapter.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let there = link.starts_with("https://") || source.join(link).is_file();
            assert!(there, "{}: {link}", path.display());
        }
    }
}

#[test]
fn a_command_that_is_not_known_is_refused() {
    let refused = [
        "cargo run --release --example pretrain",
        "cargo run --release --example sync_r1 --resume",
        "cargo run --example sync_r1",
        "cargo test -p counterpoint-nowhere",
        "cargo install counterpoint",
        "ls /",
        "ls runs; rm -r runs",
        "head -n 1 $HOME/secret",
    ];
    for command in refused {
        assert!(plan(command, "cargo test --workspace").is_err(), "{command}");
    }
    assert_eq!(plan("cargo test --workspace", "cargo test --workspace"), Ok(Run::InCi));
    let Ok(Run::Here(program, arguments)) = plan("cargo run --release --example sync_r1 -- --seed 1", "") else {
        panic!("the main job is known");
    };
    assert!(program.ends_with("examples/sync_r1"), "{}", program.display());
    assert_eq!(arguments[..4], ["--seed", "1", "--set", "trainer.steps=1"]);
}
