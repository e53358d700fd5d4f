//! A run's checkpoints and their copies.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use counterpoint::checkpoint::Reader;
use counterpoint::file::folder_of;
use counterpoint::{Error, Event, Observer, Result};
use object_store::ObjectStore;
use object_store::path::Path as Key;
use tokio::runtime::{Builder, Runtime};
use url::Url;

use crate::copies::Copies;

/// The file that makes a folder a checkpoint; it goes up last.
pub(crate) const MANIFEST: &str = "manifest.json";

/// Copies every checkpoint of a run to an object store when it is written, and removes there what the run removes here.
///
/// A copy counts once its manifest is there, which goes up last: a kill leaves no half of one. When the store cannot be reached the run goes on;
/// what is missing is copied with the next checkpoint, or by [`sync`](Self::sync). Copies that others made under the same
/// prefix are left alone.
///
/// ```
/// use counterpoint::checkpoint::{Keep, Reader, Writer};
/// use counterpoint_stores::Mirror;
/// use counterpoint_stores::object_store::memory::InMemory;
///
/// # let (here, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
/// let writer = Writer::begin(here.path(), 10)?;
/// std::fs::write(writer.dir().join("notes.txt"), "anything").unwrap();
/// writer.commit(Keep { last: 2, best: false })?;
///
/// // A trainer's observer does this whenever a checkpoint is written: `trainer.observe(mirror)`.
/// let mut mirror = Mirror::new(std::sync::Arc::new(InMemory::new()), "runs/first")?;
/// mirror.sync(here.path())?;
///
/// let newest = mirror.fetch(elsewhere.path())?.unwrap();
/// assert_eq!(Reader::open(&newest)?.step(), 10);
/// # Ok::<(), counterpoint::Error>(())
/// ```
#[derive(Debug)]
pub struct Mirror {
    copies: Copies,
    runtime: Runtime,
    /// Names of checkpoints that this mirror put or fetched, or found to be there already.
    ours: BTreeSet<String>,
}

impl Mirror {
    /// Copies under `prefix` of `store`.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) for a prefix that is no path of a store.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self> {
        let prefix = Key::parse(prefix).map_err(|e| {
            Error::config(format!("expected a path such as \"runs/first\", got {prefix:?}")).with_source(e)
        })?;
        // One thread, which works while it is waited for.
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::io("cannot wait for", Path::new(prefix.as_ref()), e))?;
        Ok(Self { copies: Copies { store, prefix }, runtime, ours: BTreeSet::new() })
    }

    /// Copies under `address`: `s3://BUCKET/PATH`, `gs://`, `az://` (in builds with the features `aws`, `gcp`, `azure`), `file:///PATH`.
    /// Keys and regions are those of the environment, such as `AWS_ACCESS_KEY_ID`, `AWS_REGION` and `AWS_ENDPOINT`.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) for what is no such address, and for one that this build does not reach.
    pub fn open(address: &str) -> Result<Self> {
        let refused = || {
            Error::config(format!(
                "expected the address of an object store such as s3://BUCKET/PATH or file:///PATH, got {address:?}; clouds need the \
                 features `aws`, `gcp` or `azure` of counterpoint-stores"
            ))
        };
        let url = Url::parse(address).map_err(|e| refused().with_source(e))?;
        let (store, prefix) =
            object_store::parse_url_opts(&url, std::env::vars()).map_err(|e| refused().with_source(e))?;
        Self::new(Arc::from(store), prefix.as_ref())
    }

    /// Copies the complete checkpoints in `root` that are not there yet or are others than those, and removes the copies of what `root` does not
    /// have any more.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) naming the file or the copy that could not be read, written or removed. What was copied before
    /// stays.
    pub fn sync(&mut self, root: &Path) -> Result<()> {
        let here = checkpoints(root)?;
        for (name, folder) in &here {
            self.runtime.block_on(self.copies.put(name, folder))?;
            self.ours.insert(name.clone());
        }
        let gone = |name: &&String| !here.iter().any(|(kept, _)| kept == *name);
        for name in self.ours.iter().filter(gone).cloned().collect::<Vec<_>>() {
            self.runtime.block_on(self.copies.remove(&name))?;
            self.ours.remove(&name);
        }
        Ok(())
    }

    /// Brings the newest copy into `root`, verified, and says where it is; `None` when there is none. One that `root` has already is not
    /// fetched again.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when it cannot be read or written, [`Checkpoint`](counterpoint::ErrorKind::Checkpoint) naming the
    /// file that is not what its manifest says. Nothing of it is then in `root`.
    pub fn fetch(&mut self, root: &Path) -> Result<Option<PathBuf>> {
        let Some(name) = self.runtime.block_on(self.copies.newest())? else { return Ok(None) };
        let folder = root.join(&name);
        if !folder.join(MANIFEST).is_file() {
            fs::create_dir_all(root).map_err(|e| Error::io("cannot create", root, e))?;
            let temporary = tempfile::Builder::new().prefix(".fetch-").tempdir_in(root);
            let temporary = temporary.map_err(|e| Error::io("cannot write to", root, e))?;
            let fetched = temporary.path().join(&name);
            self.runtime.block_on(self.copies.get(&name, &fetched))?;
            Reader::open(&fetched)?;
            fs::rename(&fetched, &folder).map_err(|e| Error::io("cannot create", &folder, e))?;
        }
        self.ours.insert(name);
        Ok(Some(folder))
    }
}

impl Observer for Mirror {
    fn event(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        if let Event::Checkpoint { path, .. } = event
            && let Err(error) = self.sync(folder_of(path))
        {
            tracing::warn!("{error:#}; the run goes on, and what is missing is copied with the next checkpoint");
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Names and folders of the complete checkpoints in `root`, oldest first.
fn checkpoints(root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let failed = |e| Error::io("cannot read", root, e);
    let mut found = Vec::new();
    for entry in fs::read_dir(root).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| is_checkpoint(name))
            && path.join(MANIFEST).is_file()
        {
            found.push((name.to_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a folder of this name may be a checkpoint, and not what was put aside or is being written.
pub(crate) fn is_checkpoint(name: &str) -> bool {
    name.strip_prefix("step-").is_some_and(|step| step.len() >= 6 && step.bytes().all(|byte| byte.is_ascii_digit()))
}
