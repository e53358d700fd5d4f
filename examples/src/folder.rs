//! `runs/<name>/`: what a run leaves behind.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use counterpoint::checkpoint::latest;
use counterpoint::config::RunConfig;
use counterpoint::{Error, Result};

/// The folder of one run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// A new folder for the run, `<output>/<name>` or, when that is taken, `<name>-2`, `<name>-3`, ...
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when it cannot be made.
    pub fn create(config: &RunConfig) -> Result<Self> {
        let output = &config.run.output;
        fs::create_dir_all(output).map_err(|e| Error::io("cannot make the folder", output, e))?;
        // Made, not looked for: of two runs that start at once each gets its own.
        let make = |path: PathBuf| match fs::create_dir(&path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => None,
            made => Some(made.map(|()| path.clone()).map_err(|e| Error::io("cannot make the folder", &path, e))),
        };
        let path = Self::numbered(config).find_map(make).transpose()?.unwrap_or_default();
        let samples = path.join("samples");
        fs::create_dir(&samples).map_err(|e| Error::io("cannot make the folder", &samples, e))?;
        let run = Self { path };
        run.write("config.toml", &config.to_toml()?)?;
        Ok(run)
    }

    /// The newest run of this name, and its newest checkpoint. Whether that is intact is for
    /// [`Trainer::resume`](counterpoint::Trainer::resume) to say: its error names the previous one, which is the newest
    /// once the damaged folder is moved away.
    ///
    /// # Errors
    /// [`Checkpoint`](counterpoint::ErrorKind::Checkpoint) when there is no run or no checkpoint to go on from.
    pub fn resume(config: &RunConfig) -> Result<(Self, PathBuf)> {
        let Some(path) = Self::numbered(config).take_while(|path| path.exists()).last() else {
            return Err(Error::checkpoint(format!(
                "no run `{}` in {} to resume; start it without --resume",
                config.run.name,
                config.run.output.display()
            )));
        };
        let run = Self { path };
        match latest(&run.checkpoints())? {
            Some(checkpoint) => Ok((run, checkpoint)),
            None => Err(Error::checkpoint(format!(
                "{} has no checkpoint yet; start the run again without --resume",
                run.path.display()
            ))),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its checkpoints are.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Writes a text file into it.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io).
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path.join(name);
        fs::write(&path, text).map_err(|e| Error::io("cannot write", &path, e))
    }

    /// Reads a text file of it.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io).
    pub fn read(&self, name: &str) -> Result<String> {
        let path = self.path.join(name);
        fs::read_to_string(&path).map_err(|e| Error::io("cannot read", &path, e))
    }

    fn numbered(config: &RunConfig) -> impl Iterator<Item = PathBuf> {
        let (output, name) = (config.run.output.clone(), config.run.name.clone());
        (1..).map(move |n| output.join(if n == 1 { name.clone() } else { format!("{name}-{n}") }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use counterpoint::checkpoint::{Keep, Reader, Writer};

    use super::*;

    fn checkpoint(run: &RunFolder, step: u64) {
        let writer = Writer::begin(&run.checkpoints(), step).unwrap();
        fs::write(writer.dir().join("weights.bin"), "weights").unwrap();
        writer.commit(Keep { last: 9, best: false }).unwrap();
    }

    #[test]
    fn a_damaged_newest_checkpoint_offers_the_previous_one_which_follows_once_it_is_moved_away() {
        let output = tempfile::tempdir().unwrap();
        let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("sync_r1.toml");
        let mut config = RunConfig::load(&recipe, &[]).unwrap();
        config.run.output = output.path().join("runs");
        let first = RunFolder::create(&config).unwrap();
        let run = RunFolder::create(&config).unwrap();
        assert_ne!(run.path(), first.path());
        assert!(RunFolder::resume(&config).unwrap_err().to_string().contains("has no checkpoint yet"));
        checkpoint(&run, 10);
        checkpoint(&run, 20);

        let (resumed, newest) = RunFolder::resume(&config).unwrap();
        assert_eq!((resumed.path(), newest.file_name().unwrap()), (run.path(), "step-000020".as_ref()));
        fs::write(newest.join("weights.bin"), "Weights").unwrap();
        let message = Reader::open(&newest).unwrap_err().to_string();
        let previous = run.checkpoints().join("step-000010");
        assert!(
            message.contains(&format!("{}; to go on from it, move the other away", previous.display())),
            "{message}"
        );

        fs::rename(&newest, output.path().join("damaged")).unwrap();
        assert_eq!(RunFolder::resume(&config).unwrap().1, previous);
    }
}
