//! A shared library with a plugin in it: loaded once, never unloaded.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use counterpoint_abi::{
    CPT_CAP_BATCH_INVARIANT, CPT_CAP_CONCURRENT, SYMBOL, cpt_create, cpt_destroy, cpt_plugin_v1, cpt_plugin_v1_get,
    cpt_score,
};

use crate::sealed::of_descriptor;
use crate::table::{read_manifest, read_table};
use crate::{Error, ErrorKind, Manifest, Result, Sealed};

/// A loaded plugin.
#[derive(Debug)]
pub struct Library {
    path: PathBuf,
    manifest: Manifest,
    capabilities: u64,
    pub(crate) functions: Functions,
    /// Held during a call into a library that permits one at a time.
    turns: Mutex<()>,
    /// What was loaded, if this process read it.
    sealed: Option<&'static Sealed>,
}

/// What the table offers. Nobody asks for an extension yet: there are none.
#[derive(Debug, Clone, Copy)]
pub struct Functions {
    /// Makes an instance.
    pub create: cpt_create,
    /// Calls it.
    pub score: cpt_score,
    /// Frees it.
    pub destroy: cpt_destroy,
}

/// Every library that this process has loaded, by absolute path.
static LOADED: Mutex<Option<HashMap<PathBuf, &'static Library>>> = Mutex::new(None);

impl Library {
    /// Loads the library at `path`, or finds it among those already loaded. Its code runs: look at the sidecar first
    /// ([`load`](crate::load) does).
    ///
    /// # Errors
    /// [`ErrorKind::Load`] when this is no library, has no plugin or a damaged table, or this program cannot load any;
    /// [`ErrorKind::Version`] for another major version; [`ErrorKind::Manifest`].
    pub fn open(path: &Path) -> Result<&'static Self> {
        Self::once(&canonical(path)?, |path| Self::sealed(path, Sealed::of(path)?))
    }

    /// Loads what was read, or finds it among those already loaded.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`ErrorKind::Load`] when another file was loaded from there: it cannot be unloaded, and the new
    /// one's code would not run.
    pub fn of(sealed: Sealed) -> Result<&'static Self> {
        let sha256 = sealed.sha256().to_owned();
        let library = Self::once(&canonical(sealed.path())?, |path| Self::sealed(path, sealed))?;
        if library.sealed.is_none_or(|loaded| loaded.sha256() == sha256) {
            return Ok(library);
        }
        let message = format!(
            "{}: the file was replaced after this program had loaded it; restart the program to have the new one",
            library.path.display()
        );
        Err(Error::new(ErrorKind::Load, message))
    }

    /// Loads the library at `path` as the process that started this one had read it, if it left it under `descriptor`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn inherited(path: &Path, descriptor: Option<i32>) -> Result<&'static Self> {
        match descriptor {
            Some(descriptor) => Self::once(path, |path| Self::read(path, &of_descriptor(descriptor), None)),
            None => Self::open(path),
        }
    }

    /// The library of `path`, which `read` loads if it is not there yet.
    fn once(path: &Path, read: impl FnOnce(&Path) -> Result<Self>) -> Result<&'static Self> {
        if cfg!(all(target_env = "musl", target_feature = "crt-static")) {
            let message = format!(
                "{}: this program is linked statically with musl and cannot load libraries; run the plugin in a child process \
                 through counterpoint-bridge (isolation = \"process\", with a counterpoint-plugin-child that is not linked \
                 statically), or register the expert in the program itself",
                path.display()
            );
            return Err(Error::new(ErrorKind::Load, message));
        }
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = loaded.get_or_insert_default();
        if let Some(library) = loaded.get(path) {
            return Ok(library);
        }
        let library: &'static Self = Box::leak(Box::new(read(path)?));
        loaded.insert(path.to_owned(), library);
        Ok(library)
    }

    fn sealed(path: &Path, sealed: Sealed) -> Result<Self> {
        // For ever, as the library is there for ever: the loader would take another one under the same descriptor for this one.
        let sealed: &'static Sealed = Box::leak(Box::new(sealed));
        Self::read(path, &sealed.loadable(), Some(sealed))
    }

    /// Loads `loadable`, which is what lies or lay at `path`.
    fn read(path: &Path, loadable: &Path, sealed: Option<&'static Sealed>) -> Result<Self> {
        let place = path.display().to_string();
        let not_loaded =
            |e: libloading::Error| Error::new(ErrorKind::Load, format!("{place}: cannot load it")).with_source(e);
        // SAFETY: the library's constructors run. That is what loading a plugin means: whoever gave the path trusts it.
        let library = unsafe { open(loadable) }.map_err(not_loaded)?;
        let no_symbol = |e: libloading::Error| {
            let message = format!("{place}: expected a plugin, which exports `{SYMBOL}`, got a library without it");
            Error::new(ErrorKind::Load, message).with_source(e)
        };
        // SAFETY: the symbol's name stands for its type, as its major version is part of it.
        let get = *unsafe { library.get::<cpt_plugin_v1_get>(SYMBOL.as_bytes()) }.map_err(no_symbol)?;
        // Never unloaded: its code may have left threads, thread locals or pointers behind.
        std::mem::forget(library);
        // SAFETY: the contract of the symbol: no arguments, and a table that lives as long as the library.
        let table: cpt_plugin_v1 = unsafe { read_table(get()) }.map_err(|e| e.at(&place))?;
        // SAFETY: the contract of the table.
        let manifest = unsafe { read_manifest(&table, &place) }?;
        let (Some(create), Some(score), Some(destroy)) = (table.create, table.score, table.destroy) else {
            let message = format!("{place}: expected create, score and destroy in the table, got a null pointer");
            return Err(Error::new(ErrorKind::Load, message));
        };
        let functions = Functions { create, score, destroy };
        let (path, capabilities) = (path.to_owned(), table.capabilities);
        Ok(Self { path, manifest, capabilities, functions, turns: Mutex::default(), sealed })
    }

    /// Where it is, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// `CPT_CAP_*` bits.
    pub fn capabilities(&self) -> u64 {
        self.capabilities
    }

    /// Whether different instances may be called at the same time.
    pub fn is_concurrent(&self) -> bool {
        self.capabilities & CPT_CAP_CONCURRENT != 0
    }

    /// Whether an item's scores do not depend on the other items of its call.
    pub fn is_batch_invariant(&self) -> bool {
        self.capabilities & CPT_CAP_BATCH_INVARIANT != 0
    }

    /// The functions as the table has them, for who calls them without an [`Expert`](crate::Expert) between: the validator.
    pub fn functions(&self) -> Functions {
        self.functions
    }

    /// What is held during a call: nothing when calls may overlap.
    pub(crate) fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        (!self.is_concurrent()).then(|| self.turns.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn canonical(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|e| Error::io("cannot find the plugin", path, e))
}

#[cfg(unix)]
unsafe fn open(path: &Path) -> Result<libloading::Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: the caller's.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map(Into::into)
}

#[cfg(not(unix))]
unsafe fn open(path: &Path) -> Result<libloading::Library, libloading::Error> {
    // SAFETY: the caller's.
    unsafe { libloading::Library::new(path) }
}
