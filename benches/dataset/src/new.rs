//! Begins a concept of one's own: from photographs and some lines of text.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::check::{Around, check_among, seen_in};
use crate::folder::{Listing, list, list_if_present};
use crate::layout::{BLACK, LIST};
use crate::name::{RULE, bare};
use crate::staged::Staged;
use crate::wording::Exchange;
use crate::{Error, Layout, Report, Result, is_name, photo, wording};

/// A concept that is begun.
#[derive(Debug, Clone)]
pub struct NewConcept {
    /// Its name, without brackets.
    pub name: String,
    /// What it is, such as `cat`.
    pub class: String,
    /// The folder of its photographs: PNG and JPEG.
    pub photos: PathBuf,
    /// What is known about it, with a prompt that needs it. Empty: the sentence [`info`](Self::info) is the only fact.
    pub facts: Vec<Fact>,
    /// How many of the photographs, the last by name, are held out. `None`: a quarter, at least 1 where there are 2 or more.
    pub test: Option<usize>,
    /// A sentence about it. `None`: what it is, such as `<miso> is a cat.`
    pub info: Option<String>,
    /// What sort of concept it is.
    pub kind: Option<ConceptType>,
}

/// The `conversation_type` of a concept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ConceptType {
    /// A person.
    Human,
    /// An animal.
    Animal,
    /// A thing.
    Object,
}

impl fmt::Display for ConceptType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Human => "human",
            Self::Animal => "animal",
            Self::Object => "object",
        })
    }
}

/// A fact about a concept and a prompt that needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The fact, in a sentence.
    pub text: String,
    /// What is to be painted with the fact in mind, without saying it.
    pub prompt: String,
}

impl Fact {
    /// Reads lines `fact | prompt`. Empty lines and those that begin with `#` are left out.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) naming every line without both halves.
    pub fn parse(text: &str) -> Result<Vec<Self>> {
        let (mut facts, mut bad) = (Vec::new(), Vec::new());
        let lines = text.trim_start_matches('\u{feff}').lines().enumerate().map(|(k, line)| (k + 1, line.trim()));
        for (k, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            match line.split_once('|').map(|(fact, prompt)| (fact.trim(), prompt.trim())) {
                Some((fact, prompt)) if !fact.is_empty() && !prompt.is_empty() => {
                    facts.push(Self { text: fact.to_owned(), prompt: prompt.to_owned() });
                }
                _ => bad.push(format!("line {k}: expected `fact | prompt`, got {line:?}")),
            }
        }
        if bad.is_empty() { Ok(facts) } else { Err(Error::data(bad.join("\n"))) }
    }
}

/// Begins `concept` in the data set in the folder `dir`, which is made where it is not there. What is written has passed
/// [`check`](crate::check); its report is returned. Nothing is written when there is any error.
///
/// # Errors
/// [`Exists`](crate::ErrorKind::Exists) when the data set has a concept of that name; [`Data`](crate::ErrorKind::Data) when
/// `dir` is another kind of folder, or with everything that is wrong with the photographs, the name or the texts;
/// [`Io`](crate::ErrorKind::Io).
pub fn begin(dir: &Path, concept: &NewConcept) -> Result<Report> {
    if !is_name(&concept.name) {
        return Err(Error::data(format!("--name: expected {RULE}, got {:?}", concept.name)));
    }
    let there = list_if_present(dir)?;
    let begun = !(there.files.is_empty() && there.folders.is_empty());
    let names = if begun { names(dir, concept)? } else { Names::default() };
    let photographs = photographs(&concept.photos)?;
    let test = held_out(photographs.len(), concept.test)?;
    let beside = if dir.exists() { dir } else { dir.parent().unwrap_or(dir) };
    let staged = Staged::within(beside)?;
    write(&staged, concept, &photographs, test)?;
    let around = Around { names: names.all.clone(), seen: seen_in(dir)? };
    let report = check_among(staged.root(), &around)?;
    if !report.is_ok() {
        return Err(Error::data(format!("nothing was written: it would not pass its check\n\n{report}")));
    }
    publish(staged, dir, begun, concept, names)?;
    Ok(report)
}

