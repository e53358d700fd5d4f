//! Show-o by name: policy `showo` and sampler `showo`.

use std::path::{Path, PathBuf};

use counterpoint::registry::{BuildContext, PolicyEntry, SamplerEntry, settings};
use counterpoint::{Error, Policy, Result, Sampler, inventory};
use counterpoint_samplers::UnifiedConfig;
use serde::Deserialize;

use crate::public::{Part, Source};
use crate::{
    Concept, ConceptFiles, FastPaths, FreshConcept, GENERATION_TOKENS, ModelFiles, Precision, ShowoPolicy, Trainable,
    UNDERSTANDING_TOKENS,
};

/// What a model from the hub is completed with, as Show-o's own scripts do.
const IMAGE_TOKENIZER: &str = "hf:showlab/magvitv2";
const TOKENIZER: &str = "hf:microsoft/phi-1_5";

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
    /// What is trained.
    #[serde(default)]
    trainable: Trainable,
    /// What it computes in: `f32`, `bf16` or `f16`.
    #[serde(default)]
    dtype: Precision,
    /// Whether updates save memory by computing cheap operations twice.
    #[serde(default)]
    gradient_checkpointing: bool,
    /// Short cuts to leave out, all being taken by default.
    #[serde(default)]
    fast: FastPaths,
}

/// One concept: from `files` of `epoch`, else fresh: from `words`, else random from `seed`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConceptSettings {
    name: String,
    files: Option<PathBuf>,
    epoch: Option<u32>,
    words: Option<Vec<String>>,
    seed: Option<u64>,
    understanding: Option<usize>,
    generation: Option<usize>,
}

impl Settings {
    fn files(&self, context: &BuildContext) -> Result<ModelFiles> {
        let (model, image, text) = match (&self.model, &self.weights) {
            (Some(model), None) => (Source::Path(model.clone()), None, None),
            (None, Some(weights)) => match Source::parse(weights).map_err(|e| e.at("policy.weights"))? {
                Source::Path(_) => {
                    return Err(Error::config(format!(
                        "policy.weights: expected hf:OWNER/NAME, got {weights:?}; for a folder write model = {weights:?}"
                    )));
                }
                hub => (hub, Some(IMAGE_TOKENIZER), Some(TOKENIZER)),
            },
            (Some(_), Some(_)) => return Err(Error::config("policy: expected `model` or `weights`, got both")),
            (None, None) => {
                return Err(Error::config(
                    "policy: expected `model` (a folder) or `weights` (such as \"hf:showlab/show-o-512x512\"), got \
                     neither",
                ));
            }
        };
        let source = |given: &Option<String>, default: Option<&str>, key: &str| {
            given.as_deref().or(default).map(Source::parse).transpose().map_err(|e| e.at(format!("policy.{key}")))
        };
        let parts = [
            (Part::Model, Some(model)),
            (Part::ImageTokenizer, source(&self.image_tokenizer, image, "image_tokenizer")?),
            (Part::Tokenizer, source(&self.tokenizer, text, "tokenizer")?),
        ];
        // All that is missing is said at once.
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for (part, source) in parts {
            match source {
                None => found.push(None),
                Some(Source::Path(path)) => found.push(Some(context.resolve(&path))),
                Some(Source::Hub(name)) => match part.folder(&name, &context.base) {
                    Ok(folder) => found.push(Some(folder)),
                    Err(error) => missing.push(error.to_string()),
                },
            }
        }
        let (true, [Some(model), image, text]) = (missing.is_empty(), &found[..]) else {
            return Err(Error::weights(missing.join("; ")));
        };
        let mut files = ModelFiles::found(model, image.as_deref(), text.as_deref())?;
        for concept in &self.concepts {
            concept.add_to(&mut files, context).map_err(|e| e.at(format!("policy.concepts {}", concept.name)))?;
        }
        Ok(files)
    }
}

impl ConceptSettings {
    fn add_to(&self, files: &mut ModelFiles, context: &BuildContext) -> Result<()> {
        let understanding = self.understanding.unwrap_or(UNDERSTANDING_TOKENS);
        let generation = self.generation.unwrap_or(GENERATION_TOKENS);
        let name = self.name.clone();
        match (&self.files, self.epoch, &self.words, self.seed) {
            (Some(folder), Some(epoch), None, None) => {
                let folder = context.resolve(Path::new(folder));
                files.concepts.push(ConceptFiles { name, files: folder, epoch, understanding, generation });
                Ok(())
            }
            (None, None, words, seed) if words.is_none() || seed.is_none() => {
                let concept = Concept { name, understanding, generation };
                files.fresh.push(FreshConcept { concept, words: words.clone(), seed: seed.unwrap_or(0) });
                Ok(())
            }
            _ => Err(Error::config(
                "expected `files` and `epoch`, or `words` that describe a new concept, or `seed` for a random one",
            )),
        }
    }
}

impl ShowoPolicy {
    /// The policy that the table `[policy]` of a config describes, without its `kind`.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming the key, and as [`ModelFiles::in_folder`] and
    /// [`ModelFiles::load`].
    pub fn from_settings(table: &toml::Table, context: &BuildContext) -> Result<Self> {
        let settings: Settings = settings("policy", table)?;
        settings.trainable.validate().map_err(|e| e.at("policy.trainable"))?;
        let policy = settings.files(context)?.load_for(&context.device, settings.dtype, &settings.trainable)?;
        let policy = policy.with_fast(settings.fast);
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
    Ok(Box::new(settings::<UnifiedConfig>("sampler", table)?.init::<ShowoPolicy>()?))
}

inventory::submit! { PolicyEntry { name: "showo", build: policy } }
inventory::submit! { SamplerEntry { name: "showo", build: sampler } }
