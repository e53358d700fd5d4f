//! Which files make a model, and where they lie.

use std::path::{Path, PathBuf};

use counterpoint::{Error, Result, file};
use counterpoint_weights::FILE_NAMES;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{config, tokenizer};
use crate::concepts::{Concept, generation_tokens, understanding_tokens};

/// The files of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// `config.json` of the checkpoint.
    pub config: PathBuf,
    /// `config.json` of the language model, where the checkpoint's does not say its numbers and they are not Phi-1.5's.
    pub llm_config: Option<PathBuf>,
    /// Weights of the decoder.
    pub weights: PathBuf,
    /// Weights of the image tokenizer.
    pub image_tokenizer: PathBuf,
    /// `tokenizer.json`, or a folder with it or with `vocab.json`, `merges.txt` and `added_tokens.json`.
    pub tokenizer: PathBuf,
    /// Concepts that are not in the weights yet.
    pub concepts: Vec<ConceptFiles>,
    /// Concepts that nobody has trained yet; they follow the others.
    pub fresh: Vec<FreshConcept>,
}

/// A concept to be learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreshConcept {
    /// Its name and numbers of tokens.
    pub concept: Concept,
    /// Words that describe it, its class first, for [`ConceptTokens::from_words`](crate::ConceptTokens::from_words);
    /// without them its rows are random.
    pub words: Option<Vec<String>>,
    /// Photographs of it, for [`ConceptTokens::from_images`](crate::ConceptTokens::from_images); with them `words` are not
    /// looked at.
    pub images: Vec<PathBuf>,
    /// Seed of random rows.
    pub seed: u64,
}

/// The learned tokens of one concept in UniCTokens' files `epoch_N_embed.pt`, `epoch_N_lm_head_weight.pt` and
/// `epoch_N_lm_head_bias.pt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConceptFiles {
    /// Name of the concept, as it is written in prompts between `<` and `>`.
    pub name: String,
    /// Folder of the files.
    pub files: PathBuf,
    /// N.
    pub epoch: u32,
    /// Soft tokens for understanding.
    #[serde(default = "understanding_tokens")]
    pub understanding: usize,
    /// Further soft tokens for generation.
    #[serde(default = "generation_tokens")]
    pub generation: usize,
    /// Soft tokens of UniCTokens' third stage.
    #[serde(default)]
    pub perception: usize,
}

impl ConceptFiles {
    /// The concepts that a JSON file lists (`concept_files`), their folders relative to it: an exported model's `config.json`, or
    /// the `concepts.json` of [`list`](Self::list).
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming the file when it cannot be read or its entries are not such concepts.
    pub fn listed_in(path: &Path) -> Result<Vec<Self>> {
        concepts(path)
    }

    /// Lists `concepts`, whose folders are relative to it, in a JSON file.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when it cannot be written.
    pub fn list(path: &Path, concepts: &[Self]) -> Result<()> {
        let text = serde_json::to_string_pretty(&listed(concepts)?)
            .map_err(|e| Error::config("cannot write the concepts as JSON").with_source(e))?;
        file::replace(path, text.as_bytes())
    }

    /// The concept whose tokens these are.
    pub fn concept(&self) -> Concept {
        let Self { name, understanding, generation, perception, .. } = self.clone();
        Concept { name, understanding, generation, perception }
    }
}

impl ModelFiles {
    /// The files of the model in `folder`: `config.json` and weights; the tokenizer there or in the folder `phi-1_5` or
    /// `microsoft/phi-1_5`; the image tokenizer's weights as `magvitv2.safetensors` or in the folder `magvitv2` or
    /// `showlab/magvitv2`. Concepts are those that an exported model's `config.json` lists.
    ///
    /// # Errors
    /// [`Weights`](counterpoint::ErrorKind::Weights) with the names that were looked for when a file is missing, and as
    /// [`ShowoConfig::load`](crate::ShowoConfig::load) when `config.json` cannot be read.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        Self::found(folder, None, None)
    }

    /// As [`in_folder`](Self::in_folder), with the image tokenizer and the tokenizer of other folders or files.
    pub(crate) fn found(folder: &Path, image_tokenizer: Option<&Path>, tokenizer: Option<&Path>) -> Result<Self> {
        let config = folder.join("config.json");
        let concepts = concepts(&config)?;
        let weights = weights_in(folder)?;
        let image_tokenizer = match image_tokenizer {
            Some(path) if path.is_dir() => weights_in(path)?,
            Some(path) => path.to_owned(),
            None => image_tokenizer_beside(folder)?,
        };
        let tokenizer = match tokenizer {
            Some(path) => path.to_owned(),
            None => tokenizer::beside(folder).ok_or_else(|| {
                Error::weights(format!(
                    "{}: expected tokenizer.json, or vocab.json and merges.txt (and added_tokens.json), there or in its \
                     folder phi-1_5, got neither; they are those of microsoft/phi-1_5",
                    folder.display()
                ))
            })?,
        };
        let llm_config = tokenizer.join("config.json");
        let llm_config = (llm_config != config && llm_config.is_file()).then_some(llm_config);
        Ok(Self { config, llm_config, weights, image_tokenizer, tokenizer, concepts, fresh: Vec::new() })
    }
}

/// The weights in `folder`.
pub(super) fn weights_in(folder: &Path) -> Result<PathBuf> {
    FILE_NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        Error::weights(format!(
            "{}: expected one of {}, got none of them; check the path, or put the file there",
            folder.display(),
            FILE_NAMES.join(", ")
        ))
    })
}

fn image_tokenizer_beside(folder: &Path) -> Result<PathBuf> {
    let single = folder.join("magvitv2.safetensors");
    if single.is_file() {
        return Ok(single);
    }
    let near = ["magvitv2", "showlab/magvitv2"].map(|name| folder.join(name));
    match near.iter().find(|near| near.is_dir()) {
        Some(near) => weights_in(near),
        None => Err(Error::weights(format!(
            "{}: expected magvitv2.safetensors or a folder magvitv2 with {}, got neither; they are those of \
             showlab/magvitv2",
            folder.display(),
            FILE_NAMES.join(" or ")
        ))),
    }
}

/// The concepts that an exported `config.json` lists, their folders relative to it.
fn concepts(path: &Path) -> Result<Vec<ConceptFiles>> {
    let Some(listed) = config::read(path)?.remove(KEY) else { return Ok(Vec::new()) };
    let mut concepts: Vec<ConceptFiles> = serde_json::from_value(listed)
        .map_err(|e| Error::config(format!("{KEY}: expected concepts with name, files and epoch")).with_source(e))
        .map_err(|e| e.at(path.display()))?;
    for concept in &mut concepts {
        concept.files = path.with_file_name("").join(&concept.files);
    }
    Ok(concepts)
}

/// What an exported `config.json` lists its concepts under.
const KEY: &str = "concept_files";

/// The entry of `config.json` for `concepts`.
pub(super) fn listed(concepts: &[ConceptFiles]) -> Result<serde_json::Map<String, Value>> {
    let value = serde_json::to_value(concepts)
        .map_err(|e| Error::config("cannot write the concepts as JSON").with_source(e))?;
    Ok(serde_json::Map::from_iter([(KEY.to_owned(), value)]))
}
