//! Which files a component needs of a model's folder.

use std::collections::BTreeSet;
use std::path::Path;

use crate::index::shards_missing;

/// One thing that a component needs of a folder: a file, or the first of several alternatives that is there, each of them
/// one file or some that belong together.
///
/// A name may have one `*` for any text: then every file that fits belongs to it, and there must be one. Names of files in
/// folders below are written with `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    alternatives: &'static [&'static [&'static str]],
    required: bool,
    /// What people are told of alternatives that are many.
    said: Option<&'static str>,
}

impl Need {
    /// A model's architecture, `config.json`.
    pub const CONFIG: Self = Self::file(&[&["config.json"]]);

    /// A model's weights, whole or in shards, in the order in which [`FILE_NAMES`](crate::FILE_NAMES) are looked for.
    pub const WEIGHTS: Self = Self {
        alternatives: &[
            &["model.safetensors"],
            &["pytorch_model.safetensors"],
            &["model.safetensors.index.json", "model-*.safetensors"],
            &["pytorch_model.safetensors.index.json", "pytorch_model-*.safetensors"],
            &["pytorch_model.bin"],
            &["pytorch_model.bin.index.json", "pytorch_model-*.bin"],
        ],
        required: true,
        said: Some("model.safetensors (or pytorch_model.bin, or shards with their index)"),
    };

    /// A WordPiece tokenizer: `tokenizer.json`, or the vocabulary alone.
    pub const WORD_PIECES: Self = Self::file(&[&["tokenizer.json"], &["vocab.txt"]]);

    /// How images are prepared, `preprocessor_config.json`.
    pub const PREPROCESSOR: Self = Self::file(&[&["preprocessor_config.json"]]);

    /// The first of `alternatives` that is complete.
    pub const fn file(alternatives: &'static [&'static [&'static str]]) -> Self {
        Self { alternatives, required: true, said: None }
    }

    /// The same where it is there; nothing is missing without it.
    pub const fn optional(alternatives: &'static [&'static [&'static str]]) -> Self {
        Self { alternatives, required: false, said: None }
    }

    /// The files of the first alternative that is complete among `names`.
    fn choose(&self, names: &[String]) -> Option<Vec<String>> {
        self.alternatives.iter().find_map(|patterns| {
            let mut chosen = Vec::new();
            for pattern in *patterns {
                let before = chosen.len();
                chosen.extend(names.iter().filter(|name| fits(pattern, name)).cloned());
                if chosen.len() == before {
                    return None;
                }
            }
            Some(chosen)
        })
    }

    /// `tokenizer.json (or vocab.txt)`.
    fn description(&self) -> String {
        if let Some(said) = self.said {
            return said.to_owned();
        }
        let mut alternatives = self.alternatives.iter().map(|patterns| patterns.join(" + "));
        let first = alternatives.next().unwrap_or_default();
        let others: Vec<String> = alternatives.collect();
        if others.is_empty() { first } else { format!("{first} (or {})", others.join(", ")) }
    }
}

/// All that a component needs of one folder. A list is a constant of the component's crate, which its constructor and
/// whoever fetches files share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Files {
    needs: &'static [Need],
    origin: Option<&'static str>,
}

impl Files {
    /// These.
    pub const fn new(needs: &'static [Need]) -> Self {
        Self { needs, origin: None }
    }

    /// The same with a word on where they are published, for those that no repository of the hub has.
    pub const fn published(self, origin: &'static str) -> Self {
        Self { needs: self.needs, origin: Some(origin) }
    }

    /// Where they are published, if it was said.
    pub fn origin(&self) -> Option<&'static str> {
        self.origin
    }

    /// Which of the files `names` of a folder or repository are needed.
    ///
    /// # Errors
    /// What is missing, a description for each need.
    pub fn choose(&self, names: &[String]) -> Result<Vec<String>, Vec<String>> {
        let (mut chosen, mut missing) = (Vec::new(), Vec::new());
        for need in self.needs {
            match need.choose(names) {
                Some(files) => chosen.extend(files),
                None if need.required => missing.push(need.description()),
                None => {}
            }
        }
        if missing.is_empty() { Ok(chosen) } else { Err(missing) }
    }

    /// What `folder` lacks, a description for each need; of weights in shards also those that their index names.
    pub fn missing_in(&self, folder: &Path) -> Vec<String> {
        let mut names = BTreeSet::new();
        collect(folder, "", 2, &mut names);
        let names: Vec<String> = names.into_iter().collect();
        match self.choose(&names) {
            Err(missing) => missing,
            Ok(chosen) => {
                let indices = chosen.iter().filter(|name| name.ends_with(".index.json"));
                indices.flat_map(|index| shards_missing(&folder.join(index))).collect()
            }
        }
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end),
    }
}

