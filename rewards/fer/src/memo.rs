//! What was computed of an image, by its content.

use std::collections::HashMap;
use std::sync::Arc;

use image::RgbImage;
use sha2::{Digest, Sha256};

/// Checksum of an image's size and pixels.
pub(crate) type Key = [u8; 32];

/// A vector, or that there is none.
type Vector = Option<Arc<[f32]>>;

/// The vectors of the images seen so far.
#[derive(Debug, Default)]
pub(crate) struct Memo(HashMap<Key, Vector>);

impl Memo {
    pub(crate) fn key(image: &RgbImage) -> Key {
        let mut hash = Sha256::new();
        hash.update(image.width().to_le_bytes());
        hash.update(image.height().to_le_bytes());
        hash.update(image.as_raw());
        hash.finalize().into()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Vector> {
        self.0.get(key).cloned()
    }

    /// Keeps `vector` and gives it back.
    pub(crate) fn put(&mut self, key: Key, vector: Vector) -> Vector {
        self.0.insert(key, vector.clone());
        vector
    }
}
