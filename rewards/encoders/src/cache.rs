//! Embeddings of images that come back, such as the references of a concept: computed once, kept in memory and on disk under a
//! hash of their content.
//!
//! An embedding is kept only when it is a function of its image alone, to the last bit: whoever fills the cache embeds one
//! image in a batch of its own. Otherwise a resumed run, whose cache is empty, would differ from the uninterrupted one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use burn::tensor::TensorData;
use counterpoint::{Error, Result};
use counterpoint_weights::{WeightFiles, save_tensors};
use image::RgbImage;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Name of the one tensor in a file of the cache.
const TENSOR: &str = "embedding";

type Hash = [u8; 32];

/// What makes embeddings comparable: the tower's weights and whatever else decides its numbers.
#[derive(Debug)]
struct Fingerprint(Sha256);

impl Fingerprint {
    fn new(weights: &[&Path], settings: &impl Serialize) -> Result<Self> {
        let mut hash = Sha256::new();
        let settings =
            serde_json::to_vec(settings).map_err(|e| Error::config("cannot write settings as JSON").with_source(e))?;
        hash.update((settings.len() as u64).to_le_bytes());
        hash.update(settings);
        let mut buffer = vec![0; 1 << 20];
        for path in files(weights)? {
            let mut file = File::open(&path).map_err(|e| Error::io("cannot read", &path, e))?;
            loop {
                match file.read(&mut buffer).map_err(|e| Error::io("cannot read", &path, e))? {
                    0 => break,
                    n => hash.update(&buffer[..n]),
                }
            }
        }
        Ok(Self(hash))
    }

    fn of(&self, image: &RgbImage) -> Hash {
        let mut hash = self.0.clone();
        hash.update(image.width().to_le_bytes());
        hash.update(image.height().to_le_bytes());
        hash.update(image.as_raw());
        hash.finalize().into()
    }
}

/// `paths`, the folders among them replaced by the files that are in them, by name.
fn files(paths: &[&Path]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.to_path_buf());
            continue;
        }
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let entries = entries.map_err(|e| Error::io("cannot read the folder", path, e))?;
        let mut inside: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(|p| p.is_file()).collect();
        inside.sort();
        files.append(&mut inside);
    }
    Ok(files)
}

/// Embeddings of images by content. An image of which there is none (no face) is remembered too.
#[derive(Debug)]
pub struct EmbeddingCache {
    fingerprint: Fingerprint,
    folder: Option<PathBuf>,
    known: HashMap<Hash, Option<Arc<[f32]>>>,
    /// Images that are still there, by address: their pixels need not be looked at again.
    seen: HashMap<usize, Seen>,
}

/// An image that cannot have changed as long as it is there.
#[derive(Debug)]
struct Seen {
    image: Weak<RgbImage>,
    embedding: Option<Arc<[f32]>>,
}

impl EmbeddingCache {
    /// A cache in memory, and in `folder` where one is given; it is made when the first embedding is kept. Several processes
    /// may share a folder: what is in it is told apart by `weights`, which are files, or folders with all the files in them, and
    /// by `settings` (preprocessing, pooling, precision, device). Only then is every byte of the weights read.
    ///
    /// # Errors
    /// When a file cannot be read, or the settings cannot be written as JSON.
    pub fn new(folder: Option<PathBuf>, weights: &[&Path], settings: &impl Serialize) -> Result<Self> {
        let fingerprint = match folder {
            Some(_) => Fingerprint::new(weights, settings)?,
            // In memory it belongs to one tower as it is.
            None => Fingerprint(Sha256::new()),
        };
        Ok(Self { fingerprint, folder, known: HashMap::new(), seen: HashMap::new() })
    }

    /// The embeddings of `images`, of which many may be the same one: its pixels are then looked at once, and not again in later
    /// calls as long as somebody holds it.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn all<'a>(
        &mut self,
        images: impl IntoIterator<Item = &'a Arc<RgbImage>>,
        embed: impl Fn(&RgbImage) -> Result<Option<Vec<f32>>>,
    ) -> Result<Embedded> {
        self.seen.retain(|_, seen| seen.image.strong_count() > 0);
        let mut found = HashMap::new();
        for image in images {
            let Entry::Vacant(vacant) = found.entry(Arc::as_ptr(image)) else { continue };
            let embedding = match self.seen.get(&address(image)) {
                Some(seen) => seen.embedding.clone(),
                None => {
                    let embedding = self.get(image, &embed)?;
                    let seen = Seen { image: Arc::downgrade(image), embedding: embedding.clone() };
                    self.seen.insert(address(image), seen);
                    embedding
                }
            };
            vacant.insert(embedding);
        }
        Ok(Embedded(found))
    }

    /// The embedding of `image`; the first time `embed` computes it.
    ///
    /// A file of the cache that is damaged or cannot be read counts as missing; one that cannot be written is told in a
    /// warning.
    ///
    /// # Errors
    /// Those of `embed`; nothing is kept then.
    pub fn get(
        &mut self,
        image: &RgbImage,
        embed: impl FnOnce(&RgbImage) -> Result<Option<Vec<f32>>>,
    ) -> Result<Option<Arc<[f32]>>> {
        let hash = self.fingerprint.of(image);
        if let Some(known) = self.known.get(&hash) {
            return Ok(known.clone());
        }
        let path = self.folder.as_ref().map(|folder| folder.join(format!("{}.safetensors", hex::encode(hash))));
        let found = match path.as_deref().and_then(read) {
            Some(found) => found,
            None => {
                let made = embed(image)?;
                if let Some(path) = &path
                    && let Err(error) = write(path, made.as_deref())
                {
                    tracing::warn!(path = %path.display(), error = %format_args!("{error:#}"), "an embedding was not kept on disk");
                }
                made
            }
        };
        let found = found.map(Arc::from);
        self.known.insert(hash, found.clone());
        Ok(found)
    }
}