/// The concepts of a data set that is there.
#[derive(Default)]
struct Names {
    all: Vec<String>,
    /// `concepts_list.json`, where there is one.
    list: Option<Vec<Value>>,
}

fn names(dir: &Path, concept: &NewConcept) -> Result<Names> {
    if !matches!(Layout::of(dir), Ok(Layout::UniCTokens)) {
        return Err(Error::data(format!(
            "{}: expected an empty or new folder, or a data set in the layout of UniCTokens, got another folder",
            dir.display()
        )));
    }
    for half in ["concept/train", "concept/test"] {
        let folder = dir.join(half).join(&concept.name);
        if folder.exists() {
            return Err(Error::exists(&folder, "choose another --name"));
        }
    }
    let mut all = list_if_present(&dir.join("concept/train"))?.folders;
    let path = dir.join(LIST);
    if !path.exists() {
        return Ok(Names { all, list: None });
    }
    let bytes = std::fs::read(&path).map_err(|e| Error::io("cannot read", &path, e))?;
    let list: Vec<Value> = serde_json::from_slice(&bytes)
        .map_err(|e| Error::data(format!("{}: {e}; `check` says more", path.display())))?;
    let listed = list.iter().filter_map(Value::as_str).map(bare);
    if listed.clone().any(|name| name == concept.name) {
        return Err(Error::data(format!("{} has the name {:?} already", path.display(), concept.name)));
    }
    all.extend(listed.map(str::to_owned));
    Ok(Names { all, list: Some(list) })
}

/// A photograph: the ending that its format has, and its bytes.
type Photograph = (String, Vec<u8>);

/// The photographs of `folder`, by number or name.
fn photographs(folder: &Path) -> Result<Vec<Photograph>> {
    let Listing { mut files, .. } = list(folder)?;
    files.retain(|file| (photo::is_photograph(file) && !photo::is_mask(file)) || photo::is_other_picture(file));
    files.sort_by_key(|file| (photo::stem(file).parse::<u64>().unwrap_or(u64::MAX), file.clone()));
    let (mut read, mut bad, mut seen) = (Vec::new(), Vec::new(), BTreeMap::new());
    for file in files {
        let path = folder.join(&file);
        let bytes = std::fs::read(&path).map_err(|e| Error::io("cannot read", &path, e))?;
        match photo::decode(&bytes) {
            Err(fault) => bad.push(format!("{}: {}; {}", path.display(), fault.got, fault.fix)),
            Ok((format, _)) => {
                let digest = Sha256::digest(&bytes).to_vec();
                if let Some(first) = seen.insert(digest, file.clone()) {
                    bad.push(format!("{}: the same photograph as {first}; remove one of the two", path.display()));
                }
                read.push((photo::right_ending(&file, format), bytes));
            }
        }
    }
    if read.is_empty() && bad.is_empty() {
        bad.push(format!("{}: expected photographs (PNG, JPEG), got none", folder.display()));
    }
    if bad.is_empty() { Ok(read) } else { Err(Error::data(bad.join("\n"))) }
}

/// How many of `all` photographs are held out.
fn held_out(all: usize, asked: Option<usize>) -> Result<usize> {
    let quarter = if all < 2 { 0 } else { (all / 4).max(1) };
    let test = asked.unwrap_or(quarter);
    if test < all {
        return Ok(test);
    }
    Err(Error::data(format!(
        "--test: expected fewer than the {all} photographs, so that one is for training, got {test}"
    )))
}

/// `info.json`.
#[derive(Serialize)]
struct Info<'a> {
    name: &'a str,
    class: &'a str,
    info: &'a str,
    extra_info: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_testing_info: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_type: Option<String>,
}

