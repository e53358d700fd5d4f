//! A policy from the files of a model.

use burn::tensor::Device;
use counterpoint::{Key, Result, Streams};

use super::files::{ConceptFiles, FreshConcept, ModelFiles};
use crate::{ConceptTokens, MagvitV2, Precision, Showo, ShowoConfig, ShowoPolicy, TextTokenizer, Trainable};

impl ModelFiles {
    /// The policy of these files. `device` is without autodiff.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) or [`Weights`](counterpoint::ErrorKind::Weights) naming the file and
    /// what in it is wrong; nothing is half loaded.
    pub fn load(&self, device: &Device) -> Result<ShowoPolicy> {
        self.load_for(device, Precision::F32, &Trainable::All)
    }

    /// The policy of these files, computing in `precision`, with this part of its decoder under training. What is not
    /// trained is stored in `precision` as it is read.
    ///
    /// # Errors
    /// As [`load`](Self::load) and [`ShowoPolicy::with_trainable`].
    pub fn load_for(&self, device: &Device, precision: Precision, trainable: &Trainable) -> Result<ShowoPolicy> {
        trainable.validate().map_err(|e| e.at("trainable"))?;
        let base = ShowoConfig::load_with(&self.config, self.llm_config.as_deref())?;
        let mut concepts = self.concepts.iter().map(ConceptFiles::load).collect::<Result<Vec<_>>>()?;
        // The tokenizer is checked before gigabytes are read.
        let named = self.concepts.iter().map(ConceptFiles::concept);
        let config =
            base.with_concepts(&named.chain(self.fresh.iter().map(|f| f.concept.clone())).collect::<Vec<_>>())?;
        let text = TextTokenizer::load(&self.tokenizer, &config)?;
        let storage = if trainable.keeps_base() { precision } else { Precision::F32 };
        let mut decoder = Showo::load_in(&base, &self.weights, device, storage)?;
        for fresh in &self.fresh {
            concepts.push(fresh.rows(&base, &decoder, &text)?);
        }
        if !concepts.is_empty() {
            decoder = decoder.with_concepts(&base, &concepts)?.1;
        }
        let image = MagvitV2::load(&config.magvitv2, &self.image_tokenizer, device)?;
        ShowoPolicy::assemble(config, decoder, Some(text), image, device, precision, trainable)
    }
}

impl FreshConcept {
    fn rows(&self, config: &ShowoConfig, model: &Showo, text: &TextTokenizer) -> Result<ConceptTokens> {
        let concept = self.concept.clone();
        match &self.words {
            Some(words) => ConceptTokens::from_words(concept, config, model, text, words),
            None => {
                let mut noise =
                    Streams::new(self.seed).stream(Key::task(0, 0), &format!("concept.{}", concept.name), 0);
                Ok(ConceptTokens::random(concept, model, &mut noise))
            }
        }
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
