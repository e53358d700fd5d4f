//! The program `counterpoint`: every subcommand, and that it does what the example of its name does.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod program;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use program::{SHORT, named, objects};

/// Every subcommand, with those of its own.
const ALL: [(&str, &[&str]); 10] = [
    ("train", &[]),
    ("evaluate", &[]),
    ("ablate", &[]),
    ("weights", &["inspect", "diff", "convert", "merge", "fetch"]),
    ("parity", &["showo", "janus", "bert", "ernie", "clip", "dinov2", "blip2", "captioner", "mtcnn", "facenet"]),
    ("plugins", &["validate", "new"]),
    ("data", &["check", "new", "convert", "derive"]),
    ("report", &[]),
    ("completions", &[]),
    ("man", &[]),
];

fn counterpoint(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_counterpoint")).args(args).output().unwrap()
}

/// An example that cargo builds along with the tests.
fn example(name: &str, args: &[&str]) -> Output {
    let tests = std::env::current_exe().unwrap();
    let folder = tests.parent().and_then(Path::parent).unwrap().join("examples");
    Command::new(folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))).args(args).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A path in the repository.
fn repository(path: &str) -> String {
    root().join(path).display().to_string()
}

#[test]
fn every_subcommand_says_how_it_is_used() {
    for (name, own) in ALL {
        let own = own.iter().map(|own| vec![name, *own]);
        for path in std::iter::once(vec![name]).chain(own) {
            let output = counterpoint(&[&path[..], &["--help"]].concat());
            let usage = format!("Usage: counterpoint {}", path.join(" "));
            assert!(output.status.success() && out(&output).contains(&usage), "{path:?}: {}", out(&output));
        }
    }
    let whole = out(&counterpoint(&["--help"]));
    for (name, _) in ALL {
        assert!(whole.contains(&format!("\n  {name} ")), "{name}: {whole}");
    }
    assert!(out(&counterpoint(&["--version"])).starts_with("counterpoint 0."));
}

#[test]
fn shells_complete_every_subcommand() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = counterpoint(&["completions", shell]);
        let script = out(&output);
        assert!(output.status.success(), "{shell}");
        for word in ALL.iter().flat_map(|(name, own)| [name].into_iter().chain(*own)) {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(counterpoint(&["completions", "tcl"]).status.code(), Some(2));
}

#[test]
fn every_subcommand_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man1");
    let output = counterpoint(&["man", pages.to_str().unwrap()]);
    assert!(output.status.success(), "{}", err(&output));
    let mut expected = vec!["counterpoint.1".to_owned()];
    for (name, own) in ALL {
        expected.push(format!("counterpoint-{name}.1"));
        expected.extend(own.iter().map(|own| format!("counterpoint-{name}-{own}.1")));
    }
    let entries = std::fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut written: Vec<String> = entries.collect();
    written.sort();
    expected.sort();
    assert_eq!(written, expected);
    for page in written {
        let text = std::fs::read_to_string(pages.join(&page)).unwrap();
        assert!(text.contains(".TH ") && text.contains(".SH NAME"), "{page}: {text}");
    }
    // A file is where the folder would be.
    let output = counterpoint(&["man", pages.join("counterpoint.1").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("cannot make the folder"), "{}", err(&output));
}

#[test]
fn what_an_example_does_is_done_alike() {
    let state = repository("core/weights/tests/fixtures/state.pt");
    let numbers = repository("core/weights/tests/fixtures/numbers.pt");
    let tower = repository("rewards/encoders/tests/fixtures/bert");
    let cases: [(&str, &[&str], i32); 8] = [
        ("weights", &["inspect", &state], 0),
        ("weights", &["inspect", &state, "--json"], 0),
        ("weights", &["diff", &state, &numbers], 1),
        ("weights", &["inspect", "nowhere.pt"], 2),
        ("weights", &["fetch", "nowhere.toml"], 2),
        ("parity", &["bert", &tower], 0),
        ("parity", &["bert", "nowhere"], 1),
        ("evaluate", &["--quiet", "nowhere"], 1),
    ];
    for (name, args, status) in cases {
        let (ours, theirs) = (counterpoint(&[&[name], args].concat()), example(name, args));
        assert_eq!((ours.status.code(), theirs.status.code()), (Some(status), Some(status)), "{name} {args:?}");
        assert_eq!((out(&ours), err(&ours)), (out(&theirs), err(&theirs)), "{name} {args:?}");
        assert!(!out(&ours).is_empty() || !err(&ours).is_empty(), "{name} {args:?}");
    }
}

