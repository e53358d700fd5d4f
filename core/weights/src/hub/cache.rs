//! The cache that the hub's clients share: files are looked for and fetched through one [`Cache`].

use std::path::PathBuf;

use hf_hub::Cache;

use crate::hub::source::Repository;

/// The cache; none where no variable names a folder and the user has no home.
pub(super) fn shared() -> Option<Cache> {
    folder(variable, std::env::home_dir()).map(Cache::new)
}

/// The snapshot of `repository` at its revision, the newest without one; complete or not.
pub(super) fn snapshot(cache: &Cache, repository: &Repository) -> Option<PathBuf> {
    let repo = repository.repo();
    let named = cache.repo(repo.clone()).get("");
    // A commit has a folder of its own, whether or not a client noted it as a name.
    let commit =
        repository.revision.as_ref().map(|commit| cache.path().join(repo.folder_name()).join("snapshots").join(commit));
    let folder = named.or_else(|| commit.filter(|folder| folder.is_dir()))?;
    // Without the separator that the empty name leaves at its end.
    Some(folder.components().collect())
}

/// The user's access token, which lies beside the usual cache wherever `HF_HUB_CACHE` is.
#[cfg(feature = "hf-hub")]
pub(super) fn token() -> Option<String> {
    Cache::new(home(variable, std::env::home_dir())?.join("hub")).token()
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn folder(set: impl Fn(&str) -> Option<PathBuf>, user: Option<PathBuf>) -> Option<PathBuf> {
    set("HF_HUB_CACHE").or_else(|| Some(home(set, user)?.join("hub")))
}

fn home(set: impl Fn(&str) -> Option<PathBuf>, user: Option<PathBuf>) -> Option<PathBuf> {
    set("HF_HOME").or_else(|| Some(user?.join(".cache/huggingface")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_nearest_variable_names_the_folder() {
        let user = || Some(PathBuf::from("/home/user"));
        let with = |names: &[&str]| folder(|name| names.contains(&name).then(|| format!("/{name}").into()), user());
        assert_eq!(with(&["HF_HUB_CACHE", "HF_HOME"]), Some("/HF_HUB_CACHE".into()));
        assert_eq!(with(&["HF_HOME"]), Some("/HF_HOME/hub".into()));
        assert_eq!(with(&[]), Some("/home/user/.cache/huggingface/hub".into()));
        assert_eq!(folder(|_| None, None), None);
    }

    #[test]
    fn a_snapshot_is_that_of_the_main_branch() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().into());
        let newest = Repository { name: "owner/name".to_owned(), revision: None };
        assert_eq!(snapshot(&cache, &newest), None);
        let repository = folder.path().join("models--owner--name");
        cache.model("owner/name".into()).create_ref("abc").unwrap();
        assert_eq!(snapshot(&cache, &newest), None);
        std::fs::create_dir_all(repository.join("snapshots/abc")).unwrap();
        let found = snapshot(&cache, &newest).unwrap();
        assert_eq!(found.as_os_str(), repository.join("snapshots/abc").as_os_str());
    }
}
