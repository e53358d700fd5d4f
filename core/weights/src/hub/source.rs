//! What a setting says of where files are.

use std::fmt;
use std::path::{Path, PathBuf};

use counterpoint::{Error, Result};
use hf_hub::{Repo, RepoType};

/// Where part of a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file or folder.
    Path(PathBuf),
    /// A repository of the hub.
    Hub(Repository),
}

/// A repository of the hub, at some revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// `OWNER/NAME`.
    pub name: String,
    /// Branch, tag or commit; none for the newest.
    pub revision: Option<String>,
}

impl Repository {
    /// As the hub's client takes it.
    pub(super) fn repo(&self) -> Repo {
        match &self.revision {
            Some(revision) => Repo::with_revision(self.name.clone(), RepoType::Model, revision.clone()),
            None => Repo::model(self.name.clone()),
        }
    }
}

/// `OWNER/NAME` or `OWNER/NAME@REVISION`.
impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        self.revision.iter().try_for_each(|revision| write!(f, "@{revision}"))
    }
}

impl Source {
    /// Reads `hf:OWNER/NAME`, `hf:OWNER/NAME@REVISION`, or a path.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when what follows `hf:` is not the name of a repository.
    pub fn parse(text: impl AsRef<Path>) -> Result<Self> {
        let path = text.as_ref();
        let Some(text) = path.to_str() else { return Ok(Self::Path(path.to_owned())) };
        let Some(name) = text.strip_prefix("hf:") else { return Ok(Self::Path(path.to_owned())) };
        let part = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
        };
        let (name, revision) = match name.split_once('@') {
            Some((name, revision)) => (name, Some(revision)),
            None => (name, None),
        };
        match name.split_once('/') {
            Some((owner, name)) if part(owner) && part(name) && revision.is_none_or(part) => {
                let (name, revision) = (format!("{owner}/{name}"), revision.map(str::to_owned));
                Ok(Self::Hub(Repository { name, revision }))
            }
            _ => Err(Error::config(format!(
                "expected hf:OWNER/NAME or hf:OWNER/NAME@REVISION, such as hf:showlab/show-o-512x512, got {text:?}"
            ))),
        }
    }
}

/// As it is written in a config.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Hub(repository) => write!(f, "hf:{repository}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_of_repositories_stay_inside_the_folder() {
        let newest = Repository { name: "showlab/show-o".to_owned(), revision: None };
        let pinned = Repository { revision: Some("v1.0".to_owned()), ..newest.clone() };
        assert_eq!(Source::parse("hf:showlab/show-o").unwrap(), Source::Hub(newest));
        assert_eq!(Source::parse("hf:showlab/show-o@v1.0").unwrap(), Source::Hub(pinned));
        assert_eq!(Source::parse("some/folder").unwrap(), Source::Path("some/folder".into()));
        for bad in [
            "hf:",
            "hf:show-o",
            "hf:../show-o",
            "hf:a/../b",
            "hf:a/..",
            "hf:a/b/c",
            "hf:a/b c",
            "hf:a/b@",
            "hf:a/b@../c",
        ] {
            assert!(Source::parse(bad).unwrap_err().to_string().contains("hf:OWNER/NAME"), "{bad}");
        }
    }

    #[test]
    fn a_source_is_written_as_it_was_read() {
        for text in ["hf:showlab/show-o", "hf:showlab/show-o@abc", "some/folder"] {
            assert_eq!(Source::parse(text).unwrap().to_string(), text);
        }
    }
}
