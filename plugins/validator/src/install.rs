//! Puts a plugin that passed into place, with its sidecar manifest.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use counterpoint_host::{Manifest, Sidecar, in_path};
use tempfile::NamedTempFile;

use crate::Target;

/// The plugin's file as it was before the checks.
pub(crate) struct Source {
    path: PathBuf,
    bytes: Vec<u8>,
    command: Option<Vec<String>>,
}

impl Source {
    /// The file of `target`: the library, or the word of the command that [`file_among`] finds.
    pub fn of(target: &Target) -> Result<Self, String> {
        let (path, command) = match target {
            Target::Library(path) => (path.clone(), None),
            Target::Command(words) => {
                let at = file_among(words);
                let at = at.ok_or(
                    "expected the plugin's file as an argument: after `-m counterpoint_reward`, or the first file",
                )?;
                let mut command = (0..words.len()).map(|i| from_anywhere(words, i)).collect::<Result<Vec<_>, _>>()?;
                command[at] = "{file}".into();
                (PathBuf::from(&words[at]), Some(command))
            }
        };
        let bytes = fs::read(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        Ok(Self { path, bytes, command })
    }

    /// Copies it into `folder`, or leaves it where it is, and writes the sidecar. Returns where it is now.
    ///
    /// The file comes first: until its sidecar is there, a host refuses it.
    pub fn install(&self, folder: Option<&Path>, manifest: &Manifest) -> Result<PathBuf, String> {
        let to = match folder {
            Some(folder) => {
                let name = self.path.file_name().ok_or("expected a plugin with a file name")?;
                let to = folder.join(name);
                self.copy(folder, &to).map_err(|e| format!("cannot write {}: {e}", to.display()))?;
                to
            }
            None => self.path.clone(),
        };
        // Of the bytes that were checked, whatever lies there now.
        let mut sidecar = Sidecar::of_bytes(&self.bytes, manifest);
        sidecar.command.clone_from(&self.command);
        let now = fs::read(&to).map_err(|e| format!("cannot read {}: {e}", to.display()))?;
        if now != self.bytes {
            return Err(format!("{} changed during the checks: check it again", to.display()));
        }
        sidecar.write(&to).map_err(|e| format!("{e:#}"))?;
        Ok(to)
    }

    fn copy(&self, folder: &Path, to: &Path) -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        // Through what was opened, not by its name, which could have become another's; a link at `to` is replaced, not followed.
        let mut part = NamedTempFile::new_in(folder)?;
        part.write_all(&self.bytes)?;
        part.as_file().set_permissions(fs::metadata(&self.path)?.permissions())?;
        part.persist(to)?;
        Ok(())
    }
}

/// Which word of a command is the plugin's file: the one after `-m counterpoint_reward`; without these the first argument that is
/// a file.
fn file_among(words: &[String]) -> Option<usize> {
    let is_file = |i: &usize| words.get(*i).is_some_and(|word| Path::new(word).is_file());
    match words.windows(2).position(|pair| pair == ["-m", "counterpoint_reward"]) {
        Some(module) => Some(module + 2).filter(is_file),
        None => (1..words.len()).find(is_file),
    }
}

/// Word `i` of a command, made absolute if it is a path from the working directory: the sidecar's command starts in the
/// sidecar's folder. A program without a slash is looked up in PATH, now if it is one of a Python environment, which a run need
/// not be in; and the word after `-m` is a Python module.
fn from_anywhere(words: &[String], i: usize) -> Result<String, String> {
    let (word, path) = (&words[i], Path::new(&words[i]));
    let is_program = i == 0 && !word.contains('/');
    let is_path = !is_program && (i == 0 || words[i - 1] != "-m");
    let path = match is_program.then(|| of_environment(word)).flatten() {
        Some(program) => program,
        None if is_path && path.is_relative() && path.exists() => path.to_owned(),
        None => return Ok(word.clone()),
    };
    let path = std::path::absolute(path).map_err(|e| format!("cannot find {word}: {e}"))?;
    path.into_os_string().into_string().map_err(|path| format!("expected a path of UTF-8, got {}", path.display()))
}

/// Where a program of PATH is, if that is in an environment of Python's `venv` or of conda.
fn of_environment(program: &str) -> Option<PathBuf> {
    let program = in_path(program)?;
    let environment = program.parent()?.parent()?;
    let marks = ["pyvenv.cfg", "conda-meta"];
    marks.iter().any(|mark| environment.join(mark).exists()).then_some(program.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The file and the command of the sidecar. Paths are from the folder of this crate.
    fn sealed(words: &str) -> Option<(String, String)> {
        let target = Target::Command(words.split(' ').map(str::to_owned).collect());
        let source = Source::of(&target).ok()?;
        let here = format!("{}/", env!("CARGO_MANIFEST_DIR"));
        Some((source.path.to_str().unwrap().to_owned(), source.command.unwrap().join(" ").replace(&here, "HERE/")))
    }

    #[test]
    fn the_plugin_is_the_file_that_is_served_and_not_one_that_it_reads() {
        for (words, file, command) in [
            (
                "python3 -m counterpoint_reward src/lib.rs Cargo.toml",
                "src/lib.rs",
                "python3 -m counterpoint_reward {file} HERE/Cargo.toml",
            ),
            (
                "env src/../../validator/src/job.rs -m counterpoint_reward src/lib.rs",
                "src/lib.rs",
                "env HERE/src/../../validator/src/job.rs -m counterpoint_reward {file}",
            ),
            ("perl src/lib.rs Cargo.toml 3", "src/lib.rs", "perl {file} HERE/Cargo.toml 3"),
        ] {
            assert_eq!(sealed(words), Some((file.to_owned(), command.to_owned())), "{words}");
        }
        for words in
            ["python3 -m counterpoint_reward", "python3 -m counterpoint_reward none.py Cargo.toml", "Cargo.toml"]
        {
            assert_eq!(sealed(words), None, "{words}");
        }
    }

    #[test]
    fn paths_from_the_working_directory_become_absolute_and_other_words_stay() {
        for (words, command) in [
            ("./src/job.rs Cargo.toml src", "HERE/src/job.rs {file} HERE/src"),
            ("src Cargo.toml --weights src/none", "src {file} --weights src/none"),
            ("python3 -m src Cargo.toml", "python3 -m src {file}"),
            ("python3 Cargo.toml /dev", "python3 {file} /dev"),
        ] {
            assert_eq!(sealed(words), Some(("Cargo.toml".to_owned(), command.to_owned())), "{words}");
        }
    }
}
