//! Concepts of a data set in the UniCTokens layout.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use counterpoint::file::folder_of;
use counterpoint::{Error, Result};
use serde::Deserialize;

use crate::{Picture, json, picture};

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Exchange {
    /// The question.
    pub query: String,
    /// The answer.
    pub answer: String,
}

/// A personal concept: its facts, the prompts that they fit, its images and the questions about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concept {
    /// The bare name, such as `ada`.
    pub name: String,
    /// What it is (`class`), such as `young woman`.
    pub class: String,
    /// Its `conversation_type`, such as `human`, where the data say one.
    pub conversation_type: Option<String>,
    /// What it is, in a sentence; may be empty.
    pub info: String,
    /// The facts (`extra_info`).
    pub facts: Vec<String>,
    /// The reasoning prompts (`personalized_driven_generation`): prompt k fits fact k.
    pub prompts: Vec<String>,
    /// How many of the facts, from the first, are for training; the others are held out.
    pub training_facts: usize,
    /// Images for training. The first is the concept's reference.
    pub train: Vec<Picture>,
    /// Held-out images.
    pub test: Vec<Picture>,
}

impl Concept {
    /// The name as it is written in prompts, such as `<ada>`.
    pub fn token(&self) -> String {
        format!("<{}>", self.name)
    }
}

/// A folder of concepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConceptSet {
    root: PathBuf,
    names: Vec<String>,
    /// Per concept, the file names of its training images (`train_images.json`).
    train_images: BTreeMap<String, Vec<String>>,
}

/// The questions that are about no image.
const TEXT_ONLY: &str = "text_only";

#[derive(Deserialize)]
struct Info {
    class: String,
    conversation_type: Option<String>,
    #[serde(default)]
    info: String,
    #[serde(default)]
    extra_info: Vec<String>,
    num_testing_info: Option<usize>,
}

#[derive(Deserialize)]
struct Conditions {
    personalized_driven_generation: Vec<String>,
}

impl ConceptSet {
    /// Opens the folder `root` and reads which concepts it has.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when the folder has no concepts or a list is not the JSON expected.
    pub fn open(root: &Path) -> Result<Self> {
        let list = root.join("concepts_list.json");
        let names: Vec<String> = match json::read_if_present(&list)? {
            Some(names) => names,
            None => folders(&root.join("concept/train"))?,
        };
        if names.is_empty() {
            return Err(Error::data(format!(
                "expected concepts in {}, got none: neither concepts_list.json nor concept/train/ names any",
                root.display()
            )));
        }
        if let Some(twice) = twice(&names) {
            return Err(Error::data(format!("{}: expected every concept once, got <{twice}> twice", list.display())));
        }
        let names: Vec<String> = names.iter().map(|n| bare(n).to_owned()).collect();
        if let Some(name) = names.iter().find(|name| !is_name(name)) {
            return Err(Error::data(format!(
                "{}: expected names of concepts (folders of concept/train, without `/`, `<`, `>`, line breaks, and spaces at \
                 the ends), got {name:?}",
                list.display()
            )));
        }
        let train_images = json::read_if_present(&root.join("concept/train/train_images.json"))?.unwrap_or_default();
        Ok(Self { root: root.to_owned(), names, train_images })
    }

    /// The bare names of the concepts, in the order of the list.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Reads the concept `name`, with or without angle brackets. Images are only looked for, not decoded.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when there is no such concept, a file is missing or malformed, the
    /// concept has no facts, or prompts and facts are not equally many.
    pub fn concept(&self, name: &str) -> Result<Concept> {
        let name = bare(name);
        if !self.names.iter().any(|n| n == name) {
            return Err(self.unknown(name));
        }
        let train = self.root.join("concept/train").join(name);
        let test = self.root.join("concept/test").join(name);
        let info_file = train.join("info.json");
        let info: Info = json::read(&info_file)?;
        if info.extra_info.is_empty() {
            return Err(Error::data(format!(
                "{}: expected `extra_info` with at least one fact about <{name}>, got none; add the facts that its \
                 reasoning prompts ask for",
                info_file.display()
            )));
        }
        let conditions_file = test.join("t2i_conditions.json");
        let (facts, prompts) = (info.extra_info, conditions(&conditions_file)?);
        if facts.len() != prompts.len() {
            return Err(Error::data(format!(
                "concept <{name}>: expected one reasoning prompt per fact, got {} prompts (personalized_driven_generation \
                 in {}) and {} facts (extra_info in {}); prompt k must fit fact k",
                prompts.len(),
                conditions_file.display(),
                facts.len(),
                info_file.display()
            )));
        }
        let held_out = info.num_testing_info.unwrap_or(facts.len() / 2);
        if held_out > facts.len() {
            return Err(Error::data(format!(
                "{}: expected `num_testing_info` of at most {}, the number of facts, got {held_out}",
                info_file.display(),
                facts.len()
            )));
        }
        Ok(Concept {
            name: name.to_owned(),
            class: info.class,
            conversation_type: info.conversation_type,
            info: info.info,
            training_facts: facts.len() - held_out,
            facts,
            prompts,
            train: self.train_pictures(name, &train)?,
            test: pictures(picture::numbered(&test)?, &test.join("vqa.json"))?,
        })
    }