/// Adds the names of the files in `folder`, and of those up to `depth - 1` folders below.
fn collect(folder: &Path, prefix: &str, depth: usize, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, Ok(name)) = (entry.path(), entry.file_name().into_string()) else { continue };
        if path.is_file() {
            names.insert(format!("{prefix}{name}"));
        } else if depth > 1 {
            collect(&path, &format!("{prefix}{name}/"), depth - 1, names);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MODEL: Files = Files::new(&[Need::CONFIG, Need::WEIGHTS]);

    /// Every file that [`WEIGHTS`](Need::WEIGHTS) may begin with is one that is loaded, and the other way round.
    #[test]
    fn weights_go_by_the_names_that_are_loaded() {
        let first = Need::WEIGHTS.alternatives.iter().map(|patterns| patterns[0]);
        assert_eq!(first.collect::<Vec<_>>(), crate::FILE_NAMES);
    }

    const TEXT: Files = Files::new(&[
        Need::file(&[&["tokenizer.json"], &["vocab.json", "merges.txt", "added_tokens.json"]]),
        Need::optional(&[&["1_Pooling/config.json"]]),
    ]);

    fn chosen(files: Files, names: &[&str]) -> Result<Vec<String>, Vec<String>> {
        files.choose(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_repository_gives_the_files_that_are_needed_and_no_others() {
        let model = ["README.md", "config.json", "model.safetensors", "pytorch_model.bin", "optimizer.bin"];
        assert_eq!(chosen(MODEL, &model).unwrap(), ["config.json", "model.safetensors"]);
        const WEIGHTS: Files = Files::new(&[Need::WEIGHTS, Need::optional(&[&["config.json"]])]);
        assert_eq!(chosen(WEIGHTS, &["pytorch_model.bin"]).unwrap(), ["pytorch_model.bin"]);
        let sharded = [
            "config.json",
            "pytorch_model-00001-of-00002.bin",
            "pytorch_model-00002-of-00002.bin",
            "pytorch_model.bin.index.json",
            "model-card.bin",
        ];
        let expected = [sharded[0], sharded[3], sharded[1], sharded[2]];
        assert_eq!(chosen(MODEL, &sharded).unwrap(), expected);
        let files = ["vocab.json", "merges.txt", "added_tokens.json", "config.json"];
        assert_eq!(chosen(TEXT, &files).unwrap(), files[..3]);
        assert!(chosen(TEXT, &files[..2]).unwrap_err()[0].contains("added_tokens.json"));
        assert_eq!(chosen(TEXT, &["1_Pooling/config.json", "tokenizer.json"]).unwrap().len(), 2);
        assert_eq!(chosen(MODEL, &["model.safetensors"]).unwrap_err(), ["config.json"]);
    }

    #[test]
    fn all_that_is_missing_is_told() {
        let missing = chosen(MODEL, &["vocab.txt"]).unwrap_err();
        let expected = ["config.json", "model.safetensors (or pytorch_model.bin, or shards with their index)"];
        assert_eq!(missing, expected);
        assert_eq!(chosen(TEXT, &[]).unwrap_err(), ["tokenizer.json (or vocab.json + merges.txt + added_tokens.json)"]);
    }

    #[test]
    fn a_folder_lacks_the_shards_that_its_index_names() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(MODEL.missing_in(&folder.path().join("nowhere")).len(), 2);
        write("config.json", "{}");
        write("model-1-of-2.safetensors", "");
        let index = r#"{"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}"#;
        write("model.safetensors.index.json", index);
        assert_eq!(MODEL.missing_in(folder.path()), ["model-2-of-2.safetensors"]);
        write("model-2-of-2.safetensors", "");
        assert!(MODEL.missing_in(folder.path()).is_empty());
        // One that cannot be read is told when it is loaded.
        write("model.safetensors.index.json", "no index");
        assert!(MODEL.missing_in(folder.path()).is_empty());
    }

    #[test]
    fn names_with_a_star_stand_for_all_that_fit() {
        assert!(fits("*.pb", "20170512-110547.pb") && fits("a*b", "ab"));
        assert!(!fits("*.pb", "graph.pbtxt") && !fits("aa*a", "aa"));
    }
}
