//! Repositories of the Hugging Face hub by name, `hf:OWNER/NAME`: from a local folder, the cache, or the network.

use std::path::{Path, PathBuf};

use counterpoint::weights::NAMES;
use counterpoint::{Error, Result};

/// Where part of a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file or folder.
    Path(PathBuf),
    /// A repository, `OWNER/NAME`.
    Hub(String),
}

/// Which part of a model a repository is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Model,
    ImageTokenizer,
    Tokenizer,
}

impl Source {
    /// Reads `hf:OWNER/NAME`, or a path.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when what follows `hf:` is not the name of a repository.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let Some(name) = text.strip_prefix("hf:") else { return Ok(Self::Path(text.into())) };
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

impl Part {
    /// Which of the files `names` this part needs, or what is missing.
    fn choose(self, names: &[String]) -> Result<Vec<String>, &'static str> {
        let has = |name: &str| names.iter().any(|n| n == name);
        let mut chosen: Vec<String> = match self {
            Self::Model | Self::ImageTokenizer => {
                let weights = NAMES.iter().find(|name| has(name)).ok_or(self.description())?;
                let mut chosen = vec![(*weights).to_owned()];
                if let Some((stem, ending)) = weights.trim_end_matches(".index.json").rsplit_once('.')
                    && weights.ends_with(".index.json")
                {
                    let shard = |n: &&String| n.starts_with(&format!("{stem}-")) && n.ends_with(ending);
                    chosen.extend(names.iter().filter(shard).cloned());
                }
                chosen
            }
            Self::Tokenizer if has("tokenizer.json") => vec!["tokenizer.json".to_owned()],
            Self::Tokenizer => {
                let files = ["vocab.json", "merges.txt", "added_tokens.json"];
                if !files.iter().all(|name| has(name)) {
                    return Err(self.description());
                }
                files.map(str::to_owned).to_vec()
            }
        };
        match has("config.json") {
            true => chosen.push("config.json".to_owned()),
            false if self == Self::Model => return Err(self.description()),
            false => {}
        }
        Ok(chosen)
    }

    fn description(self) -> &'static str {
        match self {
            Self::Model => "config.json and model.safetensors (or pytorch_model.bin, or shards with their index)",
            Self::ImageTokenizer => "model.safetensors or pytorch_model.bin",
            Self::Tokenizer => "tokenizer.json (or vocab.json, merges.txt and added_tokens.json) and config.json",
        }
    }

    /// The folder with this part of the repository `name`: `weights/OWNER/NAME` under `base`, else from the hub.
    ///
    /// # Errors
    /// [`Weights`](counterpoint::ErrorKind::Weights) with the files, their repository and the folder to put them in.
    pub(crate) fn folder(self, name: &str, base: &Path) -> Result<PathBuf> {
        let local = base.join("weights").join(name);
        if self.choose(&names_in(&local)).is_ok() {
            return Ok(local);
        }
        fetched(self, name).map_err(|why| {
            Error::weights(format!(
                "{name} is not on this machine and {why}: put its {} into {}",
                self.description(),
                local.display()
            ))
        })
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().is_file()).filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(not(feature = "hf-hub"))]
fn fetched(_part: Part, _name: &str) -> Result<PathBuf, String> {
    Err("this program was built without the feature hf-hub".to_owned())
}

/// From the cache of the hub's clients (`HF_HOME`), else from the hub (`HF_ENDPOINT`).
#[cfg(feature = "hf-hub")]
fn fetched(part: Part, name: &str) -> Result<PathBuf, String> {
    use hf_hub::api::sync::ApiBuilder;

    let cached = hf_hub::Cache::from_env().model(name.to_owned());
    let known = NAMES.iter().chain(&["tokenizer.json", "vocab.json"]).find_map(|file| cached.get(file));
    if let Some(snapshot) = known.as_deref().and_then(Path::parent)
        && part.choose(&names_in(snapshot)).is_ok()
    {
        return Ok(snapshot.to_owned());
    }
    let failed = |e: hf_hub::api::sync::ApiError| format!("it cannot be fetched ({e})");
    let repository = ApiBuilder::from_env().build().map_err(failed)?.model(name.to_owned());
    let names: Vec<String> = repository.info().map_err(failed)?.siblings.into_iter().map(|s| s.rfilename).collect();
    let chosen = part.choose(&names).map_err(|missing| format!("the hub's copy has no {missing}"))?;
    let mut folder = None;
    for file in chosen {
        folder = repository.get(&file).map_err(failed)?.parent().map(Path::to_owned);
    }
    folder.ok_or_else(|| "nothing was fetched".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn chosen(part: Part, names: &[&str]) -> Result<Vec<String>, &'static str> {
        part.choose(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_repository_gives_the_files_of_a_part_and_no_others() {
        let model = ["README.md", "config.json", "model.safetensors", "pytorch_model.bin", "optimizer.bin"];
        assert_eq!(chosen(Part::Model, &model).unwrap(), ["model.safetensors", "config.json"]);
        assert_eq!(chosen(Part::ImageTokenizer, &["pytorch_model.bin"]).unwrap(), ["pytorch_model.bin"]);
        let sharded = [
            "config.json",
            "pytorch_model-00001-of-00002.bin",
            "pytorch_model-00002-of-00002.bin",
            "pytorch_model.bin.index.json",
            "model-card.bin",
        ];
        let expected = [sharded[3], sharded[1], sharded[2], sharded[0]];
        assert_eq!(chosen(Part::Model, &sharded).unwrap(), expected);
        let files = ["vocab.json", "merges.txt", "added_tokens.json", "config.json"];
        assert_eq!(chosen(Part::Tokenizer, &files).unwrap(), files);
        assert!(chosen(Part::Tokenizer, &files[..2]).unwrap_err().contains("added_tokens.json"));
        assert!(chosen(Part::Model, &["model.safetensors"]).unwrap_err().contains("config.json"));
    }

    #[test]
    fn names_of_repositories_stay_inside_the_folder() {
        assert_eq!(Source::parse("hf:showlab/show-o").unwrap(), Source::Hub("showlab/show-o".into()));
        assert_eq!(Source::parse("some/folder").unwrap(), Source::Path("some/folder".into()));
        for bad in ["hf:", "hf:show-o", "hf:../show-o", "hf:a/../b", "hf:a/..", "hf:a/b/c", "hf:a/b c"] {
            assert!(Source::parse(bad).unwrap_err().to_string().contains("hf:OWNER/NAME"), "{bad}");
        }
    }
}
