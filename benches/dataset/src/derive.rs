//! Derives the training samples that UniCTokens' `pdata.py` reads: `showo_training_data_stage_{1,2,3}/<name>.json`.
//!
//! Each file is an array of samples: a picture, a question from `human` and an answer from `gpt`. Which samples the public scripts put
//! into each stage is not known; this is what is made here, of the training half alone:
//!
//! | samples | made of | stage 1 | stage 2 | stage 3 |
//! |---|---|---|---|---|
//! | positive | training photographs and `positive_recognitions.json` | every question about every photograph | one drawn for each photograph | every question about every photograph |
//! | easy negative | `random_images/` and `random_recognitions.json` | one question drawn for each picture | | |
//! | hard negative | `negative_example/` and `random_recognitions.json` | one drawn for each picture | | every question about every picture |
//! | conversation | `conversations.json` | all | all | all |
//! | text only | `text_only` of `conversations.json`, on the black picture | all | all | all |
//!
//! Stage 1 warms the understanding up; stage 2 trains generation and keeps alive what was understood; stage 3 deepens it with what is hard
//! to tell apart. Hard negatives are in the order of their scores, the hardest first, then those without one; so
//! [`hard_negatives`](DeriveOptions::hard_negatives) keeps the hardest. What is drawn depends on the seed, the concept, the stage and the
//! picture's name, and on nothing else: other pictures change nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::folder::{list, list_if_present};
use crate::layout::{BLACK, LIST};
use crate::name::bare;
use crate::report::count;
use crate::staged::Staged;
use crate::wording::Exchange;
use crate::{Error, Layout, Result, check, photo};

/// The folders of derived files, stage 1 first.
pub const FOLDERS: [&str; 3] =
    ["showo_training_data_stage_1", "showo_training_data_stage_2", "showo_training_data_stage_3"];

/// How samples are derived.
#[derive(Debug, Clone, Default)]
pub struct DeriveOptions {
    /// What is drawn follows from it.
    pub seed: u64,
    /// The folder that the three folders are written to. `None`: the data set's own.
    pub out: Option<PathBuf>,
    /// What the paths of pictures begin with. `None`: the data set's folder, as it was given.
    pub prefix: Option<String>,
    /// At most so many hard negatives of each concept, the hardest. `None`: all.
    pub hard_negatives: Option<usize>,
}

/// How many samples a concept has in each stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// The concept's name.
    pub name: String,
    /// Samples of stages 1, 2 and 3.
    pub samples: [usize; 3],
}

#[derive(Serialize)]
struct Sample {
    image: String,
    conversations: [Turn; 2],
}

#[derive(Serialize)]
struct Turn {
    from: &'static str,
    value: String,
}

/// Derives the samples of every concept of the data set in `dir`.
///
/// # Errors
/// [`Data`](crate::ErrorKind::Data) when the data set has problems (see [`check`]), or no black picture for the
/// questions without one; [`Exists`](crate::ErrorKind::Exists) when there are derived files; [`Io`](crate::ErrorKind::Io).
pub fn derive(dir: &Path, options: &DeriveOptions) -> Result<Vec<Derived>> {
    let report = check(dir)?;
    if report.layout != Layout::UniCTokens {
        return Err(Error::data(format!(
            "{} has the layout of {}; `convert` rewrites it",
            dir.display(),
            report.layout
        )));
    }
    if !report.is_ok() {
        let problems = count(report.problems.len(), "problem");
        return Err(Error::data(format!("{} has {problems}; `check` says more", dir.display())));
    }
    let source = Source::open(dir, options)?;
    let out = options.out.as_deref().unwrap_or(dir);
    if let Some(there) = FOLDERS.map(|folder| out.join(folder)).iter().find(|folder| folder.exists()) {
        return Err(Error::exists(there, "remove the derived folders, or give another --out"));
    }
    let staged = Staged::within(out)?;
    let mut derived = Vec::new();
    for name in &source.names {
        let stages = source.concept(name)?;
        for (folder, samples) in FOLDERS.iter().zip(&stages) {
            staged.json(&format!("{folder}/{name}.json"), samples)?;
        }
        derived.push(Derived { name: name.clone(), samples: stages.map(|samples| samples.len()) });
    }
    staged.publish(&FOLDERS.map(|folder| (folder.to_owned(), out.join(folder))), false)?;
    Ok(derived)
}

/// A data set that has passed its check.
struct Source<'a> {
    dir: &'a Path,
    options: &'a DeriveOptions,
    prefix: String,
    names: Vec<String>,
    train_images: BTreeMap<String, Vec<String>>,
    random: Vec<String>,
    black: Option<String>,
}

impl<'a> Source<'a> {
    fn open(dir: &'a Path, options: &'a DeriveOptions) -> Result<Self> {
        let prefix = options.prefix.clone().unwrap_or_else(|| dir.display().to_string());
        let names = match json(dir, LIST)? {
            Some::<Vec<String>>(names) => names.iter().map(|name| bare(name).to_owned()).collect(),
            None => list(&dir.join("concept/train"))?.folders,
        };
        let black = list(dir)?.files.into_iter().find(|file| file.starts_with("black_") && photo::is_photograph(file));
        Ok(Self {
            dir,
            options,
            prefix: prefix.trim_end_matches('/').to_owned(),
            names,
            train_images: json(dir, "concept/train/train_images.json")?.unwrap_or_default(),
            random: pictures(dir, "random_images")?,
            black,
        })
    }