    fn train_pictures(&self, name: &str, folder: &Path) -> Result<Vec<Picture>> {
        let files = match self.train_images.get(name) {
            Some(listed) => listed.iter().map(|file| folder.join(file)).collect(),
            None => picture::numbered(folder)?,
        };
        if files.is_empty() {
            let expected = folder.join("0.png");
            return Err(Error::data(format!(
                "missing image {}: expected 0.png, 0.jpg or 0.jpeg, the reference image of <{name}>",
                expected.display()
            )));
        }
        if let Some(file) = files.iter().find(|file| !file.is_file()) {
            return Err(Error::data(format!(
                "missing image {}: train_images.json lists it for <{name}>",
                file.display()
            )));
        }
        pictures(files, &folder.join("conversations.json"))
    }

    fn unknown(&self, name: &str) -> Error {
        let mut names: Vec<&String> = self.names.iter().collect();
        names.sort_by_key(|n| strsim::levenshtein(n, name));
        let names: Vec<String> = names.iter().map(|n| format!("<{n}>")).collect();
        Error::data(format!("no concept <{name}> in {}; there are: {}", self.root.display(), names.join(", ")))
    }
}

/// The reasoning prompts of `t2i_conditions.json`: under their key, or a bare list, whose first entry is the plain photograph and none
/// of them, as UniCTokens' judge reads it.
fn conditions(file: &Path) -> Result<Vec<String>> {
    match json::read(file)? {
        serde_json::Value::Array(_) => Ok(json::read::<Vec<String>>(file)?.into_iter().skip(1).collect()),
        _ => Ok(json::read::<Conditions>(file)?.personalized_driven_generation),
    }
}

/// The images with the questions that `file`, if there is one, has about them; `text_only` questions are not about any.
fn pictures(paths: Vec<PathBuf>, file: &Path) -> Result<Vec<Picture>> {
    let questions: BTreeMap<String, Vec<Exchange>> = json::read_if_present(file)?.unwrap_or_default();
    let folder = folder_of(file);
    // An image that is there and not in the list, as train_images.json may have it, is only left out.
    let there = |key: &str| {
        let named = |path: &PathBuf| path.file_stem() == Path::new(key).file_stem();
        paths.iter().any(named) || folder.join(key).is_file()
    };
    if let Some(key) = questions.keys().find(|key| *key != TEXT_ONLY && !there(key)) {
        return Err(Error::data(format!(
            "{}: `{key}`: expected questions about an image that is in {}, got some about one that is not; add the image or \
             remove its questions",
            file.display(),
            folder.display()
        )));
    }
    let about = |path: &Path| {
        let key = questions.iter().find(|(key, _)| Path::new(key).file_stem() == path.file_stem());
        key.map(|(_, q)| q.clone()).unwrap_or_default()
    };
    Ok(paths.into_iter().map(|path| Picture { questions: about(&path), path }).collect())
}

/// Whether a folder and a token can be called so.
fn is_name(name: &str) -> bool {
    let bad = |c: char| c.is_control() || ['<', '>', '/', '\\'].contains(&c);
    !name.is_empty() && name.trim() == name && name != "." && name != ".." && !name.contains(bad)
}

/// A name that is in the list twice, with or without its brackets.
pub(crate) fn twice(names: &[String]) -> Option<&str> {
    let mut seen = HashSet::new();
    names.iter().map(|name| bare(name)).find(|name| !seen.insert(*name))
}

/// A name without its brackets.
pub(crate) fn bare(name: &str) -> &str {
    name.strip_prefix('<').and_then(|n| n.strip_suffix('>')).unwrap_or(name)
}

/// The names of the folders in `parent`, sorted.
fn folders(parent: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(parent).map_err(|e| {
        Error::data(format!("expected concepts_list.json or the folder {}", parent.display())).with_source(e)
    })?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io("cannot read the folder", parent, e))?.path();
        if let (true, Some(name)) = (path.is_dir(), path.file_name().and_then(|n| n.to_str())) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}
