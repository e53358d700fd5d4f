//! Files of a repository from the hub itself.

use std::path::PathBuf;

use hf_hub::Cache;
#[cfg(feature = "hf-hub")]
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};

use crate::hub::files::Files;
use crate::hub::source::Repository;
#[cfg(feature = "hf-hub")]
use crate::hub::{cache, listed::listed};

#[cfg(not(feature = "hf-hub"))]
pub(super) fn fetched(_cache: Option<Cache>, _repository: &Repository, _files: &Files) -> Result<PathBuf, String> {
    Err("this program was built without the feature hf-hub".to_owned())
}

/// The folder of `cache` into which `files` of the repository `name` were fetched, or why they were not.
#[cfg(feature = "hf-hub")]
pub(super) fn fetched(cache: Option<Cache>, repository: &Repository, files: &Files) -> Result<PathBuf, String> {
    let failed = |e: ApiError| format!("it cannot be fetched ({e})");
    let cache = cache.ok_or("there is no folder to fetch it into (set HF_HUB_CACHE)")?;
    let remote = api(&cache).map_err(failed)?.repo(repository.repo());
    let names: Vec<String> = remote.info().map_err(failed)?.siblings.into_iter().map(|s| s.rfilename).collect();
    let chosen = files.choose(&names).map_err(|missing| format!("the hub's copy has no {}", listed(&missing)))?;
    for file in chosen {
        remote.get(&file).map_err(failed)?;
    }
    cache::snapshot(&cache, repository).ok_or_else(|| "nothing was fetched".to_owned())
}

/// The hub, or what `HF_ENDPOINT` names in its place, that fetches into `cache`.
#[cfg(feature = "hf-hub")]
fn api(cache: &Cache) -> Result<Api, ApiError> {
    let builder = ApiBuilder::from_cache(cache.clone()).with_token(cache::token());
    match std::env::var("HF_ENDPOINT") {
        Ok(endpoint) => builder.with_endpoint(endpoint).build(),
        Err(_) => builder.build(),
    }
}

#[cfg(all(test, feature = "hf-hub"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A file that is there is not fetched: what is found shows where the interface looks, and so where it puts files.
    #[test]
    fn files_are_fetched_into_the_cache_that_is_looked_into() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().into());
        let snapshot = folder.path().join("models--owner--name/snapshots/abc");
        std::fs::create_dir_all(&snapshot).unwrap();
        cache.model("owner/name".into()).create_ref("abc").unwrap();
        std::fs::write(snapshot.join("config.json"), "{}").unwrap();
        let found = api(&cache).unwrap().model("owner/name".into()).get("config.json").unwrap();
        assert_eq!(found, snapshot.join("config.json"));
        let newest = Repository { name: "owner/name".to_owned(), revision: None };
        assert_eq!(cache::snapshot(&cache, &newest), Some(snapshot));
    }
}
