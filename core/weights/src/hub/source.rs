//! What a setting says of where files are.

use std::fmt;
use std::path::{Path, PathBuf};

use counterpoint::{Error, Result};

/// Where part of a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file or folder.
    Path(PathBuf),
    /// A repository, `OWNER/NAME`.
    Hub(String),
}

impl Source {
    /// Reads `hf:OWNER/NAME`, or a path.
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
        match name.split_once('/') {
            Some((owner, name)) if part(owner) && part(name) => Ok(Self::Hub(format!("{owner}/{name}"))),
            _ => Err(Error::config(format!("expected hf:OWNER/NAME such as hf:showlab/show-o-512x512, got {text:?}"))),
        }
    }
}

/// As it is written in a config.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Hub(name) => write!(f, "hf:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_of_repositories_stay_inside_the_folder() {
        assert_eq!(Source::parse("hf:showlab/show-o").unwrap(), Source::Hub("showlab/show-o".into()));
        assert_eq!(Source::parse("some/folder").unwrap(), Source::Path("some/folder".into()));
        for bad in ["hf:", "hf:show-o", "hf:../show-o", "hf:a/../b", "hf:a/..", "hf:a/b/c", "hf:a/b c"] {
            assert!(Source::parse(bad).unwrap_err().to_string().contains("hf:OWNER/NAME"), "{bad}");
        }
    }

    #[test]
    fn a_source_is_written_as_it_was_read() {
        for text in ["hf:showlab/show-o", "some/folder"] {
            assert_eq!(Source::parse(text).unwrap().to_string(), text);
        }
    }
}
