//! Tensors under other names.

use burn::store::KeyRemapper;
use burn::store::burn_pack::Tensor as Source;
use counterpoint::{Error, Result};

use crate::files::WeightFiles;

/// The tensors of `files` under the names that the patterns make of theirs.
pub(crate) fn renamed(files: &WeightFiles, patterns: &[(&str, &str)]) -> Result<Vec<Source>> {
    let remapper = KeyRemapper::from_patterns(patterns.to_vec())
        .map_err(|e| Error::config("expected regular expressions to rename tensors").with_source(e.to_string()))?;
    let (sources, mut names) = remapper.remap(files.sources().to_vec());
    names.sort();
    match names.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        None => Ok(sources),
        Some(pair) => Err(Error::weights(format!(
            "{}: {} and {} are both renamed to {}",
            files.path().display(),
            pair[0].1,
            pair[1].1,
            pair[0].0
        ))),
    }
}
