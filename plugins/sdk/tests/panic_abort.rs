//! A plugin whose panics would end the process does not compile.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PLUGIN: &str = "
use counterpoint_sdk::{Batch, Description, Error, Expert, Score, Setup, export_rewards};
struct One;
impl Expert for One {
    const NAME: &'static str = \"one\";
    fn describe() -> Description { Description::new(\"nothing\") }
    fn create(_: &Setup<'_>) -> Result<Self, Error> { Ok(Self) }
    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> { batch.each(|_| Ok(Score::Value(1.0))) }
}
export_rewards!(One);
";

/// Compiles the plugin against the sdk at `sdk`, as far as a check does.
fn compile(sdk: &Path, folder: &Path, options: &[&str]) -> Output {
    std::fs::write(folder.join("plugin.rs"), PLUGIN).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Command::new(rustc)
        .args(["--edition", "2024", "--crate-type", "cdylib", "--emit", "metadata", "--out-dir"])
        .arg(folder)
        .args(["--deny", "warnings", "--deny", "unsafe_code"])
        .arg("--extern")
        .arg(format!("counterpoint_sdk={}", sdk.display()))
        .arg("-L")
        .arg(format!("dependency={}", sdk.parent().unwrap().display()))
        .args(options)
        .arg(folder.join("plugin.rs"))
        .envs([("CARGO_PKG_NAME", "plugin"), ("CARGO_PKG_VERSION", "1.0.0")])
        .output()
        .unwrap()
}

/// The sdk's library that cargo built for this test: the newest that works, for older ones may lie beside it.
fn sdk(folder: &Path) -> PathBuf {
    let built = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let is_sdk = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap_or_default();
        name.starts_with("libcounterpoint_sdk-") && name.ends_with(".rlib")
    };
    let mut found: Vec<PathBuf> = std::fs::read_dir(&built).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(is_sdk);
    found.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().modified().unwrap()));
    let mut said = String::new();
    for path in found {
        let done = compile(&path, folder, &[]);
        if done.status.success() {
            return path;
        }
        said.push_str(&String::from_utf8_lossy(&done.stderr));
    }
    panic!("no build of the sdk in {} with which a plugin compiles:\n{said}", built.display());
}

#[test]
fn a_plugin_compiles_and_with_panic_abort_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let sdk = sdk(folder.path());
    let refused = compile(&sdk, folder.path(), &["-C", "panic=abort"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "it compiled");
    assert!(said.contains("a plugin has to catch its panics: remove `panic = \"abort\"`"), "{said}");
    assert!(said.contains("due to 1 previous error"), "nothing else: {said}");
}