#[test]
fn mistakes_are_said_with_their_status() {
    let cases: [(&[&str], i32, &str); 9] = [
        (&[], 2, "Usage: counterpoint"),
        (&["trian"], 2, "'train'"),
        (&["train"], 2, "--config"),
        (&["train", "--config", "nowhere.toml"], 1, "nowhere.toml"),
        (&["ablate", "--plan", "nowhere.toml"], 1, "nowhere.toml"),
        (&["evaluate", "--measures", "nowhere.toml"], 1, "nowhere.toml"),
        (&["data", "check", "nowhere"], 1, "nowhere"),
        (&["report", "nowhere"], 1, "expected the folder of one run, with config.toml and before.json"),
        (&["plugins", "new", "Sharp", "--language", "c"], 2, "lower case"),
    ];
    for (args, status, why) in cases {
        let output = counterpoint(args);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {}", err(&output));
        assert!(err(&output).contains(why), "{args:?}: {}", err(&output));
    }
    assert!(!Path::new("nowhere").exists());
}

#[test]
fn data_sets_are_checked() {
    let output = counterpoint(&["data", "check", &repository("benches/unictokens/tests/fixtures/concepts")]);
    assert!(output.status.success() && out(&output).contains("UniCTokens"), "{}{}", out(&output), err(&output));
}

/// What `train` says of a run of `steps` in `folder`.
fn train(folder: &Path, steps: u64) -> Command {
    let mut run = Command::new(env!("CARGO_BIN_EXE_counterpoint"));
    run.args(["train", "--json", "--config", &repository("examples/sync_r1.toml")]);
    let (output, steps) = (format!("run.output='{}'", folder.display()), format!("trainer.steps={steps}"));
    for set in [output.as_str(), &steps].into_iter().chain(SHORT) {
        run.args(["--set", set]);
    }
    run
}

#[test]
fn a_run_is_trained_and_its_report_is_written_anew_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let output = train(folder.path(), 2).output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(named(&objects(&out(&output)), "step").len(), 2);

    let run = folder.path().join("sync_r1");
    let report = run.join("report.html");
    let first = std::fs::read(&report).unwrap();
    std::fs::remove_file(&report).unwrap();
    let output = counterpoint(&["report", run.to_str().unwrap()]);
    assert!(output.status.success(), "{}", err(&output));
    assert!(out(&output).contains("report.html"), "{}", out(&output));
    assert!(std::fs::read(&report).unwrap() == first, "another report");

    std::fs::write(run.join("after.json"), "[{").unwrap();
    let output = counterpoint(&["report", run.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("after.json") && err(&output).contains("damaged"), "{}", err(&output));
}

#[test]
fn a_run_that_is_stopped_says_how_this_program_goes_on_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = train(folder.path(), 1000).stdout(Stdio::piped()).spawn().unwrap();
    let (mut said, mut lines) = (String::new(), BufReader::new(run.stdout.take().unwrap()));
    while lines.read_line(&mut said).unwrap() > 0 {
        if said.lines().last().unwrap().starts_with("{\"event\":\"step\"") {
            assert!(Command::new("kill").args(["-TERM", &run.id().to_string()]).status().unwrap().success());
            break;
        }
    }
    lines.read_to_string(&mut said).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(75), "{said}");
    let objects = objects(&said);
    let resume = named(&objects, "stopped")[0]["resume"].as_str().unwrap();
    assert!(resume.starts_with("counterpoint train --resume --config '"), "{resume}");

    // What is there of a run that was stopped has a report too.
    let folder = folder.path().join("sync_r1");
    std::fs::remove_file(folder.join("report.html")).unwrap();
    assert!(counterpoint(&["report", folder.to_str().unwrap()]).status.success());
    assert!(folder.join("report.html").is_file());
}

/// A plugin in `language` that `plugins new` wrote, the files in its folder, and what was said.
fn begun(language: &str) -> (tempfile::TempDir, PathBuf, Vec<String>, String) {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("mine/sharpness");
    let args = ["plugins", "new", "sharpness", "--language", language, plugin.to_str().unwrap()];
    let output = counterpoint(&args);
    assert!(output.status.success(), "{}", err(&output));
    let files = files(&plugin);
    for file in &files {
        // What the reward measures has its name from its template.
        let text = std::fs::read_to_string(plugin.join(file)).unwrap();
        assert!(!text.contains("\"brightness") && !text.contains("plugins/template"), "{file}: {text}");
    }

    // It is there now, and stays as it is.
    std::fs::write(plugin.join(&files[0]), "mine").unwrap();
    let again = counterpoint(&args);
    assert_eq!(again.status.code(), Some(1));
    assert!(err(&again).contains("nothing is overwritten"), "{}", err(&again));
    assert_eq!(std::fs::read_to_string(plugin.join(&files[0])).unwrap(), "mine");
    assert_eq!(std::fs::read_dir(plugin.parent().unwrap()).unwrap().count(), 1, "something is left beside it");

    std::fs::remove_dir_all(&plugin).unwrap();
    assert!(counterpoint(&args).status.success());
    (folder, plugin, files, out(&output))
}

