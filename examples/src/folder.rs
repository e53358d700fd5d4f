//! `runs/<name>/`: what a run leaves behind.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use counterpoint::checkpoint::latest;
use counterpoint::config::RunSection;
use counterpoint::{Error, Result, file};
use image::RgbImage;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::run::{BEFORE, CONFIG};

/// Whether a run goes on from an earlier one of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Resume {
    /// It is a new one.
    No,
    /// It does; without one it is refused.
    Yes,
    /// It does where there is one: for commands that a scheduler starts again.
    IfThere,
}

/// The folder of one run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    /// Whether it is there.
    made: bool,
}

impl RunFolder {
    /// The newest folder of this run to go on with, or a new one, which is made when the run begins.
    ///
    /// # Errors
    /// [`Checkpoint`](counterpoint::ErrorKind::Checkpoint) when there is none to go on with and there is to be one.
    pub fn of(run: &RunSection, resume: Resume) -> Result<Self> {
        let newest = if resume == Resume::No { None } else { Self::newest(run) };
        match (newest, resume) {
            (Some(newest), _) => Ok(newest),
            (None, Resume::Yes) => Err(Error::checkpoint(format!(
                "no run `{}` in {} to resume; start it without --resume, or with --resume=if-there",
                run.name,
                run.output.display()
            ))),
            (None, _) => Ok(Self::planned(run)),
        }
    }

    /// A new folder for the run, `<output>/<name>` or, when that is taken, `<name>-2`, `<name>-3`, ...
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when it cannot be made.
    pub fn create(run: &RunSection) -> Result<Self> {
        let output = &run.output;
        fs::create_dir_all(output).map_err(|e| Error::io("cannot make the folder", output, e))?;
        // Made, not looked for: of two runs that start at once each gets its own.
        let make = |path: PathBuf| match fs::create_dir(&path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => None,
            made => Some(made.map(|()| path.clone()).map_err(|e| Error::io("cannot make the folder", &path, e))),
        };
        Ok(Self { path: Self::numbered(run).find_map(make).transpose()?.unwrap_or_default(), made: true })
    }

    /// What [`create`](Self::create) would make, once everything that can be checked before is checked.
    fn planned(run: &RunSection) -> Self {
        let path = Self::numbered(run).find(|path| !path.exists()).unwrap_or_default();
        Self { path, made: false }
    }

