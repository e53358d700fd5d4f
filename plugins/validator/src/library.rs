//! A plugin loaded into this process: its table, as it is.
#![allow(unsafe_code)]

use std::error::Error as _;
use std::mem::{MaybeUninit, size_of};
use std::path::Path;
use std::ptr;

use counterpoint_abi::{
    CPT_ABI_MAJOR, CPT_MAGIC, CPT_PLUGIN_V1_SIZE_0, SYMBOL, cpt_create, cpt_destroy, cpt_extension, cpt_plugin_v1,
    cpt_plugin_v1_get, cpt_score, cpt_str,
};
use counterpoint_host::{MANIFEST_LIMIT, Manifest, Sealed};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::calls;
use crate::progress::step;

/// A loaded library, never unloaded.
pub(crate) struct Loaded {
    getter: cpt_plugin_v1_get,
}

/// A table that can be used.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub create: cpt_create,
    pub score: cpt_score,
    pub destroy: cpt_destroy,
    pub extension: Option<cpt_extension>,
    pub minor: u32,
    pub struct_size: u32,
    pub capabilities: u64,
    pub manifest: Manifest,
}

/// An error with what the system says of it, such as the name of a symbol that is not there.
fn words(error: &libloading::Error) -> String {
    std::iter::successors(error.source(), |e| (*e).source()).fold(error.to_string(), |said, e| format!("{said}: {e}"))
}

impl Loaded {
    /// Loads the library at `path` and finds its symbol.
    pub fn open(path: &Path) -> Result<Self, String> {
        // As a run loads it. For ever open, as the library is.
        let sealed = Box::leak(Box::new(Sealed::of(path).map_err(|e| format!("{e:#}"))?));
        step("while loading");
        // SAFETY: the library's constructors run here. That they do no harm cannot be known; this is a process of its own.
        let library = unsafe { Library::open(Some(sealed.loadable()), RTLD_NOW | RTLD_LOCAL) }
            .map_err(|e| format!("the system cannot load it: {}", words(&e)))?;
        step("while looking for the symbol");
        // SAFETY: the contract gives this symbol this type.
        let symbol = unsafe { library.get::<cpt_plugin_v1_get>(SYMBOL.as_bytes()) };
        let getter = *symbol.map_err(|e| format!("it exports no {SYMBOL}: {}", words(&e)))?;
        std::mem::forget(library);
        Ok(Self { getter })
    }

    /// What the getter returns.
    pub fn pointer(&self) -> *const cpt_plugin_v1 {
        // SAFETY: it takes nothing.
        let pointer = unsafe { calls::get(self.getter, "in cpt_plugin_v1_get") };
        step("while reading the table");
        pointer
    }

    /// Reads and checks the table.
    pub fn table(&self) -> Result<Table, String> {
        read(self.pointer())
    }
}

fn read(pointer: *const cpt_plugin_v1) -> Result<Table, String> {
    if pointer.is_null() {
        return Err(format!("expected a table from {SYMBOL}, got NULL"));
    }
    if !pointer.is_aligned() {
        return Err(format!("expected a table aligned to 8 bytes, got one at {pointer:p}"));
    }
    // SAFETY: the first 16 bytes of every table can be read.
    let [magic, major, minor, struct_size] = unsafe { pointer.cast::<[u32; 4]>().read() };
    if magic != CPT_MAGIC {
        return Err(format!("expected the magic number {CPT_MAGIC:#010x} (\"CPT1\"), got {magic:#010x}"));
    }
    if major != CPT_ABI_MAJOR {
        return Err(format!("expected a plugin of major version {CPT_ABI_MAJOR}, got one of {major}.{minor}"));
    }
    if struct_size < CPT_PLUGIN_V1_SIZE_0 {
        return Err(format!("expected a struct_size of {CPT_PLUGIN_V1_SIZE_0} or more, got {struct_size}"));
    }
    let mut table = MaybeUninit::<cpt_plugin_v1>::zeroed();
    let size = size_of::<cpt_plugin_v1>().min(struct_size as usize);
    // SAFETY: the plugin says that so many bytes are there; what it does not have stays zero, which is a value of each field.
    let table = unsafe {
        ptr::copy_nonoverlapping(pointer.cast::<u8>(), table.as_mut_ptr().cast(), size);
        table.assume_init()
    };
    let missing = |name: &str| format!("expected a function {name}, got NULL");
    Ok(Table {
        create: table.create.ok_or_else(|| missing("create"))?,
        score: table.score.ok_or_else(|| missing("score"))?,
        destroy: table.destroy.ok_or_else(|| missing("destroy"))?,
        extension: table.extension,
        minor,
        struct_size,
        capabilities: table.capabilities,
        manifest: manifest(table.manifest)?,
    })
}

fn manifest(text: cpt_str) -> Result<Manifest, String> {
    if text.data.is_null() || text.size > MANIFEST_LIMIT as u64 {
        return Err(format!(
            "expected a manifest of at most {MANIFEST_LIMIT} bytes, got {:p}, {}",
            text.data, text.size
        ));
    }
    step("while reading the manifest");
    // SAFETY: the plugin says that so many bytes are there.
    let bytes = unsafe { std::slice::from_raw_parts(text.data, text.size as usize) };
    Manifest::parse(bytes, "the table's manifest").map_err(|e| format!("{e:#}"))
}

impl Table {
    /// What the plugin's `extension` answers to `name`; without such a function nothing.
    pub fn extension(&self, name: &str) -> *const std::ffi::c_void {
        // SAFETY: the name can be read during the call.
        self.extension.map_or(ptr::null(), |f| unsafe { calls::extension(f, "in extension", cpt_str::of(name)) })
    }
}
