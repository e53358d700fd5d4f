//! Checkpoints as objects: `<prefix>/step-000123/<file>`.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use counterpoint::{Error, Result};
use futures_util::TryStreamExt as _;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart};

use crate::mirror::{MANIFEST, is_checkpoint};

/// Bytes of a part of an upload: S3 wants 5 MiB or more.
const PART: usize = 8 << 20;
/// Parts that are under way at once.
const PARTS: usize = 4;

/// The copies under a prefix of a store.
#[derive(Debug)]
pub(crate) struct Copies {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) prefix: Key,
}

impl Copies {
    fn key(&self, name: &str) -> Key {
        self.prefix.clone().join(name)
    }

    fn failed(&self, what: &str, key: &Key, error: object_store::Error) -> Error {
        Error::io(what, Path::new(key.as_ref()), std::io::Error::other(error))
    }

    /// Copies the checkpoint `name` in `folder`, the manifest last, unless it is there.
    pub(crate) async fn put(&self, name: &str, folder: &Path) -> Result<()> {
        let key = self.key(name);
        let manifest = folder.join(MANIFEST);
        let bytes = fs::read(&manifest).map_err(|e| Error::io("cannot read", &manifest, e))?;
        match self.manifest(&key).await? {
            Some(there) if there == bytes => return Ok(()),
            // Of a history that was abandoned: not a checkpoint while its files are replaced.
            Some(_) => self.remove(name).await?,
            None => {}
        }
        for file in files(folder)? {
            let relative = file.strip_prefix(folder).unwrap_or(&file);
            if relative != Path::new(MANIFEST) {
                let parts = relative.iter().map(|part| part.to_string_lossy().into_owned());
                self.upload(&file, &parts.fold(key.clone(), |key, part| key.join(part))).await?;
            }
        }
        let last = key.join(MANIFEST);
        self.store.put(&last, bytes.into()).await.map_err(|e| self.failed("cannot write the copy", &last, e))?;
        Ok(())
    }

    /// The manifest of the copy at `key`, where that is complete.
    async fn manifest(&self, key: &Key) -> Result<Option<Vec<u8>>> {
        let key = key.clone().join(MANIFEST);
        let read = async { self.store.get(&key).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("cannot read the copy", &key, error)),
        }
    }

    async fn upload(&self, file: &Path, key: &Key) -> Result<()> {
        let failed = |e| self.failed("cannot write the copy", key, e);
        let from = File::open(file).map_err(|e| Error::io("cannot read", file, e))?;
        let mut to = WriteMultipart::new_with_chunk_size(self.store.put_multipart(key).await.map_err(failed)?, PART);
        match self.send(from, file, &mut to, key).await {
            Ok(()) => to.finish().await.map(|_| ()).map_err(failed),
            Err(error) => {
                // Stores keep the parts of an upload that nobody ends, and charge for them.
                let _already_failed = to.abort().await;
                Err(error)
            }
        }
    }

    async fn send(&self, mut from: File, file: &Path, to: &mut WriteMultipart, key: &Key) -> Result<()> {
        let mut part = vec![0; PART];
        loop {
            let read = from.read(&mut part).map_err(|e| Error::io("cannot read", file, e))?;
            if read == 0 {
                return Ok(());
            }
            let failed = |e| self.failed("cannot write the copy", key, e);
            to.wait_for_capacity(PARTS).await.map_err(failed)?;
            to.write(&part[..read]);
        }
    }

    /// Removes a copy, the manifest first.
    pub(crate) async fn remove(&self, name: &str) -> Result<()> {
        let key = self.key(name);
        let mut objects = self.objects(&key).await?;
        objects.sort_by_key(|object| object.filename() != Some(MANIFEST));
        for object in objects {
            match self.store.delete(&object).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed("cannot remove the copy", &object, error)),
            }
        }
        Ok(())
    }

    async fn objects(&self, key: &Key) -> Result<Vec<Key>> {
        let listed = self.store.list(Some(key)).map_ok(|object| object.location).try_collect::<Vec<_>>().await;
        listed.map_err(|e| self.failed("cannot list the copy", key, e))
    }

    /// The name of the newest complete copy.
    pub(crate) async fn newest(&self) -> Result<Option<String>> {
        let listed = self.store.list_with_delimiter(Some(&self.prefix)).await;
        let listed = listed.map_err(|e| self.failed("cannot list the copies in", &self.prefix, e))?;
        let names = listed.common_prefixes.iter().filter_map(|key| key.filename());
        let mut names: Vec<&str> = names.filter(|name| is_checkpoint(name)).collect();
        // Numbers of more digits come after all of fewer.
        names.sort_by_key(|name| (name.len(), *name));
        for name in names.into_iter().rev() {
            if self.manifest(&self.key(name)).await?.is_some() {
                return Ok(Some(name.to_owned()));
            }
        }
        Ok(None)
    }

    /// Writes a copy to the new folder `to`.
    pub(crate) async fn get(&self, name: &str, to: &Path) -> Result<()> {
        let key = self.key(name);
        for object in self.objects(&key).await? {
            let parts = object.prefix_match(&key).into_iter().flatten();
            let file = parts.fold(to.to_owned(), |path, part| path.join(part.as_ref()));
            self.download(&object, &file).await?;
        }
        Ok(())
    }

    async fn download(&self, object: &Key, file: &Path) -> Result<()> {
        let unwritable = |e| Error::io("cannot write", file, e);
        let failed = |e| self.failed("cannot read the copy", object, e);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(unwritable)?;
        }
        let mut to = File::create(file).map_err(unwritable)?;
        let mut from = self.store.get(object).await.map_err(failed)?.into_stream();
        while let Some(bytes) = from.try_next().await.map_err(failed)? {
            to.write_all(&bytes).map_err(unwritable)?;
        }
        to.sync_all().map_err(unwritable)
    }
}

/// All files below `folder`.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io("cannot read", folder, e);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    found.sort();
    Ok(found)
}
