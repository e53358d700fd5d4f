//! A plugin of one's own, from the template.
#![allow(clippy::print_stdout)]

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use counterpoint::file::folder_of;
use counterpoint::{Error, Result};

use crate::args::built_in;

/// The Rust sdk of the clone that this was built in.
const SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/sdk");

macro_rules! template {
    ($file:literal) => {
        include_str!(concat!("../../../../plugins/", $file))
    };
}

/// Files of a template: their names, in which NAME stands for the plugin's, and what is in them.
type Files = &'static [(&'static str, &'static str)];

const RUST: Files =
    &[("Cargo.toml", template!("template/rust/Cargo.toml")), ("src/lib.rs", template!("template/rust/src/lib.rs"))];
const C: Files = &[
    ("counterpoint_plugin.h", template!("abi/include/counterpoint_plugin.h")),
    ("NAME.c", template!("template/c/brightness.c")),
    ("test.c", template!("template/c/test.c")),
];
const PYTHON: Files = &[
    ("NAME.py", template!("template/python/brightness.py")),
    ("test_NAME.py", template!("template/python/test_brightness.py")),
];

/// Words that name no module of a plugin: Python's own, and what the template imports.
const NO_MODULE: &str = "and as assert async await break class continue def del elif else except finally for from global if import in is \
                         lambda nonlocal not or pass raise return try while with yield counterpoint_reward numpy unittest";

/// A plugin that is begun.
#[derive(Debug, Args)]
pub struct NewPlugin {
    /// Its name: lower case letters, digits and `_`, a letter first.
    #[arg(value_parser = plugin_name)]
    name: String,
    /// What it is written in.
    #[arg(long, value_enum)]
    language: Language,
    /// The folder to make. Default: its name, in this one.
    folder: Option<PathBuf>,
    /// The Rust sdk, `plugins/sdk` of a clone. Default: that of the clone that this program was built in.
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// A crate that uses the sdk.
    Rust,
    /// One file, C11 and C++17 at once.
    C,
    /// One file, run in a process of its own.
    Python,
}

fn plugin_name(text: &str) -> std::result::Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(fits) && text.len() <= 64 {
        true => Ok(text.to_owned()),
        false => Err("expected up to 64 lower case letters, digits and `_`, a letter first".to_owned()),
    }
}

/// Writes the template into a folder of its own, all of it or nothing, and says what comes next.
pub(super) fn run(plugin: &NewPlugin) -> Result<()> {
    let NewPlugin { name, language, .. } = plugin;
    if *language == Language::Python && NO_MODULE.split(' ').any(|word| word == name) {
        return Err(Error::config(format!("expected a name that a module in Python can have, got `{name}`")));
    }
    let folder = plugin.folder.clone().unwrap_or_else(|| name.into());
    let files = language.files(name, plugin.sdk.as_deref())?;
    write(&folder, &files)?;
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    println!("wrote {}: {}", folder.display(), names.join(", "));
    language.next(name, &folder).iter().for_each(|line| println!("{line}"));
    Ok(())
}

impl Language {
    /// The files of a plugin: their names in its folder, and what is in them.
    fn files(self, name: &str, sdk: Option<&Path>) -> Result<Vec<(String, String)>> {
        let (files, places) = match self {
            Self::Rust => (RUST, rust(name, sdk)?),
            Self::C => (C, c(name)),
            Self::Python => (PYTHON, python(name)),
        };
        let put = |text: &str| places.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        Ok(files.iter().map(|(file, text)| (file.replace("NAME", name), put(text))).collect())
    }

