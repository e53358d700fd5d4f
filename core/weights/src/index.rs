//! Which file of a folder holds the weights, and the index of weights that are spread over several.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use counterpoint::{Error, Result};
use serde::Deserialize;

use crate::format::extension;

/// The names that a folder's weights go by, in the order in which they are looked for.
pub const FILE_NAMES: [&str; 6] = [
    "model.safetensors",
    "pytorch_model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];
/// The endings by which a folder's only weight file is known.
const ENDINGS: [&str; 6] = ["safetensors", "bpk", "bin", "pt", "pth", "ckpt"];

/// The file of `folder` that holds or indexes its weights.
pub(crate) fn weights_in(folder: &Path) -> Result<PathBuf> {
    if let Some(path) = FILE_NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
        return Ok(path);
    }
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io("cannot read the folder", folder, e))?;
    let mut found = BTreeSet::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io("cannot read the folder", folder, e))?.path();
        if path.is_file() && ENDINGS.contains(&extension(&path).as_str()) {
            found.insert(path);
        }
    }
    let looked_for = format!("{} or a single file ending in .{}", FILE_NAMES.join(", "), ENDINGS.join(", ."));
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Error::weights(format!(
            "no weights in {}: expected {looked_for}; give the folder or the file that holds them",
            folder.display()
        ))),
        (Some(first), Some(second)) => Err(Error::weights(format!(
            "{} has {} weight files ({}, {}, ...): expected {looked_for}; name the file",
            folder.display(),
            found.count() + 2,
            base_name(&first),
            base_name(&second)
        ))),
    }
}

/// The index of a sharded file: which tensor is in which file beside it.
#[derive(Debug, Deserialize)]
pub(crate) struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Index {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(|e| Error::io("cannot read", path, e))?;
        let index: Self = serde_json::from_slice(&text).map_err(|e| {
            Error::weights(format!(
                "{}: expected the index of a sharded weight file, {{\"weight_map\": {{tensor: file}}}}",
                path.display()
            ))
            .with_source(e)
        })?;
        if index.weight_map.is_empty() {
            return Err(Error::weights(format!("{}: the index names no tensor", path.display())));
        }
        Ok(index)
    }

    /// The shards, each with the tensors that it must hold.
    pub(crate) fn shards(&self, path: &Path) -> Result<BTreeMap<PathBuf, BTreeSet<&str>>> {
        let mut shards: BTreeMap<PathBuf, BTreeSet<&str>> = BTreeMap::new();
        for (tensor, file) in &self.weight_map {
            // A shard lies beside its index: no index may point elsewhere.
            if Path::new(file).file_name().is_none_or(|name| name != file.as_str()) {
                return Err(Error::weights(format!(
                    "{}: expected the name of a file in the same folder for {tensor}, got {file:?}",
                    path.display()
                )));
            }
            shards.entry(path.with_file_name(file)).or_default().insert(tensor);
        }
        Ok(shards)
    }
}

/// The names of the shards that the index at `path` names and that are not beside it; none when it cannot be read.
pub(crate) fn shards_missing(path: &Path) -> Vec<String> {
    let index = Index::read(path).ok();
    let shards = index.as_ref().and_then(|index| index.shards(path).ok()).unwrap_or_default();
    shards.into_keys().filter(|shard| !shard.is_file()).map(|shard| base_name(&shard)).collect()
}

pub(crate) fn base_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}
