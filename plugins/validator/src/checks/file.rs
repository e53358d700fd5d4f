//! The file, its loading and its table.

use std::time::{Duration, Instant};

use counterpoint_abi::{CPT_ABI_MAJOR, SYMBOL};
use object::{BinaryFormat, Object};

use crate::job::{pass, skip};
use crate::library::Loaded;
use crate::progress::{Line, send};
use crate::subject::promises;
use crate::{Job, Outcome, Target};

const LOAD_LIMIT: Duration = Duration::from_secs(5);

fn path(job: &Job) -> Result<&std::path::Path, String> {
    match &job.target {
        Target::Library(path) => Ok(path),
        Target::Command(_) => Err("expected a library, got a command".into()),
    }
}

pub(super) fn one_symbol(job: &Job) -> Outcome {
    let bytes = std::fs::read(path(job)?).map_err(|e| format!("cannot read the file: {e}"))?;
    let file = object::File::parse(&*bytes).map_err(|e| format!("expected a shared library: {e}"))?;
    // Mach-O writes an underscore before the names of C.
    let prefix = if file.format() == BinaryFormat::MachO { "_" } else { "" };
    let mut ours = Vec::new();
    let mut others = Vec::new();
    for export in file.exports().map_err(|e| format!("cannot read the exported symbols: {e}"))? {
        let export = export.map_err(|e| format!("cannot read an exported symbol: {e}"))?;
        let name = String::from_utf8_lossy(export.name().into_name().unwrap_or_default()).into_owned();
        let name = name.strip_prefix(prefix).unwrap_or(&name).to_owned();
        if name.starts_with("cpt_") { ours.push(name) } else { others.push(name) }
    }
    ours.sort();
    if ours != [SYMBOL] {
        return Err(format!("expected the one symbol {} to be exported, got [{}]", SYMBOL, ours.join(", ")));
    }
    match others.len() {
        0 => pass(""),
        n => pass(format!("{n} other symbols are exported too, such as {}: hide them", others[0])),
    }
}

pub(super) fn load(job: &Job) -> Outcome {
    let begin = Instant::now();
    Loaded::open(path(job)?)?.pointer();
    let took = begin.elapsed();
    if took > LOAD_LIMIT {
        return Err(format!("expected it to load within {LOAD_LIMIT:?}, got {took:?}"));
    }
    pass(format!("{took:.1?}"))
}

pub(super) fn table(job: &Job) -> Outcome {
    let path = path(job)?;
    let loaded = Loaded::open(path)?;
    let table = loaded.table()?;
    if loaded.pointer() != loaded.pointer() {
        return Err("expected the same table each time, got another the second time".into());
    }
    // What every run does with it.
    counterpoint_host::Library::open(path).map_err(|e| format!("the host refuses it: {e:#}"))?;
    let detail = format!(
        "interface {CPT_ABI_MAJOR}.{}, struct_size {}, {}",
        table.minor,
        table.struct_size,
        promises(table.capabilities)
    );
    send(&Line::Manifest(table.manifest));
    pass(detail)
}

/// For checks that read what only Linux has.
pub(super) fn only_on_linux() -> Outcome {
    skip("needs /proc, which only Linux has")
}
