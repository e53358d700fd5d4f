//! `tests/plugin.c`, built by the system's C compiler.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use counterpoint_host::{Image, Item, Library, Loaded, Options, Pixels, Setup};
use serde_json::json;
use tempfile::TempDir;

/// Builds the plugin with the macros `defines` into `folder`.
pub fn build(folder: &Path, name: &str, defines: &[&str]) -> PathBuf {
    build_with(folder, name, defines, &[])
}

/// The same with more arguments for the compiler.
pub fn build_with(folder: &Path, name: &str, defines: &[&str], arguments: &[&str]) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let library = folder.join(format!("lib{name}{}", std::env::consts::DLL_SUFFIX));
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let made = Command::new(&compiler)
        .args(["-std=gnu11", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-I"])
        .arg(tests.join("../../abi/include"))
        .args(defines.iter().map(|d| format!("-D{d}")))
        .arg(tests.join("plugin.c"))
        .arg("-o")
        .arg(&library)
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("cannot start the compiler `{compiler}`: {e}"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    library
}

/// The plugin, built and loaded.
pub fn open(defines: &[&str]) -> (TempDir, &'static Library) {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::open(&build(folder.path(), "moody", defines)).unwrap();
    (folder, library)
}

/// Its expert in a mode.
pub fn moody(library: &'static Library, mode: &str, options: &Options) -> counterpoint_host::Result<Loaded> {
    let settings = json!({ "mode": mode });
    Loaded::create(library, &Setup { expert: "moody", settings: &settings, base: Path::new("/") }, options)
}

/// `n` items with responses of 0, 1, 2, ... bytes.
pub fn items(n: usize) -> Vec<Item<'static>> {
    let text = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
    (0..n).map(|i| Item { response: &text[..i], ..Item::default() }).collect()
}

/// An image of one colour.
pub fn flat(pixels: &[u8]) -> Image<'_> {
    Image::new(2, pixels.len() as u32 / 6, Pixels::U8(pixels)).unwrap()
}
