//! What a concept is personalised with: its photographs, and questions about them and about others.

use std::path::{Path, PathBuf};

use counterpoint::Result;

use crate::{ConceptSet, Exchange, Picture, json, picture};

/// The lessons of one concept, as UniCTokens' stages read them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lessons {
    /// Its training photographs.
    pub photographs: Vec<Picture>,
    /// What it is painted from: the photographs of its folder `cropped`, or those for training where there is none.
    pub painted: Vec<Picture>,
    /// Questions with their answers, each about a photograph: every question of `positive_recognitions.json` about every
    /// photograph; one of `random_recognitions.json`, in turn, about every photograph that does not show it; and
    /// `conversations.json`.
    pub asked: Vec<(Picture, Exchange)>,
}

impl ConceptSet {
    /// What the concept `name` is learned from. Photographs that do not show it are those of `random_images` and of its
    /// `negative_example`, or the first ones of the other concepts where there are none.
    ///
    /// # Errors
    /// As [`concept`](Self::concept), and when a list of recognitions is malformed.
    pub fn lessons(&self, name: &str) -> Result<Lessons> {
        let concept = self.concept(name)?;
        let folder = self.train_folder(&concept.name);
        let recognitions = |file: &str| json::read_if_present::<Vec<Exchange>>(&folder.join(file));
        let positive = recognitions("positive_recognitions.json")?.unwrap_or_default();
        let negative = recognitions("random_recognitions.json")?.unwrap_or_default();

        let mut asked = Vec::new();
        for photo in &concept.train {
            asked.extend(positive.iter().map(|exchange| (photo.clone(), exchange.clone())));
        }
        let others = self.others(&concept.name)?.into_iter().zip(negative.iter().cycle());
        asked.extend(others.map(|(photo, exchange)| (photo, exchange.clone())));
        for photo in &concept.train {
            asked.extend(photo.questions.iter().map(|exchange| (photo.clone(), exchange.clone())));
        }
        let cropped = photographs(&folder.join("cropped"))?;
        let painted = if cropped.is_empty() { concept.train.clone() } else { cropped };
        Ok(Lessons { photographs: concept.train, painted, asked })
    }

    /// Photographs that do not show the concept.
    fn others(&self, name: &str) -> Result<Vec<Picture>> {
        let mut found = photographs(&self.root().join("random_images"))?;
        found.extend(photographs(&self.train_folder(name).join("negative_example"))?);
        if found.is_empty() {
            for other in self.names().iter().filter(|other| *other != name) {
                found.extend(self.concept(other)?.train.into_iter().take(1));
            }
        }
        Ok(found)
    }

    fn train_folder(&self, name: &str) -> PathBuf {
        self.root().join("concept/train").join(name)
    }
}

/// The photographs of a folder that may not be there.
fn photographs(folder: &Path) -> Result<Vec<Picture>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    Ok(picture::numbered(folder)?.into_iter().map(|path| Picture { path, questions: Vec::new() }).collect())
}
