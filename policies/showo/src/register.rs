//! Show-o by name: policy `showo` and sampler `showo`.

use std::path::{Path, PathBuf};

use counterpoint::registry::{BuildContext, PolicyEntry, SamplerEntry, settings};
use counterpoint::{Error, Policy, Result, Sampler, TypedSampler, inventory};
use counterpoint_samplers::UnifiedConfig;
use counterpoint_weights::hub::{self, Files, Need, Reference, Source};
use serde::Deserialize;

use crate::{
    AnswerIds, Concept, ConceptFiles, FastPaths, FreshConcept, GENERATION_TOKENS, ModelFiles, Precision, ShowoPolicy,
    Trainable, UNDERSTANDING_TOKENS,
};

/// What a model from the hub is completed with, as Show-o's own scripts do.
const IMAGE_TOKENIZER: &str = "hf:showlab/magvitv2";
const TOKENIZER: &str = "hf:microsoft/phi-1_5";

/// The list of concepts in a folder of `policy.personalised`.
const PERSONALISED: &str = "concepts.json";

/// What is needed of the repositories of the decoder, the image tokenizer and the text tokenizer.
const MODEL_FILES: Files = Files::new(&[Need::CONFIG, Need::WEIGHTS]);
const IMAGE_TOKENIZER_FILES: Files = Files::new(&[Need::WEIGHTS, Need::optional(&[&["config.json"]])]);
const TOKENIZER_FILES: Files = Files::new(&[
    Need::file(&[&["tokenizer.json"], &["vocab.json", "merges.txt", "added_tokens.json"]]),
    Need::optional(&[&["config.json"]]),
]);

/// `[policy] kind = "showo"`: either `model` or `weights`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Folder of the model, see [`ModelFiles::in_folder`].
    model: Option<PathBuf>,
    /// A checkpoint of the hub, such as `hf:showlab/show-o-512x512`.
    weights: Option<String>,
    /// Folder, file or `hf:OWNER/NAME` of the image tokenizer.
    image_tokenizer: Option<String>,
    /// Folder, file or `hf:OWNER/NAME` of the text tokenizer.
    tokenizer: Option<String>,
    /// Concepts to insert.
    #[serde(default)]
    concepts: Vec<ConceptSettings>,
    /// A folder that `personalize` wrote, or its `concepts.json`: its concepts are inserted as they were learned, those of
    /// `concepts` with the same names among them.
    personalised: Option<PathBuf>,
    /// What is trained.
    #[serde(default)]
    trainable: Trainable,
    /// What it computes in: `f32`, `bf16` or `f16`.
    #[serde(default)]
    dtype: Precision,
    /// Whether updates save memory by computing every layer twice.
    #[serde(default)]
    gradient_checkpointing: bool,
    /// Over which ids answers are drawn and scored: `text` or `all`.
    #[serde(default)]
    answer_ids: AnswerIds,
    /// Short cuts to leave out, all being taken by default.
    #[serde(default)]
    fast: FastPaths,
}

/// One concept: from `files` of `epoch`, else fresh: from `words` or `images`, else random from `seed`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConceptSettings {
    name: String,
    files: Option<PathBuf>,
    epoch: Option<u32>,
    words: Option<Vec<String>>,
    images: Option<Vec<PathBuf>>,
    seed: Option<u64>,
    understanding: Option<usize>,
    generation: Option<usize>,
    #[serde(default)]
    perception: usize,
}

impl Settings {
    /// Where decoder, image tokenizer and text tokenizer are; `None` for those that lie in the decoder's folder.
    fn references(&self) -> Result<[Option<Reference>; 3]> {
        let (key, model, image, text) = match (&self.model, &self.weights) {
            (Some(model), None) => ("policy.model", model.as_path(), None, None),
            (None, Some(weights)) => {
                let source = Source::parse(weights).map_err(|e| e.at("policy.weights"))?;
                if matches!(source, Source::Path(_)) {
                    return Err(Error::config(format!(
                        "policy.weights: expected hf:OWNER/NAME, got {weights:?}; for a folder write model = {weights:?}"
                    )));
                }
                ("policy.weights", Path::new(weights), Some(IMAGE_TOKENIZER), Some(TOKENIZER))
            }
            (Some(_), Some(_)) => return Err(Error::config("policy: expected `model` or `weights`, got both")),
            (None, None) => {
                return Err(Error::config(
                    "policy: expected `model` (a folder) or `weights` (such as \"hf:showlab/show-o-512x512\"), got \
                     neither",
                ));
            }
        };
        let beside = |given: &Option<String>, default: Option<&str>, key: &str, files: Files| {
            given.as_deref().or(default).map(|text| Reference::new(format!("policy.{key}"), text, files)).transpose()
        };
        // A `model` is a path whatever it looks like.
        let source = if self.model.is_some() { Source::Path(model.to_owned()) } else { Source::parse(model)? };
        Ok([
            Some(Reference { key: key.to_owned(), source, files: MODEL_FILES }),
            beside(&self.image_tokenizer, image, "image_tokenizer", IMAGE_TOKENIZER_FILES)?,
            beside(&self.tokenizer, text, "tokenizer", TOKENIZER_FILES)?,
        ])
    }

