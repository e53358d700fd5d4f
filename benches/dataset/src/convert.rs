//! Rewrites data sets of other layouts to that of UniCTokens.

use std::path::Path;

use serde_json::json;

use crate::layout::{BLACK, LIST};
use crate::plain::{self, PlainConcept};
use crate::staged::Staged;
use crate::{Error, Layout, Report, Result, check, photo};

/// What became of a data set.
#[derive(Debug)]
pub struct Converted {
    /// The layout that it had.
    pub from: Layout,
    /// Its files for which there is no place, relative to it.
    pub left: Vec<String>,
    /// The check of what was written. Its problems are what the user has to write: facts, prompts, and classes where the data
    /// set did not say them. Nothing is invented.
    pub report: Report,
}

/// Copies the concepts in `from`, whatever its layout, to the new folder `out`, in the layout of UniCTokens. Photographs are numbered
/// and keep their format; the last `test` of each concept become the held-out half where the data set has none.
///
/// # Errors
/// [`Data`](crate::ErrorKind::Data) when `from` has that layout already or none that is known, or a concept has not more than
/// `test` photographs; [`Exists`](crate::ErrorKind::Exists) when `out` is there; [`Io`](crate::ErrorKind::Io).
pub fn convert(from: &Path, out: &Path, test: usize) -> Result<Converted> {
    let layout = Layout::of(from)?;
    if layout == Layout::UniCTokens {
        return Err(Error::data(format!("{} has the layout of UniCTokens already", from.display())));
    }
    if out.exists() {
        return Err(Error::exists(out, "choose another folder"));
    }
    let (mut concepts, _) = plain::read(from, layout)?;
    let staged = Staged::within(out.parent().unwrap_or(out))?;
    let mut left = Vec::new();
    for concept in &mut concepts {
        if concept.test.is_empty() && test > 0 {
            let all = concept.train.len();
            let Some(training) = all.checked_sub(test).filter(|training| *training > 0) else {
                let name = &concept.name;
                return Err(Error::data(format!(
                    "--test: expected fewer than the {all} photographs of {name}, got {test}"
                )));
            };
            concept.test = concept.train.split_off(training);
        }
        write(&staged, from, concept)?;
        left.append(&mut concept.left);
    }
    staged.json(LIST, &concepts.iter().map(|c| &c.name).collect::<Vec<_>>())?;
    staged.write(BLACK, &photo::black(512)?)?;
    let report = check(staged.root())?;
    staged.publish(&[(String::new(), out.to_owned())], false)?;
    Ok(Converted { from: layout, left, report })
}

fn write(staged: &Staged, from: &Path, concept: &mut PlainConcept) -> Result<()> {
    let read = |file: &str| {
        let path = from.join(file);
        std::fs::read(&path).map_err(|e| Error::io("cannot read", &path, e))
    };
    for (half, files) in [("train", &concept.train), ("test", &concept.test)] {
        let folder = format!("concept/{half}/{}", concept.name);
        staged.folder(&folder)?;
        for (k, file) in files.iter().enumerate() {
            let bytes = read(file)?;
            let ending = match photo::format(&bytes) {
                Some(format) => photo::right_ending(file, format),
                None => photo::ending(file).unwrap_or_default(),
            };
            staged.write(&format!("{folder}/{k}.{ending}"), &bytes)?;
        }
    }
    let train = format!("concept/train/{}", concept.name);
    // The scores name these files, so they keep their names.
    let scores = format!("{}/negative_example/score.json", concept.folder);
    let scores: Vec<String> = concept.left.extract_if(.., |file| *file == scores).collect();
    for file in concept.negatives.iter().chain(&scores) {
        let name = file.rsplit('/').next().unwrap_or(file);
        staged.write(&format!("{train}/negative_example/{name}"), &read(file)?)?;
    }
    let mut info = json!({"name": concept.name});
    if let Some(class) = concept.class.as_ref().filter(|class| !class.is_empty()) {
        info["class"] = class.as_str().into();
    }
    staged.json(&format!("{train}/info.json"), &info)
}
