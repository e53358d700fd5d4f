//! Files of `torch.save`, through burn's reader: pickles are interpreted as data, nothing that they name is ever called.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::store::bridge;
use burn::store::pytorch::PytorchReader;
use burn::store::pytorch_reader::{PickleValue, PytorchError};
use counterpoint::{Error, Result};

use crate::contents::Contents;
use crate::layout::Layout;
use crate::torch::copy;

/// The keys under which training checkpoints keep the model.
const MODEL_KEYS: [&str; 3] = ["state_dict", "model_state_dict", "model"];

/// What no weight file has a reason to name. Reading does not depend on this list: nothing is ever called.
const PROGRAMS: [&str; 15] = [
    "asyncio",
    "commands",
    "ctypes",
    "importlib",
    "nt",
    "os",
    "pip",
    "posix",
    "pty",
    "runpy",
    "shutil",
    "socket",
    "subprocess",
    "sys",
    "webbrowser",
];
const BUILTINS: [&str; 5] = ["__import__", "compile", "eval", "exec", "open"];

/// Lists what the file at `path` holds.
pub(crate) fn read(path: &Path) -> Result<Contents> {
    match PytorchReader::read_pickle_data(path, None) {
        Ok(root) => of_root(root, path, path),
        Err(e @ PytorchError::Zip(_)) => {
            let Ok(copy) = copy::anew(path) else { return Err(damaged(path, e)) };
            let root = PytorchReader::read_pickle_data(copy.path(), None).map_err(|e| damaged(path, e))?;
            of_root(root, copy.path(), path)
        }
        Err(e) => Err(damaged(path, e)),
    }
}

/// What `file` holds, whose pickle gives `root`: the file at `path`, or a copy of it. The reader keeps it open; a copy is not kept.
fn of_root(root: PickleValue, file: &Path, path: &Path) -> Result<Contents> {
    let bad = |e: PytorchError| damaged(path, e);
    if let Some(callable) = code(&root) {
        return Err(Error::weights(format!(
            "{}: refused: torch.load would call {callable}, which no weights need; nothing was run, do not open this \
             file with Python",
            path.display()
        )));
    }
    let keys = match root {
        PickleValue::Dict(keys) => keys,
        PickleValue::Unsupported(kind) if kind == "torch.Tensor" || kind == "torch.nn.parameter.Parameter" => {
            return only(file, path);
        }
        _ => HashMap::new(),
    };
    let all = PytorchReader::new(file).map_err(bad)?;
    let mut notes = Vec::new();
    let mut chosen = None;
    for key in MODEL_KEYS.into_iter().filter(|key| matches!(keys.get(*key), Some(PickleValue::Dict(_)))) {
        let under = PytorchReader::with_top_level_key(file, key).map_err(bad)?;
        if !under.is_empty() {
            let others = all.len() - under.len();
            notes.push(format!("the model is under {key:?}; {others} other tensors of the file are left out"));
            chosen = Some(under);
            break;
        }
    }
    let reader = chosen.unwrap_or(all);
    if reader.is_empty() {
        return Err(Error::weights(format!("{}: expected tensors, got a file without any", path.display())));
    }
    Ok(contents(reader, notes))
}

/// The tensor of a file that holds nothing else.
fn only(file: &Path, path: &Path) -> Result<Contents> {
    let copy = copy::in_dictionary(file).map_err(|e| {
        Error::weights(format!(
            "{}: a bare tensor can be read from zip files only; save it again, or in a dictionary",
            path.display()
        ))
        .with_source(e)
    })?;
    let reader = PytorchReader::new(copy.path()).map_err(|e| damaged(path, e))?;
    Ok(contents(reader, Vec::new()))
}

fn contents(reader: PytorchReader, notes: Vec<String>) -> Contents {
    let tensors = reader.into_tensors().into_values().map(bridge::from_pytorch).collect();
    Contents { tensors, metadata: BTreeMap::new(), layout: Layout::Torch, notes }
}

fn damaged(path: &Path, e: PytorchError) -> Error {
    Error::weights(format!(
        "{}: the file is truncated, damaged or not one of torch.save, fetch it again",
        path.display()
    ))
    .with_source(e)
}

/// The first thing in `value` that runs programs when Python unpickles it.
fn code(value: &PickleValue) -> Option<&str> {
    match value {
        PickleValue::Unsupported(name) => {
            let (module, function) = name.rsplit_once('.')?;
            let package = module.split('.').next()?;
            let builtin = matches!(module, "builtins" | "__builtin__") && BUILTINS.contains(&function);
            (builtin || PROGRAMS.contains(&package)).then_some(name)
        }
        PickleValue::List(values) => values.iter().find_map(code),
        PickleValue::Dict(values) => values.values().find_map(code),
        _ => None,
    }
}