    /// How the plugin in `folder` is built and checked.
    fn next(self, name: &str, folder: &Path) -> Vec<String> {
        let (library, file) = (format!("{DLL_PREFIX}{name}{DLL_SUFFIX}"), |file: &str| folder.join(file));
        let (build, check) = match self {
            Self::Rust => (
                format!("cargo build --release --manifest-path '{}'", file("Cargo.toml").display()),
                format!("'{}'", file("target/release").join(library).display()),
            ),
            Self::C => {
                let (source, library) = (file(&format!("{name}.c")), file(&library));
                let (source, library) = (source.display(), library.display());
                let options = "-std=c11 -O2 -fPIC -fvisibility=hidden -shared";
                (format!("cc {options} '{source}' -o '{library}' -lm"), format!("'{library}'"))
            }
            Self::Python => (
                "pip install numpy, and plugins/bridge/python of a clone".to_owned(),
                format!("-- python3 -m counterpoint_reward '{}'", file(&format!("{name}.py")).display()),
            ),
        };
        vec![format!("build: {build}"), format!("check: counterpoint plugins validate {check}")]
    }
}

/// What takes the place of what in a template.
type Places = Vec<(&'static str, String)>;

fn rust(name: &str, sdk: Option<&Path>) -> Result<Places> {
    let sdk = match sdk {
        Some(sdk) => sdk,
        None => built_in(SDK.as_ref(), "--sdk")?,
    };
    let sdk = sdk.canonicalize().map_err(|e| Error::io("cannot find the sdk", sdk, e))?;
    let dependency = format!("counterpoint-sdk = {{ path = {} }}", toml::Value::from(sdk.display().to_string()));
    Ok(vec![
        ("\"brightness\"", format!("\"{name}\"")),
        (
            "# Outside of the repository: path = \"../counterpoint/plugins/sdk\", or wherever the clone is.\n",
            String::new(),
        ),
        ("counterpoint-sdk = { path = \"../../sdk\" }", dependency),
    ])
}

fn c(name: &str) -> Places {
    vec![
        ("\"brightness\"", format!("\"{name}\"")),
        ("\\\"brightness\\\"", format!("\\\"{name}\\\"")),
        ("the expert brightness", format!("the expert {name}")),
        // The header lies beside the file.
        ("-I plugins/abi/include plugins/template/c/", String::new()),
        ("brightness.c", format!("{name}.c")),
        ("libbrightness", format!("lib{name}")),
        ("brightness-test", format!("{name}-test")),
    ]
}

fn python(name: &str) -> Places {
    vec![("@reward(", format!("@reward(name=\"{name}\", ")), ("from brightness ", format!("from {name} "))]
}

/// Writes `files` into a new folder: apart first, so that nothing is ever there in half.
fn write(folder: &Path, files: &[(String, String)]) -> Result<()> {
    if folder.exists() {
        return Err(Error::config(format!(
            "expected a folder that is not there yet, got {}; nothing is overwritten: choose another FOLDER, or move it away",
            folder.display()
        )));
    }
    let parent = folder_of(folder);
    let cannot = |e| Error::io("cannot write to", parent, e);
    fs::create_dir_all(parent).map_err(cannot)?;
    let apart = tempfile::Builder::new().prefix(".counterpoint-").tempdir_in(parent).map_err(cannot)?;
    // The temporary folder is its owner's alone; one inside of it has the usual rights.
    let inside = apart.path().join("plugin");
    for (name, text) in files {
        let path = inside.join(name);
        let cannot = |e| Error::io("cannot write", &path, e);
        fs::create_dir_all(folder_of(&path)).map_err(cannot)?;
        fs::write(&path, text).map_err(cannot)?;
    }
    fs::rename(&inside, folder).map_err(|e| Error::io("cannot make the folder", folder, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_a_name_is_in_the_template() {
        let places = [(RUST, rust("mine", None).unwrap_or_default()), (C, c("mine")), (PYTHON, python("mine"))];
        for (files, places) in places {
            assert!(!places.is_empty());
            for (from, _) in places {
                assert!(files.iter().any(|(_, text)| text.contains(from)), "{from}");
            }
        }
    }

    #[test]
    fn a_name_is_one_that_every_part_can_have() {
        for name in ["sharpness", "a1_b"] {
            assert_eq!(plugin_name(name), Ok(name.to_owned()));
        }
        let long = "a".repeat(65);
        for name in ["", "Sharp", "1a", "a-b", "../a", "a b", "é", &long] {
            assert!(plugin_name(name).is_err(), "{name}");
        }
    }
}
