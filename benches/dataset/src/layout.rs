//! Which layout a folder of concepts has.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::folder::{list, list_if_present};
use crate::{Error, Result, photo};

/// The way in which a data set of personal concepts is laid out in folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Layout {
    /// `concept/{train,test}/<name>/` with facts and prompts: the layout that is trained on.
    UniCTokens,
    /// Yo'LLaVA: `train/<name>/` and `test/<name>/`.
    YoLlava,
    /// A scenario of MC-LLaVA, its single concepts: `concept/{train,test}/<name>/` without facts.
    McLlava,
    /// DreamBooth's data set, which DreamBench evaluates on: `<name>/00.jpg` and `prompts_and_classes.txt`.
    DreamBench,
}

/// The file of [`Layout::UniCTokens`] that lists its concepts.
pub(crate) const LIST: &str = "concepts_list.json";

/// The picture of [`Layout::UniCTokens`] for questions that are about none.
pub(crate) const BLACK: &str = "black_512x512.png";

/// The file of [`Layout::DreamBench`] that says what the concepts are.
pub(crate) const CLASSES: &str = "prompts_and_classes.txt";

impl Layout {
    /// Recognises the layout of the folder `root`.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when it has none of them, [`Io`](crate::ErrorKind::Io) when it cannot be read.
    pub fn of(root: &Path) -> Result<Self> {
        let top = list(root)?;
        if top.has(LIST) || top.has_folder("concept") {
            return Ok(if is_mc_llava(root)? { Self::McLlava } else { Self::UniCTokens });
        }
        if top.has(CLASSES) {
            return Ok(Self::DreamBench);
        }
        if top.has_folder("train") && !list(&root.join("train"))?.folders.is_empty() {
            return Ok(Self::YoLlava);
        }
        for folder in &top.folders {
            if list(&root.join(folder))?.files.iter().any(|file| photo::is_photograph(file)) {
                return Ok(Self::DreamBench);
            }
        }
        Err(Error::data(format!(
            "{}: expected concept/train/<name>/ (UniCTokens, MC-LLaVA), train/<name>/ (Yo'LLaVA) or folders of photographs \
             (DreamBench), got none of these; give the folder that has them, or begin a data set with `new`",
            root.display()
        )))
    }
}

/// Whether there are files that MC-LLaVA has and none that UniCTokens has.
fn is_mc_llava(root: &Path) -> Result<bool> {
    if root.join(LIST).exists() {
        return Ok(false);
    }
    let mut marked = root.join("multi").is_dir();
    for half in ["concept/train", "concept/test"] {
        let half = root.join(half);
        for name in list_if_present(&half)?.folders {
            let files = list(&half.join(name))?;
            if files.has("info.json") || files.has("t2i_conditions.json") {
                return Ok(false);
            }
            marked |= ["caption_llava.json", "choice.json", "qa.json"].iter().any(|file| files.has(file));
        }
    }
    Ok(marked)
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UniCTokens => "UniCTokens",
            Self::YoLlava => "Yo'LLaVA",
            Self::McLlava => "MC-LLaVA, single concepts",
            Self::DreamBench => "DreamBench",
        })
    }
}