/// The files of a folder, by their paths in it.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        match entry.path().is_dir() {
            true => found.extend(files(&entry.path()).into_iter().map(|inner| format!("{name}/{inner}"))),
            false => found.push(name),
        }
    }
    found.sort();
    found
}

/// The commands that `plugins new` said: to build it, and to check it with this program. Paths are quoted.
fn commands(said: &str) -> [Vec<String>; 2] {
    ["build: ", "check: counterpoint "].map(|start| {
        let line = said.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("{said}"));
        line.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect()
    })
}

#[test]
fn a_plugin_in_c_is_complete_and_passes_every_check() {
    let (_folder, plugin, files, said) = begun("c");
    assert_eq!(files, ["counterpoint_plugin.h", "sharpness.c", "test.c"]);
    let [build, check] = commands(&said);
    // A wrapper may stand for the compiler.
    let compiler = std::env::var("CC").unwrap_or_else(|_| build[0].clone());
    let built = Command::new(&compiler).args(&build[1..]).output().unwrap();
    assert!(built.status.success(), "{}", err(&built));
    let check: Vec<&str> = check.iter().map(String::as_str).collect();
    let output = counterpoint(&check);
    assert!(output.status.success(), "{}{}", out(&output), err(&output));
    assert!(out(&output).contains("sharpness"), "{}", out(&output));

    // Its own test, which needs no host.
    let test = plugin.join("sharpness-test");
    let source = plugin.join("test.c");
    let built = Command::new(compiler).arg("-std=c11").arg(source).arg("-o").arg(&test).arg("-lm").output().unwrap();
    assert!(built.status.success(), "{}", err(&built));
    assert_eq!(out(&Command::new(test).output().unwrap()), "ok\n");

    // What is no plugin does not pass, and is said by status.
    std::fs::write(plugin.join("none.so"), "no library").unwrap();
    let output = counterpoint(&["plugins", "validate", plugin.join("none.so").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_plugin_in_rust_finds_the_sdk() {
    let (_folder, plugin, files, _) = begun("rust");
    assert_eq!(files, ["Cargo.toml", "src/lib.rs"]);
    let manifest: toml::Table = std::fs::read_to_string(plugin.join("Cargo.toml")).unwrap().parse().unwrap();
    assert_eq!(manifest["package"]["name"].as_str(), Some("sharpness"));
    let sdk = manifest["dependencies"]["counterpoint-sdk"]["path"].as_str().unwrap();
    assert_eq!(Path::new(sdk), root().join("plugins/sdk"));
    let source = std::fs::read_to_string(plugin.join("src/lib.rs")).unwrap();
    assert!(source.contains("const NAME: &'static str = \"sharpness\";"), "{source}");

    let refused = counterpoint(&["plugins", "new", "other", "--language", "rust", "--sdk", "nowhere"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("nowhere") && !Path::new("other").exists(), "{}", err(&refused));
}

#[test]
fn a_plugin_in_python_passes_every_check() {
    let (_folder, plugin, files, said) = begun("python");
    assert_eq!(files, ["sharpness.py", "test_sharpness.py"]);
    let refused = counterpoint(&["plugins", "new", "class", "--language", "python"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("`class`") && !Path::new("class").exists(), "{}", err(&refused));

    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    if !Command::new(&python).args(["-c", "import numpy"]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("not run: the plugin itself, for want of python3 with numpy");
        return;
    }
    // What `pip install ./plugins/bridge/python` would make known.
    let known = repository("plugins/bridge/python");
    let [_, check] = commands(&said);
    let check = check.iter().map(|word| if word == "python3" { &python } else { word });
    let mut validate = Command::new(env!("CARGO_BIN_EXE_counterpoint"));
    let output = validate.args(check).env("PYTHONPATH", &known).output().unwrap();
    assert!(output.status.success(), "{}{}", out(&output), err(&output));
    assert!(out(&output).contains("sharpness"), "{}", out(&output));
    let mut tests = Command::new(&python);
    tests.args(["-m", "unittest", "discover", "-s"]).arg(&plugin).env("PYTHONPATH", &known);
    let output = tests.output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
}
