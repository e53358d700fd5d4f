//! Configs and weights in a folder, under the names that the originals use.

use std::path::Path;

use burn::module::Module;
use burn::store::{BurnToPyTorchAdapter, ModuleSnapshot, SafetensorsStore};
use counterpoint::weights::{self, LoadOptions, WeightFiles};
use counterpoint::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// File name of a tower's architecture.
pub(crate) const CONFIG: &str = "config.json";
/// File name of a tower's weights when they are saved.
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// How a tower's tensors are called in files: what is renamed on loading, what on saving, what a file may hold unused.
pub(crate) struct Names {
    /// Regular expression on a name in the file, and its replacement.
    pub(crate) load: &'static [(&'static str, &'static str)],
    /// Regular expression on a parameter path, and its replacement.
    pub(crate) save: &'static [(&'static str, &'static str)],
    /// Prefixes of names in the file (after renaming) that the tower does not use.
    pub(crate) ignored: &'static [&'static str],
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))?;
    serde_json::from_str(&text)
        .map_err(|e| Error::config(format!("{} is not a config of this kind", path.display())).with_source(e))
}

/// Loads the weights in `dir`, whichever of the published forms they have (`model.safetensors`, `pytorch_model.bin`, or
/// several files with an index).
pub(crate) fn load<M: Module>(module: &mut M, dir: &Path, names: &Names) -> Result<()> {
    let options = LoadOptions { renamed: names.load, ignored: names.ignored, ..LoadOptions::default() };
    weights::load(module, &WeightFiles::open(dir)?, &options)
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
    for (from, to) in names.save {
        store = store.with_key_remapping(*from, *to);
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

/// Only the exact GELU is ported: every published checkpoint of these families uses it.
pub(crate) fn check_gelu(who: &str, hidden_act: &str) -> Result<()> {
    if hidden_act == "gelu" {
        return Ok(());
    }
    Err(Error::config(format!("{who}: expected hidden_act \"gelu\", got {hidden_act:?}; no other is supported")))
}
