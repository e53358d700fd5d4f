//! Small reward plugins in C and C++ that each break one rule of the interface, and some that break none: for tests of the
//! programs that have to notice and survive them.
//!
//! The sources are in `c/`: `good.h` is a correct plugin with one expert, `good`, and the others change a line or two of it.
//! The system's compilers make libraries of them (`cc` and `c++`, or what the environment variables CC and CXX name).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A plugin that breaks a rule.
#[derive(Debug, Clone, Copy)]
pub struct BadPlugin {
    /// Its name, for [`build`].
    pub name: &'static str,
    /// The check of the validator that names it; others may fail too.
    pub check: &'static str,
    /// What that check says, or a part of it.
    pub says: &'static str,
    /// What it does.
    pub what: &'static str,
}

/// The correct plugins: plain, in C++, built with a later minor version, built with minor version 0, one that promises nothing,
/// and one that abstains from every item.
pub const GOOD: &[&str] = &["good", "good_cpp", "newer_minor", "minor_0", "no_promises", "abstains"];

/// The bad plugins.
pub const ALL: &[BadPlugin] = &[
    bad("two_symbols", "one-symbol", "cpt_extra", "exports a second symbol"),
    bad("future_symbol", "one-symbol", "cpt_plugin_v2_get", "exports the symbol of another major version"),
    bad("future_major", "load", "one for 2.1", "says major version 2"),
    bad("damaged_magic", "load", "0xdeadbeef", "has another magic number"),
    bad("short_table", "load", "says 32", "says that its table ends before the functions"),
    bad("broken_manifest", "load", "manifest", "has a manifest that is no JSON"),
    bad("huge_table", "load", "a table of 64 bytes or more", "says that its table is larger than memory"),
    bad("other_version", "load", "abi", "has a manifest of another version than its table"),
    bad("crashes_at_load", "load", "SIGABRT while loading", "crashes in a constructor"),
    bad("hangs_at_load", "load", "took longer", "never comes out of a constructor"),
    bad("crashes_at_exit", "load", "SIGABRT at its exit", "crashes when the program ends"),
    bad("any_expert", "unknown-expert", "got CPT_OK", "makes an instance of experts that it does not have"),
    bad("any_settings", "malformed-settings", "got CPT_OK", "takes settings that are no JSON object"),
    bad("refuses_settings", "create", "not today", "refuses every settings"),
    bad("crashes_in_destroy", "create", "SIGSEGV in destroy", "crashes in destroy"),
    bad("exact_sizes", "newer-host", "CPT_ERROR", "takes structs of the size that it knows only"),
    bad("fixed_strides", "larger-strides", "", "takes the items for an array of the struct that it knows"),
    bad("refuses_no_items", "no-items", "CPT_ERROR", "refuses a call of no items"),
    bad("refuses_many_items", "many-items", "CPT_ERROR", "refuses a call of more than 16 items"),
    bad("exits", "many-items", "exited with 3 in score", "exits the process"),
    bad("exits_with_0", "many-items", "exited with 0 in score", "exits the process as if all were well"),
    bad("panics", "many-items", "SIGABRT in score", "aborts, as a panic does that nothing catches"),
    bad("segfaults", "many-items", "SIGSEGV in score", "crashes in score"),
    bad("slow", "many-items", "took longer", "takes an hour"),
    bad("wrong_count", "many-items", "a status of item 0 of 1, got none", "does not answer the last item"),
    bad(
        "forgets_a_value",
        "many-items",
        "a value of output 1",
        "says that an item is scored and writes one of its two values",
    ),
    bad("crashes_at_empty_text", "empty-text", "SIGSEGV", "looks at the last byte of an empty text"),
    bad("aborts_at_nul", "embedded-nul", "SIGABRT", "aborts at a text that contains a NUL before its end"),
    bad("aborts_at_invalid_utf8", "invalid-utf8", "SIGABRT", "aborts at a text that is not UTF-8"),
    bad("aborts_at_narrow_images", "small-images", "SIGABRT", "aborts at an image that is one pixel wide"),
    bad("nan_on_black", "plain-images", "an image that is black: expected a finite", "gives NaN for a black image"),
    bad("packed_only", "image-strides", "item 0", "takes images without gaps for granted"),
    bad("any_format", "unknown-format", "got a score", "scores images of formats that it does not know"),
    bad("writes_inputs", "read-only-inputs", "SIGSEGV in score", "writes into an image"),
    bad("reads_past_text", "guarded-inputs", "SIGSEGV in score", "looks for a NUL after the end of a text"),
    bad("writes_after_outputs", "guarded-outputs", "SIGSEGV in score", "answers one item more than there are"),
    bad("writes_before_outputs", "guarded-outputs", "SIGSEGV in score", "writes before the first value"),
    bad("throws", "hostile-items", "SIGABRT in score", "lets an exception out at parameters that are no object"),
    bad("spoils_the_batch", "bad-item", "CPT_FAIL", "fails all items because of one"),
    bad("depends_on_order", "permutation", "in place", "scores an item by its place"),
    bad("depends_on_batch", "batch-size", "among", "scores an item by the number of items"),
    bad("not_deterministic", "deterministic", "the same call twice", "scores an item by the number of calls before"),
    bad("sees_the_image", "judges", "other images: expected the same", "judges the image, and says that it does not"),
    bad("reads_the_answer", "judges", "other prompts and answers: ", "judges the answer, and says that it does not"),
    bad("nan", "range", "got NaN", "gives NaN for a score"),
    bad("lies_about_range", "range", "in the declared range 0 to 1", "leaves its range"),
    bad("ignores_cancel", "cancel", "to return within", "never asks whether it should stop"),
    bad("spins_when_cancelled", "cancel", "took longer", "waits for ever when it is asked to stop"),
    bad("stops_unsaid", "cancel", "got CPT_OK", "stops early and says that it is done"),
    bad("asks_once", "deadline", "to return within", "asks whether it should stop before the first item only"),
    bad("leaks_instances", "leak-instances", "KiB", "does not free what an instance holds"),
    bad("leaks_calls", "leak-calls", "KiB", "does not free what a call took"),
    bad("leaks_files", "leak-calls", "open files", "does not close a file"),
    bad("bound_to_its_thread", "threads", "on another thread", "works on one thread only"),
    bad("shares_state", "concurrent", "beside other instances", "keeps one state for all instances"),
    bad("changes_directory", "process", "score changed", "changes the working directory"),
    bad("changes_environment", "process", "OMP_NUM_THREADS", "sets an environment variable"),
    bad("changes_signals", "process", "signal 15", "puts a signal handler in place"),
    bad("changes_umask", "process", "to 000", "changes the mask of new files"),
    bad("changes_locale", "process", "create changed the locale", "changes the locale"),
    bad("prints", "stdout", "3 items", "prints"),
    bad("changes_rounding", "floating-point", "the rounding mode", "changes the rounding mode"),
    bad("flushes_subnormals", "floating-point", "flush-to-zero", "switches subnormal numbers off"),
];

