//! `tests/plugin.c`, built by the system's C compiler.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use counterpoint_bad_plugins::build_file;
use counterpoint_host::{Image, Item, Library, Loaded, Pixels, Setup};
use serde_json::json;
use tempfile::TempDir;

/// Builds the plugin with the macros `defines` into `folder`.
pub fn build(folder: &Path, name: &str, defines: &[&str]) -> PathBuf {
    build_with(folder, name, defines, &[])
}

/// The same with more arguments for the compiler.
pub fn build_with(folder: &Path, name: &str, defines: &[&str], arguments: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugin.c");
    let defines: Vec<String> = defines.iter().map(|define| format!("-D{define}")).collect();
    let all: Vec<&str> =
        ["-std=gnu11"].into_iter().chain(defines.iter().map(String::as_str)).chain(arguments.iter().copied()).collect();
    build_file(name, &source, &all, folder)
}

/// The plugin, built and loaded.
pub fn open(defines: &[&str]) -> (TempDir, &'static Library) {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::open(&build(folder.path(), "moody", defines)).unwrap();
    (folder, library)
}

/// Its expert in a mode.
pub fn moody(library: &'static Library, mode: &str) -> counterpoint_host::Result<Loaded> {
    several(library, mode, 1)
}

/// The same with so many instances.
pub fn several(library: &'static Library, mode: &str, instances: usize) -> counterpoint_host::Result<Loaded> {
    let settings = json!({ "mode": mode });
    Loaded::create(library, &Setup { expert: "moody", settings: &settings, base: Path::new("/") }, instances)
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
