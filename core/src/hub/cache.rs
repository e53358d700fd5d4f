//! The cache that the hub's clients share.

use std::path::{Path, PathBuf};

/// The newest snapshot of the repository `name` in the cache, complete or not.
pub(super) fn snapshot(name: &str) -> Option<PathBuf> {
    snapshot_in(&folder()?, name)
}

fn folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("HF_HUB_CACHE")
        .or_else(|| Some(set("HF_HOME")?.join("hub")))
        .or_else(|| Some(std::env::home_dir()?.join(".cache/huggingface/hub")))
}

fn snapshot_in(cache: &Path, name: &str) -> Option<PathBuf> {
    let repository = cache.join(format!("models--{}", name.replace('/', "--")));
    let commit = std::fs::read_to_string(repository.join("refs/main")).ok()?;
    let snapshot = repository.join("snapshots").join(commit.trim());
    snapshot.is_dir().then_some(snapshot)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_snapshot_is_that_of_the_main_branch() {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(snapshot_in(cache.path(), "owner/name"), None);
        let repository = cache.path().join("models--owner--name");
        std::fs::create_dir_all(repository.join("refs")).unwrap();
        std::fs::write(repository.join("refs/main"), "abc\n").unwrap();
        assert_eq!(snapshot_in(cache.path(), "owner/name"), None);
        std::fs::create_dir_all(repository.join("snapshots/abc")).unwrap();
        assert_eq!(snapshot_in(cache.path(), "owner/name"), Some(repository.join("snapshots/abc")));
    }
}
