//! What a run leaves in its folder: metrics and checkpoints, written by one process at a time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::{self, Keep, Lock, Writer, checkpoints, latest, set_aside, sync, unused};
use crate::file::folder_of;
use crate::metrics::{Metrics, MetricsLog};
use crate::{Error, Result};

const CHECKPOINTS: &str = "checkpoints";
const METRICS: &str = "metrics.jsonl";
const SUPERSEDED: &str = "superseded";

/// The folder of a run: `metrics.jsonl`, a line for each step, and `checkpoints/`.
///
/// Nothing is written before [`open`](Journal::open), which takes the folder's lock: no other journal may write there, of this
/// process or another; theirs return an error that names the process. The end of the journal gives the folder back, and so does
/// a kill.
///
/// ```
/// use counterpoint::Journal;
/// use counterpoint::metrics::{Metrics, MetricsLog};
///
/// # fn main() -> counterpoint::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let folder = dir.path();
/// let mut journal = Journal::new(folder);
/// journal.open(0)?;
/// let mut metrics = Metrics::new();
/// metrics.insert("reward", 0.5);
/// journal.log(0, &metrics)?;
/// let checkpoint = journal.checkpoint(1, Some(0.5), |dir| Ok(std::fs::write(dir.join("notes.txt"), "anything").unwrap()))?;
/// assert!(checkpoint.unwrap().ends_with("checkpoints/step-000001"));
/// drop(journal);
///
/// let mut other = Journal::new(folder);
/// assert!(other.open(0).is_err(), "there is a run in it");
/// let newest = other.latest()?.unwrap();
/// other.go_on_from(&newest, 1)?; // or `other.overwriting()`
/// other.open(1)?;
/// assert_eq!(MetricsLog::read(&folder.join("metrics.jsonl"))?.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    keep: Keep,
    overwrite: bool,
    lock: Option<Arc<Lock>>,
    log: Option<MetricsLog>,
    /// Whether what the folder holds is this run's.
    own: bool,
    /// Step of the newest checkpoint.
    saved_at: Option<u64>,
}

impl Journal {
    /// A journal in `folder`, which is made when it is opened. It keeps the two newest checkpoints and the best.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let keep = Keep { last: 2, best: true };
        Self { folder: folder.into(), keep, overwrite: false, lock: None, log: None, own: false, saved_at: None }
    }

    /// The same in a folder that may hold another run: that is renamed to `superseded`, or `superseded-2` and so on.
    pub fn overwriting(mut self) -> Self {
        self.overwrite = true;
        self
    }

    /// The same, keeping these checkpoints.
    pub fn with_keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The newest complete checkpoint, if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the folder exists and cannot be read.
    pub fn latest(&self) -> Result<Option<PathBuf>> {
        latest(&self.checkpoints())
    }

    /// Takes the folder's lock.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) naming the process when the folder is in use;
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when it cannot be made.
    pub fn lock(&mut self) -> Result<()> {
        self.locked().map(|_| ())
    }

    fn locked(&mut self) -> Result<Arc<Lock>> {
        match &self.lock {
            Some(lock) => Ok(lock.clone()),
            None => Ok(self.lock.insert(Arc::new(Lock::acquire(&self.checkpoints())?)).clone()),
        }
    }

    /// Says that the run goes on from the checkpoint in `dir`, of `step` complete steps, which may be in another folder.
    ///
    /// # Errors
    /// As [`lock`](Journal::lock).
    pub fn go_on_from(&mut self, dir: &Path, step: u64) -> Result<()> {
        self.lock()?;
        let real = |path: &Path| path.canonicalize().ok();
        let inside = real(folder_of(dir)).is_some_and(|parent| Some(parent) == real(&self.checkpoints()));
        self.own |= inside;
        self.saved_at = inside.then_some(step);
        // Opened again without what was written of the steps that are now to be done again.
        self.log = None;
        Ok(())
    }

    /// Makes sure that the files can be written, and hold nothing of `step` and later ones: lines of metrics are removed,
    /// checkpoints put aside. Does nothing when it is open.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) when the folder is in use, or holds another run and is not to be
    /// [overwritten](Journal::overwriting); [`ErrorKind::Io`](crate::ErrorKind::Io) when it cannot be written.
    pub fn open(&mut self, step: u64) -> Result<()> {
        self.open_from(step, step)
    }

    /// As [`open`](Journal::open), when the steps before `step` are done and the metrics of those from `unwritten` on are
    /// yet to be written.
    pub(crate) fn open_from(&mut self, step: u64, unwritten: u64) -> Result<()> {
        if self.log.is_some() {
            return Ok(());
        }
        self.lock()?;
        if !self.own {
            self.make_room()?;
            self.own = true;
        }
        // Before the metrics are cut: a kill in between must not leave a checkpoint that the metrics do not reach.
        set_aside(&self.checkpoints(), step + 1)?;
        self.log = Some(MetricsLog::resume(&self.folder.join(METRICS), unwritten)?);
        Ok(())
    }

    /// Puts another run aside, if that is allowed.
    fn make_room(&self) -> Result<()> {
        let metrics = self.folder.join(METRICS);
        let used = !checkpoints(&self.checkpoints())?.is_empty()
            || fs::metadata(&metrics).is_ok_and(|m| m.is_file() && m.len() > 0);
        if !used {
            return Ok(());
        }
        if !self.overwrite {
            return Err(Error::checkpoint(format!(
                "{} holds a run already; resume that, take another folder, or say that it may be overwritten (it is kept \
                 under another name)",
                self.folder.display()
            )));
        }
        let aside = unused(&self.folder, SUPERSEDED);
        let to = aside.join(CHECKPOINTS);
        fs::create_dir_all(&to).map_err(|e| Error::io("cannot create", &to, e))?;
        // The checkpoints first: a kill in between must not leave one that the metrics do not reach.
        for path in checkpoint::entries(&self.checkpoints())? {
            if let (true, Some(name)) = (path.is_dir(), path.file_name()) {
                checkpoint::rename(&path, &to.join(name))?;
            }
        }
        if metrics.exists() {
            checkpoint::rename(&metrics, &aside.join(METRICS))?;
        }
        sync(&self.folder)
    }

    /// Appends the metrics of `step` and makes them durable. After an error the journal is to be opened anew.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) when a metric has a reserved name or the journal is not open;
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the file cannot be written; it is then as before.
    pub fn log(&mut self, step: u64, metrics: &Metrics) -> Result<()> {
        let log = self.log.as_mut().ok_or_else(|| Error::contract("expected an open journal; call `open` first"))?;
        let result = log.append(step, metrics).and_then(|()| log.sync());
        if result.is_err() {
            self.log = None;
        }
        result
    }

    /// Writes the checkpoint after `step` steps: `fill` writes its files into a folder. `metric` is what "best" is judged by.
    /// Returns its folder, or `None` when this step has a checkpoint already.
    ///
    /// # Errors
    /// What `fill` returns, and as [`open`](Journal::open); earlier checkpoints stay as they are.
    pub fn checkpoint(
        &mut self,
        step: u64,
        metric: Option<f64>,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Option<PathBuf>> {
        if self.saved_at == Some(step) {
            return Ok(None);
        }
        self.open(step)?;
        let mut writer = Writer::under(self.locked()?, step)?;
        fill(writer.dir())?;
        if let Some(metric) = metric {
            writer.metric(metric);
        }
        let path = writer.commit(self.keep)?;
        self.saved_at = Some(step);
        Ok(Some(path))
    }

    fn checkpoints(&self) -> PathBuf {
        self.folder.join(CHECKPOINTS)
    }
}
