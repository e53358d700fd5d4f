//! The file and its loading.

use counterpoint_abi::{CPT_ABI_MAJOR, SYMBOL};
use object::{BinaryFormat, Object};

use crate::instance::open;
use crate::job::{pass, skip};
use crate::progress::{Line, send};
use crate::subject::promises;
use crate::{Job, Outcome};

pub(super) fn one_symbol(job: &Job) -> Outcome {
    let bytes = std::fs::read(job.library()?).map_err(|e| format!("cannot read the file: {e}"))?;
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
    let library = open(job.library()?)?;
    send(&Line::Manifest(library.manifest().clone()));
    let minor = library.manifest().abi.minor;
    pass(format!("interface {CPT_ABI_MAJOR}.{minor}, {}", promises(library.capabilities())))
}

/// For checks that read what only Linux has.
pub(super) fn only_on_linux() -> Outcome {
    skip("needs /proc, which only Linux has")
}
