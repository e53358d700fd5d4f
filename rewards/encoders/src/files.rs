//! Configs and weights in a folder, under the names that the originals use.

use std::path::Path;

use burn::module::Module;
use burn::store::{BurnToPyTorchAdapter, ModuleSnapshot, SafetensorsStore};
use counterpoint::{Error, Result};
use counterpoint_weights::{LoadOptions, Precision, WeightFiles, load as load_weights};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ops::Activation;

/// File name of a tower's architecture.
pub(crate) const CONFIG: &str = "config.json";
/// File name of a tower's weights when they are saved.
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// How a tower's tensors are called in files: what is renamed on loading, what on saving, what a file may hold unused.
pub(crate) struct Names {
    /// Regular expression on a name in the file, and its replacement; in several lists, where towers share a part.
    pub(crate) load: &'static [&'static [(&'static str, &'static str)]],
    /// Regular expression on a parameter path, and its replacement; in several lists as well.
    pub(crate) save: &'static [&'static [(&'static str, &'static str)]],
    /// Prefixes of names in the file (after renaming) that the tower does not use.
    pub(crate) ignored: &'static [&'static str],
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))?;
    serde_json::from_str(&text)
        .map_err(|e| Error::config(format!("{} is not a config of this kind", path.display())).with_source(e))
}

/// The weight files in `dir`, of any public format.
pub(crate) fn open(dir: &Path) -> Result<WeightFiles> {
    WeightFiles::open(dir)
}

/// Loads `files` into `module`: matrices in `precision`, vectors in f32.
pub(crate) fn load<M: Module>(module: &mut M, files: &WeightFiles, names: &Names, precision: Precision) -> Result<()> {
    let renamed = names.load.concat();
    let how = LoadOptions {
        renamed: &renamed,
        ignored: names.ignored,
        dtype: Some(precision.into()),
        vector_dtype: Some(Precision::F32.into()),
        unit_axes: true,
        ..LoadOptions::default()
    };
    load_weights(module, files, &how)
}

pub(crate) fn save<M: Module, C: Serialize>(module: &M, config: &C, dir: &Path, names: &Names) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(|e| Error::io("cannot create", dir, e))?;
    let path = dir.join(CONFIG);
    let text =
        serde_json::to_string_pretty(config).map_err(|e| Error::config("cannot write a config").with_source(e))?;
    std::fs::write(&path, text + "\n").map_err(|e| Error::io("cannot write", &path, e))?;
    let path = dir.join(WEIGHTS);
    let mut store = SafetensorsStore::from_file(&path)
        .overwrite(true)
        .skip_enum_variants(true)
        .clear_metadata()
        .with_to_adapter(BurnToPyTorchAdapter);
    for (from, to) in names.save.concat() {
        store = store.with_key_remapping(from, to);
    }
    module.save_into(&mut store).map_err(|e| Error::io("cannot write", &path, std::io::Error::other(e.to_string())))
}

/// Checks the sizes that every transformer has.
pub(crate) fn check_sizes(who: &str, hidden: usize, heads: usize, sizes: &[(&str, usize)]) -> Result<()> {
    for (name, size) in [("hidden_size", hidden), ("num_attention_heads", heads)].iter().chain(sizes) {
        if *size == 0 {
            return Err(Error::config(format!("{who}: expected {name} above 0, got 0; check config.json")));
        }
    }
    if !hidden.is_multiple_of(heads) {
        return Err(Error::config(format!(
            "{who}: expected hidden_size to be a multiple of num_attention_heads, got {hidden} and {heads}"
        )));
    }
    Ok(())
}

/// The activation that a config calls `hidden_act`: every published checkpoint of these families has one of two.
pub(crate) fn activation(who: &str, hidden_act: &str) -> Result<Activation> {
    match hidden_act {
        "gelu" => Ok(Activation::Gelu),
        "quick_gelu" => Ok(Activation::QuickGelu),
        other => Err(Error::config(format!(
            "{who}: expected hidden_act \"gelu\" or \"quick_gelu\", got {other:?}; no other is supported"
        ))),
    }
}
