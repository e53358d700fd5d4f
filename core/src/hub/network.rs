//! Files of a repository from the hub itself.

use std::path::PathBuf;

use super::Files;

#[cfg(not(feature = "hf-hub"))]
pub(super) fn fetched(_name: &str, _files: &Files) -> Result<PathBuf, String> {
    Err("this program was built without the feature hf-hub".to_owned())
}

/// The folder of the cache into which `files` of the repository `name` were fetched, or why they were not.
#[cfg(feature = "hf-hub")]
pub(super) fn fetched(name: &str, files: &Files) -> Result<PathBuf, String> {
    use hf_hub::api::sync::{ApiBuilder, ApiError};

    let failed = |e: ApiError| format!("it cannot be fetched ({e})");
    let repository = ApiBuilder::from_env().build().map_err(failed)?.model(name.to_owned());
    let names: Vec<String> = repository.info().map_err(failed)?.siblings.into_iter().map(|s| s.rfilename).collect();
    let chosen =
        files.choose(&names).map_err(|missing| format!("the hub's copy has no {}", super::listed(&missing)))?;
    let mut folder = None;
    for file in chosen {
        let path = repository.get(&file).map_err(failed)?;
        folder = path.ancestors().nth(1 + file.matches('/').count()).map(PathBuf::from);
    }
    folder.ok_or_else(|| "nothing was fetched".to_owned())
}
