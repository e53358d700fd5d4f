//! A policy from the files of a model.

use burn::tensor::Device;
use counterpoint::Result;

use super::files::{ConceptFiles, ModelFiles};
use crate::{ConceptTokens, MagvitV2, Showo, ShowoConfig, ShowoPolicy, TextTokenizer};

impl ModelFiles {
    /// The policy of these files. `device` is without autodiff.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) or [`Weights`](counterpoint::ErrorKind::Weights) naming the file and
    /// what in it is wrong; nothing is half loaded.
    pub fn load(&self, device: &Device) -> Result<ShowoPolicy> {
        let base = ShowoConfig::load_with(&self.config, self.llm_config.as_deref())?;
        let concepts = self.concepts.iter().map(ConceptFiles::load).collect::<Result<Vec<_>>>()?;
        // The tokenizer is checked before gigabytes are read.
        let config = base.with_concepts(&self.concepts.iter().map(ConceptFiles::concept).collect::<Vec<_>>())?;
        let text = TextTokenizer::load(&self.tokenizer, &config)?;
        let decoder = Showo::load(&base, &self.weights, device)?;
        let (config, decoder) = match concepts.is_empty() {
            true => (base, decoder),
            false => decoder.with_concepts(&base, &concepts)?,
        };
        let image = MagvitV2::load(&config.magvitv2, &self.image_tokenizer, device)?;
        ShowoPolicy::new(config, decoder, Some(text), image, device)
    }
}

impl ConceptFiles {
    /// Reads the concept's tokens.
    ///
    /// # Errors
    /// As [`ConceptTokens::load`].
    pub fn load(&self) -> Result<ConceptTokens> {
        ConceptTokens::load(self.concept(), &self.files, self.epoch)
    }
}

impl ShowoPolicy {
    /// The policy whose files are in `folder`, where [`ModelFiles::in_folder`] finds them. `device` is without autodiff.
    ///
    /// # Errors
    /// As [`ModelFiles::in_folder`] and [`ModelFiles::load`].
    pub fn load(folder: &std::path::Path, device: &Device) -> Result<Self> {
        ModelFiles::in_folder(folder)?.load(device)
    }
}