    /// The samples of a concept, by stage.
    fn concept(&self, name: &str) -> Result<[Vec<Sample>; 3]> {
        let folder = format!("concept/train/{name}");
        let file = |file: &str| format!("{folder}/{file}");
        let photographs = match self.train_images.get(name) {
            Some(listed) => listed.clone(),
            None => photo::sort(&list(&self.dir.join(&folder))?.files).0,
        };
        let photographs: Vec<String> = photographs.iter().map(|photograph| file(photograph)).collect();
        let yes: Vec<Exchange> = json(self.dir, &file("positive_recognitions.json"))?.unwrap_or_default();
        let no: Vec<Exchange> = json(self.dir, &file("random_recognitions.json"))?.unwrap_or_default();
        let mut asked: BTreeMap<String, Vec<Exchange>> =
            json(self.dir, &file("conversations.json"))?.unwrap_or_default();
        let text_only = asked.remove("text_only").unwrap_or_default();
        let hard = self.hard_negatives(&file("negative_example"))?;

        let mut stages = [1, 2, 3].map(|stage| {
            let draw = |picture: &str, from: &'_ [Exchange]| self.draw(name, stage, picture, from.len());
            let every = |pictures: &[String], from: &[Exchange]| self.every(pictures, from);
            let one = |pictures: &[String], from: &[Exchange]| self.one(pictures, from, draw);
            match stage {
                1 => {
                    [every(&photographs, &yes), one(&self.random, &no), one(&hard, &no)].into_iter().flatten().collect()
                }
                2 => one(&photographs, &yes),
                _ => [every(&photographs, &yes), every(&hard, &no)].into_iter().flatten().collect::<Vec<_>>(),
            }
        });
        for samples in &mut stages {
            for photograph in &photographs {
                let about = |key: &&String| photo::stem(key) == photo::stem(photograph);
                let questions = asked.keys().find(about).and_then(|key| asked.get(key)).map_or(&[][..], Vec::as_slice);
                samples.extend(questions.iter().map(|exchange| self.sample(photograph, exchange)));
            }
            if !text_only.is_empty() {
                let black = self.black.as_deref().ok_or_else(|| {
                    Error::data(format!(
                        "{}: expected {BLACK} for the questions `text_only` of {folder}/conversations.json, got none; \
                         add a black picture of that name",
                        self.dir.display()
                    ))
                })?;
                samples.extend(text_only.iter().map(|exchange| self.sample(black, exchange)));
            }
        }
        Ok(stages)
    }

    /// Every question about every picture.
    fn every(&self, pictures: &[String], from: &[Exchange]) -> Vec<Sample> {
        pictures.iter().flat_map(|picture| from.iter().map(|exchange| self.sample(picture, exchange))).collect()
    }

    /// One question about every picture.
    fn one(&self, pictures: &[String], from: &[Exchange], draw: impl Fn(&str, &[Exchange]) -> usize) -> Vec<Sample> {
        let drawn = |picture: &String| Some(self.sample(picture, from.get(draw(picture, from))?));
        pictures.iter().filter_map(drawn).collect()
    }

    fn sample(&self, picture: &str, exchange: &Exchange) -> Sample {
        let human = Turn { from: "human", value: format!("<image>\n{}", exchange.query) };
        let gpt = Turn { from: "gpt", value: exchange.answer.clone() };
        Sample { image: format!("{}/{picture}", self.prefix), conversations: [human, gpt] }
    }

    /// A number below `n`, or 0.
    fn draw(&self, name: &str, stage: usize, picture: &str, n: usize) -> usize {
        let key = format!("{}\n{name}\n{stage}\n{picture}", self.options.seed);
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&Sha256::digest(key)[..8]);
        (u64::from_le_bytes(bytes) % n.max(1) as u64) as usize
    }

    /// The hardest first.
    fn hard_negatives(&self, folder: &str) -> Result<Vec<String>> {
        let scores: BTreeMap<String, f64> = json(self.dir, &format!("{folder}/score.json"))?.unwrap_or_default();
        let score = |file: &str| {
            let name = file.rsplit('/').next().unwrap_or(file);
            scores.get(name).copied().unwrap_or(f64::NEG_INFINITY)
        };
        let mut files = pictures(self.dir, folder)?;
        files.sort_by(|a, b| score(b).total_cmp(&score(a)));
        files.truncate(self.options.hard_negatives.unwrap_or(usize::MAX));
        Ok(files)
    }
}

/// The pictures of a folder, by name.
fn pictures(dir: &Path, folder: &str) -> Result<Vec<String>> {
    let files = list_if_present(&dir.join(folder))?.files;
    Ok(files.into_iter().filter(|file| photo::is_photograph(file)).map(|file| format!("{folder}/{file}")).collect())
}

/// The value of a file, where there is one.
fn json<T: DeserializeOwned>(dir: &Path, file: &str) -> Result<Option<T>> {
    let path = dir.join(file);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = std::fs::read(&path).map_err(|e| Error::io("cannot read", &path, e))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::data(format!("{}: {e}", path.display())))
}