/// Nothing else is there as long as somebody, if only weakly, refers to the image.
fn address(image: &Arc<RgbImage>) -> usize {
    Arc::as_ptr(image).addr()
}

/// Embeddings of the images of one call, whose samples share them.
#[derive(Debug)]
pub struct Embedded(HashMap<*const RgbImage, Option<Arc<[f32]>>>);

impl Embedded {
    /// That of `image`, one of the call's; `None` when it has none.
    pub fn of(&self, image: &Arc<RgbImage>) -> Option<&[f32]> {
        self.0.get(&Arc::as_ptr(image))?.as_deref()
    }
}

/// The embedding in the file at `path`, empty for none; `None` when there is no such file.
fn read(path: &Path) -> Option<Option<Vec<f32>>> {
    if !path.exists() {
        return None;
    }
    let read = || -> Result<Vec<f32>> { Ok(WeightFiles::open(path)?.read(TENSOR)?.iter::<f32>().collect()) };
    match read() {
        Ok(values) if values.iter().all(|v| v.is_finite()) => Some((!values.is_empty()).then_some(values)),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(path = %path.display(), error = %format_args!("{error:#}"), "an embedding is made anew");
            None
        }
    }
}

fn write(path: &Path, embedding: Option<&[f32]>) -> Result<()> {
    let values = embedding.unwrap_or_default().to_vec();
    let shape = [values.len()];
    save_tensors(path, &[(TENSOR.to_owned(), TensorData::new(values, shape))], &HashMap::new())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn cache(folder: &Path, settings: &str) -> EmbeddingCache {
        EmbeddingCache::new(Some(folder.to_owned()), &[], &settings).unwrap()
    }

    fn ask(cache: &mut EmbeddingCache, image: &RgbImage, calls: &mut usize) -> Option<Arc<[f32]>> {
        let embed = |image: &RgbImage| {
            *calls += 1;
            Ok((image.width() > 1).then(|| vec![image.width() as f32, 0.1]))
        };
        cache.get(image, embed).unwrap()
    }

    #[test]
    fn an_image_is_embedded_once_by_content_also_across_processes() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("new/folder");
        let new = |settings| cache(&place, settings);
        let (image, mut calls) = (RgbImage::new(3, 2), 0);
        let mut cache = new("a");
        let first = ask(&mut cache, &image, &mut calls);
        assert_eq!(first.as_deref(), Some(&[3.0, 0.1][..]));
        assert_eq!((ask(&mut cache, &image.clone(), &mut calls), calls), (first.clone(), 1));
        assert_eq!((ask(&mut new("a"), &image, &mut calls), calls), (first.clone(), 1), "read from disk");
        ask(&mut new("b"), &image, &mut calls);
        assert_eq!(calls, 2, "another tower's");
        // The same bytes in another shape, then other bytes.
        ask(&mut cache, &RgbImage::new(2, 3), &mut calls);
        ask(&mut cache, &RgbImage::from_pixel(3, 2, image::Rgb([0, 0, 1])), &mut calls);
        assert_eq!(calls, 4);
    }

    #[test]
    fn an_image_that_somebody_holds_is_looked_at_once() {
        let mut cache = EmbeddingCache::new(None, &[], &()).unwrap();
        let mut width = |image: &Arc<RgbImage>| {
            let all = cache.all([image], |image| Ok(Some(vec![image.width() as f32]))).unwrap();
            (all.of(image).unwrap()[0], cache.seen.len())
        };
        let held = Arc::new(RgbImage::new(3, 2));
        for round in 0..20 {
            // Others come and go, at addresses that are used again.
            let other = Arc::new(RgbImage::new(round + 1, 2));
            assert_eq!(width(&other).0, (round + 1) as f32);
            assert_eq!(width(&held).0, 3.0);
        }
        assert_eq!(width(&held).1, 1, "nothing is kept of those that are gone");
    }

    #[test]
    fn that_there_is_none_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let new = || cache(folder.path(), "a");
        let mut calls = 0;
        assert_eq!(ask(&mut new(), &RgbImage::new(1, 1), &mut calls), None);
        assert_eq!((ask(&mut new(), &RgbImage::new(1, 1), &mut calls), calls), (None, 1));
    }

    #[test]
    fn a_damaged_file_is_made_anew_and_a_failure_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let new = || cache(folder.path(), "a");
        let (image, mut calls) = (RgbImage::new(3, 2), 0);
        assert!(new().get(&image, |_| Err(Error::data("no"))).is_err());
        let first = ask(&mut new(), &image, &mut calls);
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        std::fs::write(&file, b"rubbish").unwrap();
        assert_eq!((ask(&mut new(), &image, &mut calls), calls), (first.clone(), 2));
        assert_eq!((ask(&mut new(), &image, &mut calls), calls), (first, 2), "written again");
    }

    #[test]
    fn a_folder_that_cannot_be_written_costs_only_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut cache = cache(&file.path().join("below"), "a");
        assert!(ask(&mut cache, &RgbImage::new(3, 2), &mut 0).is_some());
    }
}
