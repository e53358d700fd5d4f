//! From a file to a library that may be called: sidecar, hash, a first look in a child, and only then here.

use std::path::Path;
use std::time::Duration;

use crate::probe::probe;
use crate::{Error, ErrorKind, Library, Manifest, Result, Runner, Sidecar};

/// Loads the plugin at `path`: reads its sidecar and the file, checks the hash, loads what it read in a child process that `runner`
/// starts, which may take `timeout`, and then in this one. Without a runner there is no child.
///
/// # Errors
/// [`ErrorKind::Manifest`], [`ErrorKind::Hash`], [`ErrorKind::Probe`], [`ErrorKind::Load`], [`ErrorKind::Version`]: whichever
/// step fails first, before anything of a later one happened.
pub fn load(path: &Path, runner: Option<&Runner>, timeout: Duration) -> Result<&'static Library> {
    // Not with its links resolved: the sidecar lies beside the path that was given.
    let path = std::path::absolute(path).map_err(|e| Error::io("cannot find the plugin", path, e))?;
    let sidecar = Sidecar::read(&path)?;
    if sidecar.command.is_some() {
        let message = format!("{}: expected a library, got a plugin that is started by a command", path.display());
        return Err(Error::new(ErrorKind::Load, message));
    }
    let sealed = sidecar.verify(&path)?;
    if let Some(runner) = runner {
        same(&path, &sidecar.manifest, &probe(runner, &sealed, timeout)?.manifest)?;
    }
    let library = Library::of(sealed)?;
    same(&path, &sidecar.manifest, library.manifest())?;
    Ok(library)
}

/// Checks that the sidecar's manifest is the plugin's own.
///
/// # Errors
/// [`ErrorKind::Manifest`] when they differ.
pub fn same(path: &Path, sidecar: &Manifest, own: &Manifest) -> Result<()> {
    if sidecar == own {
        return Ok(());
    }
    let message = format!(
        "{}: expected what its sidecar manifest says, got a plugin `{}` {} with other experts, outputs or versions; write the \
         sidecar anew (counterpoint-validator --sidecar)",
        path.display(),
        own.name,
        own.version
    );
    Err(Error::new(ErrorKind::Manifest, message))
}
