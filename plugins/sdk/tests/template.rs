//! The plugins to copy: each builds, passes its own test, and scores what it should through the host.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use counterpoint_host::{Call, Expert, Image, Item, Library, Loaded, Pixels, Scores, Setup, State};

fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Runs `command`, which has to end well, and returns what it said.
fn run(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(done.status.success(), "{command:?}: {said}");
    said
}

/// Its score of a white image, a black one, and one that is half of each and has gaps.
fn scores(library: &Path, target: f64) -> Scores {
    let library = Library::open(library).unwrap();
    assert_eq!(library.manifest().name, "brightness");
    let settings = serde_json::json!({ "target": target });
    let setup = Setup { expert: "brightness", settings: &settings, base: Path::new("/") };
    let mut expert = Loaded::create(library, &setup, 1).unwrap();
    let white = [255; 12];
    let half = [1.0, 1.0, 1.0, f32::NAN, 0.0, 0.0, 0.0, f32::NAN];
    let images = [
        Image::new(2, 2, Pixels::U8(&white)).unwrap(),
        Image::new(2, 2, Pixels::U8(&[0; 12])).unwrap(),
        Image::with_strides(2, 1, Pixels::F32(&half), 8, 4).unwrap(),
    ];
    let items = images.map(|image| Item { image: Some(image), ..Item::default() });
    expert.score(&items, &Call::default()).unwrap()
}

fn check(library: &Path) {
    for (target, values) in [(1.0, [1.0, 0.0, 0.5]), (0.5, [0.5, 0.5, 1.0])] {
        let scores = scores(library, target);
        assert_eq!((scores.values, scores.states), (values.to_vec(), vec![State::Value; 3]));
    }
}

#[test]
fn the_template_in_rust() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("template");
    let cargo = |work: &str| {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args([work, "--offline", "--locked", "--manifest-path"]);
        command.arg(plugins().join("template/rust/Cargo.toml")).arg("--target-dir").arg(&target);
        // What this test was built with is not for a plugin, such as a sanitizer.
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        command
    };
    let said = run(&mut cargo("test"));
    assert!(said.contains("test result: ok. 2 passed"), "{said}");
    run(&mut cargo("build"));
    let name = format!("{}brightness{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    check(&target.join("debug").join(name));
}

/// Else it could not be built where only what the engine needs has been fetched.
#[test]
fn the_template_needs_no_crate_that_the_engine_does_not() {
    let packages = |lock: PathBuf| -> BTreeSet<String> {
        let lock = std::fs::read_to_string(lock).unwrap();
        let package = |text: &str| text.lines().take(2).collect::<Vec<_>>().join(" ");
        lock.split("[[package]]\n").skip(1).map(package).collect()
    };
    let template = packages(plugins().join("template/rust/Cargo.lock"));
    let ours = packages(plugins().join("../Cargo.lock"));
    let more: Vec<&String> = template.difference(&ours).collect();
    assert_eq!(more, ["name = \"brightness\" version = \"0.1.0\""]);
}

/// Builds the plugin and its test with a compiler, runs the test, and asks the plugin.
fn in_c(compiler: &str, options: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let compile = |source: &str, output: &Path, more: &[&str]| {
        let mut command = Command::new(compiler);
        command.args(options).args(["-O2", "-Wall", "-Wextra", "-pedantic", "-Werror", "-I"]);
        command.arg(plugins().join("abi/include")).args(more);
        run(command.arg(plugins().join("template/c").join(source)).arg("-o").arg(output).arg("-lm"));
    };
    let test = folder.path().join("test");
    compile("test.c", &test, &[]);
    assert_eq!(run(&mut Command::new(&test)), "ok\n");
    let library = folder.path().join("libbrightness.so");
    compile("brightness.c", &library, &["-fPIC", "-fvisibility=hidden", "-shared"]);
    check(&library);
}

#[test]
fn the_template_in_c() {
    in_c(&std::env::var("CC").unwrap_or_else(|_| "cc".into()), &["-std=c11"]);
}

#[test]
fn the_template_in_c_is_cpp_as_well() {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    if Command::new(&compiler).arg("--version").output().is_err() {
        eprintln!("not run: there is no C++ compiler `{compiler}`");
        return;
    }
    in_c(&compiler, &["-x", "c++", "-std=c++17"]);
}

#[test]
fn the_template_in_python() {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let numpy = Command::new(&python).args(["-c", "import numpy"]).output();
    if !numpy.is_ok_and(|done| done.status.success()) {
        eprintln!("not run: there is no `{python}` with numpy");
        return;
    }
    let folder = plugins().join("template/python");
    let path = std::env::join_paths([plugins().join("bridge/python"), folder.clone()]).unwrap();
    let mut command = Command::new(&python);
    command.env("PYTHONPATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
    let said = run(command.args(["-m", "unittest", "discover", "-s"]).arg(folder));
    assert!(said.contains("Ran 3 tests"), "{said}");
}

/// What these tests build is what the guide shows, in full, as many read it where nothing is included.
#[test]
fn the_guide_shows_these_files() {
    let mut shown = 0;
    for entry in std::fs::read_dir(plugins().join("../docs/src")).unwrap() {
        let path = entry.unwrap().path();
        let chapter = std::fs::read_to_string(&path).unwrap();
        assert!(!chapter.contains("{{#include"), "{}", path.display());
        let lines: Vec<&str> = chapter.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            if ["```c", "```python", "```rust,ignore"].contains(line) {
                let place = format!("{}:{}", path.display(), i + 1);
                let file = lines[i - 1].strip_prefix("<!-- the file ").and_then(|rest| rest.strip_suffix(" -->"));
                let file =
                    plugins().join("..").join(file.unwrap_or_else(|| panic!("{place}: expected a file's name above")));
                assert!(file.canonicalize().unwrap().starts_with(plugins().join("template")), "{place}");
                let listed: Vec<&str> = lines[i + 1..].iter().take_while(|line| **line != "```").copied().collect();
                let there = std::fs::read_to_string(&file).unwrap();
                assert_eq!(listed.join("\n"), there.trim_end(), "{place}: the file is another now");
                shown += 1;
            }
        }
    }
    assert_eq!(shown, 5);
}
