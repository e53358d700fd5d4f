//! The table that a plugin exports, made at the first call.
#![allow(unsafe_code)]

use std::sync::OnceLock;

use counterpoint_abi::*;
use serde::Serialize;

use crate::description::{Judges, Output};
use crate::panics::catch;
use crate::shim::{create, destroy, score};
use crate::{Need, Plugin};

#[derive(Serialize)]
struct Manifest {
    abi: Abi,
    name: &'static str,
    version: &'static str,
    experts: Vec<ExpertManifest>,
}

#[derive(Serialize)]
struct Abi {
    major: u32,
    minor: u32,
}

#[derive(Serialize)]
struct ExpertManifest {
    name: &'static str,
    description: String,
    outputs: Vec<Output>,
    needs: Vec<Need>,
    #[serde(skip_serializing_if = "Judges::is_both")]
    judges: Judges,
}

fn table<P: Plugin>() -> serde_json::Result<cpt_plugin_v1> {
    let mut capabilities = CPT_CAP_CONCURRENT | CPT_CAP_DETERMINISTIC | CPT_CAP_BATCH_INVARIANT;
    let experts = P::EXPERTS.iter().map(|entry| {
        let about = (entry.describe)();
        capabilities &= about.capabilities;
        ExpertManifest {
            name: entry.name,
            description: about.text,
            outputs: about.outputs,
            needs: about.needs,
            judges: about.judges,
        }
    });
    let experts = experts.collect();
    let abi = Abi { major: CPT_ABI_MAJOR, minor: CPT_ABI_MINOR };
    let manifest = serde_json::to_string(&Manifest { abi, name: P::NAME, version: P::VERSION, experts })?;
    Ok(cpt_plugin_v1 {
        magic: CPT_MAGIC,
        major: CPT_ABI_MAJOR,
        minor: CPT_ABI_MINOR,
        struct_size: size_of::<cpt_plugin_v1>() as u32,
        capabilities,
        // It lives as long as the table, which is for ever.
        manifest: cpt_str::of(manifest.leak()),
        create: Some(create::<P>),
        score: Some(score),
        destroy: Some(destroy),
        extension: None,
    })
}

/// The table of `P`, kept in `cell`; null when a description panics.
pub fn get<P: Plugin>(cell: &'static OnceLock<Option<cpt_plugin_v1>>) -> *const cpt_plugin_v1 {
    let made = cell.get_or_init(|| catch(table::<P>).ok()?.ok());
    made.as_ref().map_or(std::ptr::null(), std::ptr::from_ref)
}

/// Stops the compiler when a name is not one that a manifest may have, or is there twice.
pub const fn check_names(names: &[&str]) {
    let mut i = 0;
    while i < names.len() {
        let name = names[i].as_bytes();
        assert!(!name.is_empty(), "expected an expert with a name, got an empty one");
        let mut k = 0;
        while k < name.len() {
            assert!(
                matches!(name[k], b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'),
                "expected an expert's name of lower case letters, digits, `_` and `-`"
            );
            k += 1;
        }
        let mut j = 0;
        while j < i {
            assert!(!equal(name, names[j].as_bytes()), "expected experts with different names");
            j += 1;
        }
        i += 1;
    }
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}
