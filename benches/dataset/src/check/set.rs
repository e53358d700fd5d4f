//! A data set in the layout of UniCTokens: its lists, and the files of its root.

use super::Checker;
use crate::folder::within;
use crate::json::{pointer, quoted};
use crate::layout::LIST;
use crate::name::{RULE, bare, is_name, nearest};
use crate::schema::Schema;
use crate::{derive, photo};

const TRAIN_IMAGES: &str = "concept/train/train_images.json";

impl Checker<'_> {
    pub(super) fn set(&mut self) {
        let train = self.list("concept/train").folders;
        let test = self.list("concept/test").folders;
        let listed = self.names_listed(&train);
        for (half, folders) in [("concept/train", &train), ("concept/test", &test)] {
            for name in folders {
                self.folder(&within(half, name), name, listed.as_deref(), &train);
            }
        }
        if train.is_empty() {
            let fix = "add a folder of photographs for each concept";
            self.problem(("concept/train", ""), "a folder for each concept", "none", fix);
        }
        self.names.extend(listed.into_iter().flatten().chain(train.iter().cloned()));
        self.names.sort();
        self.names.dedup();
        self.summary.concepts = train.len();
        for name in &train {
            self.concept(name);
        }
        self.train_images(&train);
        self.root_files();
    }

    /// The names of the list, where there is one.
    fn names_listed(&mut self, folders: &[String]) -> Option<Vec<String>> {
        if !self.root.join(LIST).exists() {
            return None;
        }
        let value = self.json(LIST, Schema::ConceptsList)?;
        let mut names: Vec<String> = Vec::new();
        for (k, name) in value.as_array()?.iter().enumerate() {
            let Some(name) = name.as_str().map(bare) else { continue };
            let place = pointer("", k);
            let at = (LIST, place.as_str());
            if names.iter().any(|n| n == name) {
                self.problem(at, "every concept once", format!("{} again", quoted(name)), "remove one of the two");
            } else if name.trim().is_empty() {
                // The schema has said so.
            } else if !is_name(name) {
                self.problem(at, RULE, quoted(name), "rename the concept, its folders and its tokens");
            } else if !folders.iter().any(|folder| folder == name) {
                let all: Vec<&str> = folders.iter().map(String::as_str).collect();
                let fix = match nearest(name, &all) {
                    Some(near) => format!("write {near:?}, or add the folder"),
                    None => "add the folder, or remove the name".to_owned(),
                };
                self.problem(at, format!("a folder concept/train/{name}"), "no such folder", fix);
            }
            names.push(name.to_owned());
        }
        Some(names)
    }

    /// The folder of a concept, in either half.
    fn folder(&mut self, path: &str, name: &str, listed: Option<&[String]>, train: &[String]) {
        if !is_name(name) {
            self.problem((path, ""), RULE, quoted(name), "rename the folder, in both halves, and its tokens");
        }
        if listed.is_some_and(|listed| !listed.iter().any(|n| n == name)) {
            let got = format!("a folder whose name is not in {LIST}");
            self.problem(
                (path, ""),
                format!("the folder of a concept of {LIST}"),
                got,
                "add the name there, or remove it",
            );
        }
        if !train.iter().any(|n| n == name) {
            let expected = format!("a folder concept/train/{name} as well");
            self.problem((path, ""), expected, "the held-out half alone", "add the folder, or remove this one");
        }
    }

    fn train_images(&mut self, folders: &[String]) {
        if !self.root.join(TRAIN_IMAGES).exists() {
            return;
        }
        let Some(value) = self.json(TRAIN_IMAGES, Schema::TrainImages) else { return };
        for (name, files) in value.as_object().into_iter().flatten() {
            let place = pointer("", name);
            if !folders.contains(name) {
                let fix = "correct the name, or remove the entry";
                self.problem((TRAIN_IMAGES, &place), "the name of a concept", format!("{name:?}"), fix);
                continue;
            }
            for (k, file) in files.as_array().into_iter().flatten().enumerate() {
                let missing = |file: &&str| !self.root.join("concept/train").join(name).join(file).is_file();
                if let Some(file) = file.as_str().filter(missing) {
                    let expected = format!("a file of concept/train/{name}");
                    let fix = "add the photograph, or remove it from the list";
                    self.problem(
                        (TRAIN_IMAGES, &pointer(&place, k)),
                        expected,
                        format!("{file:?}, which is not there"),
                        fix,
                    );
                }
            }
        }
    }

    /// What is beside the concepts.
    fn root_files(&mut self) {
        for (folder, allowed) in
            [("concept", &[][..]), ("concept/train", &["train_images.json"]), ("concept/test", &[])]
        {
            for file in self.list(folder).files.iter().filter(|file| !allowed.contains(&file.as_str())) {
                self.unread(&within(folder, file), "folders of concepts");
            }
        }
        let top = self.list("");
        for file in &top.files {
            match file.as_str() {
                LIST => {}
                "template.json" => _ = self.json(file, Schema::Template),
                _ if file.starts_with("black_") && photo::is_photograph(file) => _ = self.picture(file),
                // Texts for people, and scripts.
                _ if file.ends_with(".md") || file.ends_with(".py") || file.starts_with("LICENSE") => {}
                _ => self.unread(file, "files of a data set"),
            }
        }
        for folder in &top.folders {
            match folder.as_str() {
                "concept" => {}
                "random_images" => _ = self.pictures(folder),
                _ if derive::FOLDERS.contains(&folder.as_str()) => self.derived(folder),
                _ => self.unread(folder, "folders of a data set"),
            }
        }
    }

    /// Files that `derive` has made.
    fn derived(&mut self, folder: &str) {
        for file in self.list(folder).files {
            let path = within(folder, &file);
            if !self.names.iter().any(|name| file.strip_suffix(".json") == Some(name)) {
                self.unread(&path, "<name>.json of a concept");
            } else if let Some(value) = self.json(&path, Schema::TrainingData) {
                self.tokens((&path, ""), &value);
            }
        }
    }
}
