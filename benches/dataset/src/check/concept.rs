//! The two folders of one concept.

use serde_json::Value;

use super::{Checker, Half};
use crate::folder::{Listing, within};
use crate::json::pointer;
use crate::name::bare;
use crate::photo;
use crate::schema::Schema;

/// The key of questions that are about no photograph.
const TEXT_ONLY: &str = "text_only";

/// Files of `concept/train/<name>` that may be missing, and what is then missing.
const TRAIN: [(&str, Schema, &str); 3] = [
    ("conversations.json", Schema::Conversations, "questions about its training photographs"),
    ("positive_recognitions.json", Schema::PositiveRecognitions, "questions for `derive`, answered with yes"),
    ("random_recognitions.json", Schema::RandomRecognitions, "questions for `derive`, answered with no"),
];
/// Files of `concept/test/<name>` that may be missing.
const TEST: [(&str, Schema, &str); 2] = [
    ("vqa.json", Schema::Vqa, "questions about its held-out photographs"),
    ("text_only.json", Schema::TextOnly, "questions without a photograph"),
];
/// The file of questions about dense prompts, which few have.
const DENSE: &str = "dense_reasoning.json";
/// The truth of unifybench's own scenes.
const SCENES: &str = "scenes.json";

impl Checker<'_> {
    pub(super) fn concept(&mut self, name: &str) {
        let facts = self.train(name);
        self.test(name, facts);
    }

    /// The training half: how many facts there are.
    fn train(&mut self, name: &str) -> Option<usize> {
        let folder = within("concept/train", name);
        let listing = self.list(&folder);
        let photographs = self.own_photographs(&folder, &listing, Half::Train);
        if photographs.is_empty() {
            let fix = "add photographs, such as 0.png";
            self.problem((&folder, ""), "photographs: 0.png, 0.jpg, ...", "none", fix);
        }
        let facts = self.info(&folder, name, &listing);
        for file in TRAIN {
            self.optional(name, &folder, &listing, file);
        }
        let known = ["info.json", SCENES].into_iter().chain(TRAIN.map(|(file, ..)| file));
        self.others(&folder, &listing, known, &["cropped", "negative_example"]);
        if listing.has_folder("cropped") {
            self.pictures(&within(&folder, "cropped"));
        } else {
            let fix = "crop the concept out of each photograph, where you want this; the engine does not need it";
            self.warn((&folder, ""), "a folder cropped/ for UniCTokens' own scripts", "none", fix);
        }
        if listing.has_folder("negative_example") {
            self.negatives(&within(&folder, "negative_example"));
        }
        facts
    }

    fn test(&mut self, name: &str, facts: Option<usize>) {
        let folder = within("concept/test", name);
        if !self.root.join(&folder).is_dir() {
            let fix = "add the folder with t2i_conditions.json, and photographs that are not for training";
            self.problem((&folder, ""), "the folder of the held-out half", "no such folder", fix);
            return;
        }
        let listing = self.list(&folder);
        if self.own_photographs(&folder, &listing, Half::Test).is_empty() {
            let fix = "keep some photographs from training and move them here";
            self.warn((&folder, ""), "held-out photographs", "none", fix);
        }
        let path = within(&folder, "t2i_conditions.json");
        if !listing.has("t2i_conditions.json") {
            let fix = "add it: one prompt for each fact of info.json";
            self.problem((&path, ""), "the reasoning prompts", "no such file", fix);
        } else if let Some(value) = self.json(&path, Schema::Conditions) {
            self.prompts(name, &path, &value, facts);
            self.tokens((&path, ""), &value);
        }
        for file in TEST {
            self.optional(name, &folder, &listing, file);
        }
        if listing.has(DENSE) {
            self.optional(name, &folder, &listing, (DENSE, Schema::DenseReasoning, ""));
        }
        let known = ["t2i_conditions.json", DENSE, SCENES].into_iter().chain(TEST.map(|(file, ..)| file));
        self.others(&folder, &listing, known, &[]);
    }

    /// What the concept is: how many facts are known about it.
    fn info(&mut self, folder: &str, name: &str, listing: &Listing) -> Option<usize> {
        let path = within(folder, "info.json");
        if !listing.has("info.json") {
            let fix = "add it, with the keys `class` and `extra_info`";
            self.problem((&path, ""), "what the concept is, and its facts", "no such file", fix);
            return None;
        }
        let value = self.json(&path, Schema::Info)?;
        let said = value.get("name").and_then(Value::as_str).map(bare);
        if let Some(said) = said.filter(|said| *said != name && !said.trim().is_empty()) {
            let fix = "correct it, or remove the key";
            self.problem((&path, "/name"), format!("{name:?}, the name of the folder"), format!("{said:?}"), fix);
        }
        self.tokens((&path, ""), &value);
        self.facts(&path, &value)
    }

    /// A file of questions that may be missing.
    fn optional(&mut self, name: &str, folder: &str, listing: &Listing, (file, schema, what): (&str, Schema, &str)) {
        let path = within(folder, file);
        if !listing.has(file) {
            self.warn((&path, ""), what, "no such file", "add it, where you want these");
        } else if let Some(value) = self.json(&path, schema) {
            self.tokens((&path, ""), &value);
            match schema {
                Schema::Conversations | Schema::Vqa => self.about_photographs(name, &path, &value, folder, listing),
                _ => self.questions(name, (&path, ""), &value),
            }
        }
    }

    /// Questions by the names of photographs, which `folder` must have.
    fn about_photographs(&mut self, name: &str, path: &str, value: &Value, folder: &str, listing: &Listing) {
        for (key, questions) in value.as_object().into_iter().flatten() {
            let place = pointer("", key);
            self.questions(name, (path, &place), questions);
            // As the engine does it, by the name without its ending.
            let named = |file: &&String| photo::is_photograph(file) && photo::stem(file) == photo::stem(key);
            if key != TEXT_ONLY && listing.files.iter().find(named).is_none() {
                let got = format!("questions about {key:?}, which is not there");
                let fix = "add the photograph, or remove its questions";
                self.problem((path, &place), format!("the name of a photograph of {folder}"), got, fix);
            }
        }
    }

    fn own_photographs(&mut self, folder: &str, listing: &Listing, half: Half) -> Vec<String> {
        let (read, unread) = photo::sort(&listing.files);
        self.photographs(folder, &read, half);
        for file in unread {
            let fix = "give it a number that is free, or remove it";
            let got = "a photograph that is not read: it has no number, or another has it";
            self.warn((&within(folder, &file), ""), "photographs 0, 1, 2, ... with each number once", got, fix);
        }
        read
    }

    fn negatives(&mut self, folder: &str) {
        let files = self.pictures(folder);
        let path = within(folder, "score.json");
        for file in files.iter().filter(|file| !photo::is_photograph(file) && *file != "score.json") {
            self.unread(&within(folder, file), "pictures and score.json");
        }
        if !files.iter().any(|file| file == "score.json") {
            return;
        }
        let Some(value) = self.json(&path, Schema::Score) else { return };
        for key in value.as_object().into_iter().flat_map(|map| map.keys()).filter(|key| !files.contains(key)) {
            let fix = format!("add the file to {folder}, or remove the entry");
            let got = format!("{key:?}, which is not there");
            self.problem((&path, &pointer("", key)), "the name of a picture of this folder", got, fix);
        }
        for file in files.iter().filter(|file| photo::is_photograph(file) && value.get(file).is_none()) {
            let fix = "add its score, or leave it: it is taken for the easiest";
            self.warn((&path, ""), "a score for each picture", format!("none for {file:?}"), fix);
        }
    }

    /// Files and folders that are none of a concept's.
    fn others<'a>(
        &mut self,
        folder: &str,
        listing: &Listing,
        files: impl IntoIterator<Item = &'a str>,
        folders: &[&str],
    ) {
        let files: Vec<&str> = files.into_iter().collect();
        for file in &listing.files {
            let path = within(folder, file);
            if photo::is_other_picture(file) {
                let fix = "convert it to PNG or JPEG, or remove it";
                self.warn((&path, ""), "photographs in PNG or JPEG", "a picture that nobody reads", fix);
            } else if !photo::is_photograph(file) && !files.contains(&file.as_str()) {
                self.unread(&path, "files of a concept");
            }
        }
        for unknown in listing.folders.iter().filter(|f| !folders.contains(&f.as_str())) {
            self.unread(&within(folder, unknown), "folders of a concept");
        }
    }
}