const fn bad(name: &'static str, check: &'static str, says: &'static str, what: &'static str) -> BadPlugin {
    BadPlugin { name, check, says, what }
}

/// Whether there is a compiler for the plugin called `name`.
pub fn can_build(name: &str) -> bool {
    Command::new(compiler(&source(name).0).0).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Builds the plugin called `name` into `folder` and returns the library's path. The sources stay in a folder beside it.
///
/// # Panics
/// When there is no such plugin, or the compiler fails.
pub fn build(name: &str, folder: &Path) -> PathBuf {
    let (file, text) = source(name);
    compile(name, &file, &text, counterpoint_abi::HEADER, &[], folder)
}

/// As [`build`], from a source in C, which may include `good.h`.
///
/// # Panics
/// When the compiler fails.
pub fn build_source(name: &str, text: &str, folder: &Path) -> PathBuf {
    compile(name, &format!("{name}.c"), text, counterpoint_abi::HEADER, &[], folder)
}

/// As [`build`], from the file `source` in C, with more arguments for the compiler.
///
/// # Panics
/// When there is no such file, or the compiler fails.
pub fn build_file(name: &str, source: &Path, arguments: &[&str], folder: &Path) -> PathBuf {
    compile(name, &format!("{name}.c"), &read(source), counterpoint_abi::HEADER, arguments, folder)
}

/// As [`build_source`], with a header of a later minor version: all that a host passes has grown.
///
/// # Panics
/// When the compiler fails.
pub fn build_grown(name: &str, text: &str, folder: &Path) -> PathBuf {
    let mut header: String = counterpoint_abi::HEADER
        .lines()
        .filter(|line| !line.contains("(sizeof(cpt_"))
        .map(|l| format!("{l}\n"))
        .collect();
    for grown in ["image", "item", "batch", "scores", "host", "setup"] {
        let end = format!("}} cpt_{grown};");
        assert_eq!(header.matches(&end).count(), 1, "expected one {end}");
        header = header.replace(&end, &format!("    uint64_t later[5];\n{end}"));
    }
    compile(name, &format!("{name}.c"), text, &header, &[], folder)
}

fn compile(name: &str, file: &str, text: &str, header: &str, arguments: &[&str], folder: &Path) -> PathBuf {
    let sources = folder.join(format!("{name}.sources"));
    std::fs::create_dir_all(&sources).unwrap_or_else(|e| panic!("cannot make {}: {e}", sources.display()));
    for (file, text) in [("counterpoint_plugin.h", header), ("good.h", include_str!("../c/good.h")), (file, text)] {
        std::fs::write(sources.join(file), text).unwrap_or_else(|e| panic!("cannot write {file}: {e}"));
    }
    let (compiler, standard) = compiler(file);
    let library = folder.join(format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX));
    let output = Command::new(&compiler)
        .args([
            standard,
            "-O1",
            "-Wall",
            "-Wextra",
            "-Wno-unused-parameter",
            "-Werror",
            "-pedantic",
            "-fPIC",
            "-fvisibility=hidden",
            "-shared",
        ])
        .arg(sources.join(file))
        .args(["-lm", "-o"])
        .arg(&library)
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("cannot start the compiler `{compiler}`: {e}"));
    assert!(output.status.success(), "{compiler} of {file}: {}", String::from_utf8_lossy(&output.stderr));
    library
}

/// Name and text of the file of the plugin called `name`.
fn source(name: &str) -> (String, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("c");
    let file = [format!("{name}.c"), format!("{name}.cpp")].into_iter().find(|file| folder.join(file).is_file());
    let file = file.unwrap_or_else(|| panic!("there is no plugin `{name}`"));
    let text = read(&folder.join(&file));
    (file, text)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// The program and its flag for the language of `file`.
fn compiler(file: &str) -> (String, &'static str) {
    let named = |variable, default: &str| std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    if file.ends_with(".cpp") { (named("CXX", "c++"), "-std=c++17") } else { (named("CC", "cc"), "-std=c11") }
}