/// Writes a data set of this concept alone.
fn write(staged: &Staged, concept: &NewConcept, photographs: &[Photograph], test: usize) -> Result<()> {
    let NewConcept { name, class, .. } = concept;
    let what = wording::what(name, class);
    let info = concept.info.clone().unwrap_or_else(|| what.clone());
    let facts = match concept.facts.as_slice() {
        [] => vec![Fact { text: info.clone(), prompt: wording::plain_photograph(name) }],
        facts => facts.to_vec(),
    };
    let (training, testing) = (photographs.len() - test, facts.len() / 2);
    let about = Info {
        name,
        class,
        info: &info,
        extra_info: facts.iter().map(|fact| fact.text.as_str()).collect(),
        num_testing_info: (testing > 0).then_some(testing),
        conversation_type: concept.kind.map(|kind| kind.to_string()),
    };
    let halves = [("train", &photographs[..training]), ("test", &photographs[training..])];
    let [mut conversations, vqa] = halves.map(|(_, photographs)| {
        let files = photographs.iter().enumerate().map(|(k, (ending, _))| format!("{k}.{ending}"));
        let asked = |file| (file, vec![Exchange::new(wording::what_is_seen(name), &what)]);
        files.map(asked).collect::<BTreeMap<_, _>>()
    });
    let needs = |fact: &Fact| Exchange::new(wording::what_is_needed(name, &fact.prompt), &fact.text);
    let known = [Exchange::new(wording::what_is_known(name), &info)].into_iter();
    let known = known.chain(facts[..facts.len() - testing].iter().map(needs)).collect();
    conversations.insert("text_only".to_owned(), known);
    let recognitions = |answer| wording::is_seen(name).map(|query| Exchange::new(query, answer));
    let prompts: Vec<&str> = facts.iter().map(|fact| fact.prompt.as_str()).collect();

    for (half, photographs) in halves {
        staged.folder(&format!("concept/{half}/{name}"))?;
        for (k, (ending, bytes)) in photographs.iter().enumerate() {
            staged.write(&format!("concept/{half}/{name}/{k}.{ending}"), bytes)?;
        }
    }
    let train = |file: &str| format!("concept/train/{name}/{file}");
    let tests = |file: &str| format!("concept/test/{name}/{file}");
    staged.json(&train("info.json"), &about)?;
    staged.json(&train("conversations.json"), &conversations)?;
    staged.json(&train("positive_recognitions.json"), &recognitions("Yes."))?;
    staged.json(&train("random_recognitions.json"), &recognitions("No."))?;
    staged.json(&tests("t2i_conditions.json"), &json!({"personalized_driven_generation": prompts}))?;
    staged.json(&tests("vqa.json"), &vqa)?;
    staged.json(&tests("text_only.json"), &facts.iter().map(needs).collect::<Vec<_>>())?;
    staged.json(LIST, &[name])?;
    staged.write(BLACK, &photo::black(512)?)
}

/// Moves the concept into the data set, and its name into the list.
fn publish(staged: Staged, dir: &Path, begun: bool, concept: &NewConcept, names: Names) -> Result<()> {
    if !dir.exists() {
        return staged.publish(&[(String::new(), dir.to_owned())], false);
    }
    let mut moves: Vec<String> = if begun {
        ["train", "test"].map(|half| format!("concept/{half}/{}", concept.name)).to_vec()
    } else {
        vec!["concept".to_owned(), BLACK.to_owned(), LIST.to_owned()]
    };
    let replaces = names.list.is_some();
    if let Some(mut list) = names.list {
        list.push(concept.name.as_str().into());
        staged.json(LIST, &list)?;
        moves.push(LIST.to_owned());
    }
    let moves: Vec<_> = moves.into_iter().map(|path| (path.clone(), dir.join(path))).collect();
    staged.publish(&moves, replaces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_facts_has_a_prompt() {
        let facts = Fact::parse("\u{feff}# facts\n\n<a> is red. | a photo of <a> | now\r\n").unwrap_or_default();
        let fact = Fact { text: "<a> is red.".into(), prompt: "a photo of <a> | now".into() };
        assert_eq!(facts, [fact]);
        let error = Fact::parse("one\ntwo | 2\n| three\n").map(|_| ()).map_err(|e| e.to_string());
        let expected =
            "line 1: expected `fact | prompt`, got \"one\"\nline 3: expected `fact | prompt`, got \"| three\"";
        assert_eq!(error, Err(expected.to_owned()));
    }

    #[test]
    fn one_photograph_is_always_for_training() {
        let held_out = |all, asked| held_out(all, asked).ok();
        assert_eq!([1, 2, 7, 8].map(|n| held_out(n, None)), [Some(0), Some(1), Some(1), Some(2)]);
        assert_eq!((held_out(3, Some(2)), held_out(3, Some(3))), (Some(2), None));
    }
}