    /// The folder, which is made now if it was only planned.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn made(self, run: &RunSection) -> Result<Self> {
        if self.made { Ok(self) } else { Self::create(run) }
    }

    /// The newest folder of this run that has a checkpoint, an evaluation or runs of its own; where there is none, the newest that
    /// was begun at all.
    fn newest(run: &RunSection) -> Option<Self> {
        let there: Vec<PathBuf> = Self::numbered(run).take_while(|path| path.exists()).collect();
        let begun = |path: &&PathBuf| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
        let gone_on = |path: &&PathBuf| {
            let runs = fs::read_dir(path)
                .into_iter()
                .flatten()
                .flatten()
                .any(|entry| entry.path().join("config.toml").is_file());
            runs || path.join("before.json").is_file()
                || latest(&path.join("checkpoints")).is_ok_and(|found| found.is_some())
        };
        let path = there.iter().rev().find(gone_on).or_else(|| there.iter().rev().find(begun))?;
        Some(Self { path: path.clone(), made: true })
    }

    /// The folder at `path`, which is made when it is not there.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when it cannot be made.
    pub fn at(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).map_err(|e| Error::io("cannot make the folder", &path, e))?;
        Ok(Self { path, made: true })
    }

    /// The folder at `path` of a run that was begun.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when it is none.
    pub fn begun(path: PathBuf) -> Result<Self> {
        let folder = Self { path, made: true };
        match folder.has(CONFIG) && folder.has(BEFORE) {
            true => Ok(folder),
            false => Err(Error::data(format!(
                "expected the folder of one run, with {CONFIG} and {BEFORE}, got {}; of several runs their own command writes the \
                 report, with --resume",
                folder.path.display()
            ))),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest checkpoint, if there is one.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the folder cannot be listed.
    pub fn checkpoint(&self) -> Result<Option<PathBuf>> {
        latest(&self.path.join("checkpoints"))
    }

    /// Whether it has the file `name`.
    pub fn has(&self, name: &str) -> bool {
        self.path.join(name).is_file()
    }

    /// Writes a text file into it, complete or not at all.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io).
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        file::replace(&self.path.join(name), text.as_bytes())
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io).
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("cannot remove", &path, e)),
            _ => Ok(()),
        }
    }

    /// Reads a text file of it.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io).
    pub fn read(&self, name: &str) -> Result<String> {
        let path = self.path.join(name);
        fs::read_to_string(&path).map_err(|e| Error::io("cannot read", &path, e))
    }

    /// Writes `value` as indented JSON.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io); [`Data`](counterpoint::ErrorKind::Data) when JSON cannot hold it.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|e| Error::data(format!("cannot write {name} as JSON")).with_source(e))?;
        self.write(name, &text)
    }

    /// Reads what [`write_json`](Self::write_json) wrote.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io); [`Data`](counterpoint::ErrorKind::Data) with file, line and column when the
    /// file holds something else.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let damaged = |e: serde_json::Error| {
            let path = self.path.join(name);
            Error::data(format!("{}: damaged; start the run anew", path.display())).with_source(e)
        };
        serde_json::from_str(&self.read(name)?).map_err(damaged)
    }

    /// Writes an image, in the format that the name's ending says.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io).
    pub fn write_image(&self, name: &str, image: &RgbImage) -> Result<()> {
        let path = self.path.join(name);
        let folder = path.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder).map_err(|e| Error::io("cannot make the folder", folder, e))?;
        image.save(&path).map_err(|e| Error::io("cannot write", &path, std::io::Error::other(e)))
    }

    fn numbered(run: &RunSection) -> impl Iterator<Item = PathBuf> {
        let (output, name) = (run.output.clone(), run.name.clone());
        (1..).map(move |n| output.join(if n == 1 { name.clone() } else { format!("{name}-{n}") }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use counterpoint::checkpoint::{Keep, Reader, Writer};

    use super::*;

    fn checkpoint(run: &RunFolder, step: u64) {
        let writer = Writer::begin(&run.path().join("checkpoints"), step).unwrap();
        fs::write(writer.dir().join("weights.bin"), "weights").unwrap();
        writer.commit(Keep { last: 9, best: false }).unwrap();
    }

    #[test]
    fn a_damaged_newest_checkpoint_offers_the_previous_one_which_follows_once_it_is_moved_away() {
        let output = tempfile::tempdir().unwrap();
        let named = RunSection { name: "trial".to_owned(), seed: 0, output: output.path().join("runs") };
        let refused = RunFolder::of(&named, Resume::Yes).unwrap_err().to_string();
        assert!(refused.contains("no run `trial`") && refused.contains("start it without --resume"), "{refused}");
        let first = RunFolder::of(&named, Resume::IfThere).unwrap().made(&named).unwrap();
        fs::write(first.path().join("before.json"), "[]").unwrap();
        assert_eq!(RunFolder::of(&named, Resume::IfThere).unwrap().path(), first.path());
        let run = RunFolder::of(&named, Resume::No).unwrap().made(&named).unwrap();
        assert_ne!(run.path(), first.path());
        // A third that never began: nothing is in it.
        RunFolder::create(&named).unwrap();
        assert_eq!(run.checkpoint().unwrap(), None);
        checkpoint(&run, 10);
        checkpoint(&run, 20);

        let resumed = RunFolder::of(&named, Resume::Yes).unwrap();
        let newest = resumed.checkpoint().unwrap().unwrap();
        assert_eq!((resumed.path(), newest.file_name().unwrap()), (run.path(), "step-000020".as_ref()));
        fs::write(newest.join("weights.bin"), "Weights").unwrap();
        let message = Reader::open(&newest).unwrap_err().to_string();
        let previous = run.path().join("checkpoints/step-000010");
        assert!(
            message.contains(&format!("{}; to go on from it, move the other away", previous.display())),
            "{message}"
        );

        fs::rename(&newest, output.path().join("damaged")).unwrap();
        assert_eq!(resumed.checkpoint().unwrap(), Some(previous));
    }
}
