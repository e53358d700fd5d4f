//! Data sets of photographs without facts: those of Yo'LLaVA, MC-LLaVA and DreamBench.

use std::collections::BTreeMap;
use std::path::Path;

use crate::folder::{Listing, list, list_if_present, within};
use crate::layout::CLASSES;
use crate::{Error, Layout, Result, photo};

/// A concept of such a data set. All paths are relative to the data set.
#[derive(Debug, Default)]
pub(crate) struct PlainConcept {
    pub name: String,
    /// Where its photographs are.
    pub folder: String,
    /// What it is, where the data set says so.
    pub class: Option<String>,
    pub train: Vec<String>,
    pub test: Vec<String>,
    /// What looks like it and is not it.
    pub negatives: Vec<String>,
    /// Files that `convert` has no place for.
    pub left: Vec<String>,
}

/// The classes by name, with the line of each.
pub(crate) type Classes = BTreeMap<String, (String, usize)>;

/// The concepts of `root`, by name, and DreamBench's list of classes where there is one.
pub(crate) fn read(root: &Path, layout: Layout) -> Result<(Vec<PlainConcept>, Option<Classes>)> {
    let (train, test) = match layout {
        Layout::YoLlava => ("train", "test"),
        Layout::McLlava => ("concept/train", "concept/test"),
        _ => ("", "-"),
    };
    let classes = classes(root)?.filter(|_| layout == Layout::DreamBench);
    let mut concepts: Vec<PlainConcept> = Vec::new();
    for name in list_if_present(&root.join(train))?.folders {
        let class = classes.as_ref().and_then(|classes| classes.get(&name)).map(|(class, _)| class.clone());
        let folder = within(train, &name);
        let mut concept = PlainConcept { name, folder, class, ..PlainConcept::default() };
        concept.train = sort(root, &concept.folder.clone(), &mut concept.left)?;
        let negatives = within(&concept.folder, "negative_example");
        concept.negatives = sort(root, &negatives, &mut concept.left)?;
        concepts.push(concept);
    }
    for name in list_if_present(&root.join(test))?.folders {
        let folder = within(test, &name);
        if !concepts.iter().any(|c| c.name == name) {
            concepts.push(PlainConcept { name: name.clone(), folder: folder.clone(), ..PlainConcept::default() });
        }
        for concept in concepts.iter_mut().filter(|c| c.name == name) {
            concept.test = sort(root, &folder, &mut concept.left)?;
        }
    }
    Ok((concepts, classes))
}

/// The photographs of a folder; its other files are left.
fn sort(root: &Path, folder: &str, left: &mut Vec<String>) -> Result<Vec<String>> {
    let Listing { files, folders, .. } = list_if_present(&root.join(folder))?;
    let (mut read, unread) = photo::sort(&files);
    // Here every photograph counts, with a number or without.
    read.extend(unread);
    left.extend(files.iter().filter(|file| !read.contains(file)).map(|file| within(folder, file)));
    left.extend(folders.iter().filter(|f| *f != "negative_example").map(|f| within(folder, f) + "/"));
    Ok(read.iter().map(|file| within(folder, file)).collect())
}

/// The lines `name,class` of `prompts_and_classes.txt`, between its headings.
fn classes(root: &Path) -> Result<Option<Classes>> {
    let path = root.join(CLASSES);
    if !list(root)?.has(CLASSES) {
        return Ok(None);
    }
    let bytes = std::fs::read(&path).map_err(|e| Error::io("cannot read", &path, e))?;
    let text = String::from_utf8_lossy(&bytes);
    let within = text.lines().enumerate().take_while(|(_, line)| line.trim() != "Prompts");
    let pairs = within.filter_map(|(k, line)| Some((k, line.split_once(',')?)));
    let pairs = pairs.filter(|(_, (name, _))| name.trim() != "subject_name");
    let entry = |(k, (name, class)): (usize, (&str, &str))| (name.trim().to_owned(), (class.trim().to_owned(), k + 1));
    Ok(Some(pairs.map(entry).collect()))
}