    fn files(&self, context: &BuildContext) -> Result<ModelFiles> {
        // All that is missing is said at once.
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for reference in self.references()? {
            match reference.map(|r| hub::locate(&r.source, &r.files, &context.base)).transpose() {
                Ok(place) => found.push(place.map(|found| found.folder)),
                Err(error) => missing.push(format!("{error:#}")),
            }
        }
        let (true, [Some(model), image, text]) = (missing.is_empty(), &found[..]) else {
            return Err(Error::weights(missing.join("; ")));
        };
        let mut files = ModelFiles::found(model, image.as_deref(), text.as_deref())?;
        if let Some(folder) = &self.personalised {
            let path = context.resolve(folder);
            let list = if path.is_dir() { path.join(PERSONALISED) } else { path };
            files.concepts.extend(ConceptFiles::listed_in(&list).map_err(|e| e.at("policy.personalised"))?);
        }
        let learned: Vec<String> = files.concepts.iter().map(|concept| concept.name.clone()).collect();
        for concept in
            self.concepts.iter().filter(|concept| self.personalised.is_none() || !learned.contains(&concept.name))
        {
            concept.add_to(&mut files, context).map_err(|e| e.at(format!("policy.concepts {}", concept.name)))?;
        }
        Ok(files)
    }
}

impl ConceptSettings {
    fn add_to(&self, files: &mut ModelFiles, context: &BuildContext) -> Result<()> {
        let understanding = self.understanding.unwrap_or(UNDERSTANDING_TOKENS);
        let generation = self.generation.unwrap_or(GENERATION_TOKENS);
        let (name, perception) = (self.name.clone(), self.perception);
        let from = [self.words.is_some(), self.images.is_some(), self.seed.is_some()];
        let others = from.into_iter().filter(|given| *given).count();
        match (&self.files, self.epoch) {
            (Some(folder), Some(epoch)) if others == 0 => {
                let folder = context.resolve(Path::new(folder));
                files.concepts.push(ConceptFiles { name, files: folder, epoch, understanding, generation, perception });
                Ok(())
            }
            (None, None) if others <= 1 => {
                let concept = Concept { name, understanding, generation, perception };
                let images = self.images.iter().flatten().map(|path| context.resolve(path)).collect();
                let (words, seed) = (self.words.clone(), self.seed.unwrap_or(0));
                files.fresh.push(FreshConcept { concept, words, images, seed });
                Ok(())
            }
            _ => Err(Error::config(
                "expected one of: `files` and `epoch`, `words` that describe a new concept, `images` of it, `seed` for a random \
                 one",
            )),
        }
    }
}

impl ShowoPolicy {
    /// The settings of the table `[policy]` of a config, without its `kind`, that name files, and which they need.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming the key.
    pub fn references(table: &toml::Table) -> Result<Vec<Reference>> {
        Ok(settings::<Settings>("policy", table)?.references()?.into_iter().flatten().collect())
    }

    /// The files of the model that the table `[policy]` of a config describes, without its `kind`.
    ///
    /// # Errors
    /// [`Weights`](counterpoint::ErrorKind::Weights) with all that is missing.
    pub fn model_files(table: &toml::Table, context: &BuildContext) -> Result<ModelFiles> {
        settings::<Settings>("policy", table)?.files(context)
    }

    /// The policy that the table `[policy]` of a config describes, without its `kind`.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming the key, and as [`ModelFiles::in_folder`] and
    /// [`ModelFiles::load`].
    pub fn from_settings(table: &toml::Table, context: &BuildContext) -> Result<Self> {
        let settings: Settings = settings("policy", table)?;
        settings.trainable.validate().map_err(|e| e.at("policy.trainable"))?;
        let policy = settings.files(context)?.load_for(&context.device, settings.dtype, &settings.trainable)?;
        let policy = policy.with_fast(settings.fast).with_answer_ids(settings.answer_ids);
        match settings.gradient_checkpointing {
            true => policy.with_gradient_checkpointing(true),
            false => Ok(policy),
        }
    }
}

fn policy(table: &toml::Table, context: &BuildContext) -> Result<Box<dyn Policy>> {
    Ok(Box::new(ShowoPolicy::from_settings(table, context)?))
}

fn sampler(table: &toml::Table, _context: &BuildContext) -> Result<Box<dyn Sampler>> {
    Ok(settings::<UnifiedConfig>("sampler", table)?.init::<ShowoPolicy>()?.boxed())
}

inventory::submit! { PolicyEntry::new("showo", policy) }
inventory::submit! { SamplerEntry::new("showo", sampler) }
