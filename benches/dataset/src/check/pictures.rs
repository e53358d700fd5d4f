//! Pictures: each is decoded; the same one in both halves is leakage.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::Checker;
use crate::folder::{list_if_present, within};
use crate::{Result, photo};

/// Half of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    Train,
    Test,
}

/// A photograph of a concept.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    file: String,
    half: Half,
    digest: [u8; 32],
}

impl Seen {
    fn new(file: &str, half: Half, bytes: &[u8]) -> Self {
        Self { file: file.to_owned(), half, digest: Sha256::digest(bytes).into() }
    }
}

/// The photographs of a data set in the layout of UniCTokens; those that cannot be read are left out.
pub(crate) fn seen_in(root: &Path) -> Result<Vec<Seen>> {
    let mut all = Vec::new();
    for (half, folder) in [(Half::Train, "concept/train"), (Half::Test, "concept/test")] {
        for name in list_if_present(&root.join(folder))?.folders {
            let folder = within(folder, &name);
            for file in photo::sort(&list_if_present(&root.join(&folder))?.files).0 {
                let file = within(&folder, &file);
                if let Ok(bytes) = std::fs::read(root.join(&file)) {
                    all.push(Seen::new(&file, half, &bytes));
                }
            }
        }
    }
    Ok(all)
}

/// Pixels a side below which a photograph shows little.
const SMALL: u32 = 64;
/// Pixels a side above which a photograph is slow to read.
const LARGE: u32 = 8000;

impl Checker<'_> {
    /// Photographs of a concept.
    pub(super) fn photographs(&mut self, folder: &str, files: &[String], half: Half) {
        for file in files {
            let file = within(folder, file);
            if let Some(bytes) = self.picture(&file) {
                self.seen.push(Seen::new(&file, half, &bytes));
            }
        }
        self.summary.photographs += files.len();
    }

    /// Decodes a picture; its bytes, where they could be read.
    pub(super) fn picture(&mut self, file: &str) -> Option<Vec<u8>> {
        let bytes = self.bytes(file)?;
        let expected = "a PNG or JPEG that can be decoded";
        match photo::decode(&bytes) {
            Err(fault) => self.problem((file, ""), expected, fault.got, fault.fix),
            Ok((format, picture)) => {
                if !photo::ends_as(file, format) {
                    let right = format.extensions_str().first().copied().unwrap_or_default();
                    let fix = format!("rename it to {}.{right}", photo::stem(file));
                    self.problem(
                        (file, ""),
                        "an ending that says the format",
                        format!("a picture of the format {format:?}"),
                        fix,
                    );
                }
                let (width, height) = (picture.width(), picture.height());
                let got = format!("{width} x {height} pixels");
                if width.min(height) < SMALL {
                    self.warn((file, ""), format!("{SMALL} or more pixels a side"), got, "use a larger photograph");
                } else if width.max(height) > LARGE {
                    let fix = "scale it down: models look at a few hundred pixels";
                    self.warn((file, ""), format!("at most {LARGE} pixels a side"), got, fix);
                }
            }
        }
        Some(bytes)
    }

    /// Pictures of a folder that belong to nobody in particular.
    pub(super) fn pictures(&mut self, folder: &str) -> Vec<String> {
        let listing = self.list(folder);
        for file in listing.files.iter().filter(|file| photo::is_photograph(file)) {
            self.picture(&within(folder, file));
        }
        listing.files
    }

    /// Photographs for training that are held out as well, here or `around`.
    pub(super) fn leakage(&mut self, around: &[Seen]) {
        let seen = std::mem::take(&mut self.seen);
        for (k, photograph) in seen.iter().enumerate() {
            let same = |other: &&Seen| other.digest == photograph.digest;
            let other_half = |other: &&Seen| same(other) && other.half != photograph.half;
            // Within the set it is said once, of the held-out one.
            let here = seen.iter().filter(|_| photograph.half == Half::Test);
            if let Some(other) = here.chain(around).find(other_half) {
                let got =
                    format!("the same bytes as {}: what is evaluated on has been trained on (leakage)", other.file);
                let fix = "remove one of the two";
                self.problem((&photograph.file, ""), "a photograph that is in one half only", got, fix);
            } else if let Some(other) = seen[..k].iter().filter(|o| o.half == photograph.half).find(same) {
                let got = format!("the same bytes as {}", other.file);
                self.warn((&photograph.file, ""), "every photograph once", got, "remove one of the two");
            }
        }
    }
}
