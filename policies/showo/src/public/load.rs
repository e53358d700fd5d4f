//! A policy from the files of a model.

use burn::tensor::Device;
use counterpoint::{Error, Key, Result, Streams, image};

use super::files::{ConceptFiles, FreshConcept, ModelFiles};
use crate::{ConceptTokens, MagvitV2, Precision, Showo, ShowoConfig, ShowoPolicy, TextTokenizer, Trainable, picture};

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
        let image = MagvitV2::load(&config.magvitv2, &self.image_tokenizer, device)?;
        for fresh in &self.fresh {
            concepts.push(fresh.rows(&base, &decoder, &text, &image)?);
        }
        if !concepts.is_empty() {
            decoder = decoder.with_concepts(&base, &concepts)?.1;
        }
        ShowoPolicy::assemble(config, decoder, Some(text), image, device, precision, trainable)
    }
}

impl FreshConcept {
    fn rows(
        &self,
        config: &ShowoConfig,
        model: &Showo,
        text: &TextTokenizer,
        image: &MagvitV2,
    ) -> Result<ConceptTokens> {
        let concept = self.concept.clone();
        if !self.images.is_empty() {
            let codes = self.codes(config, image, &model.device())?;
            return ConceptTokens::from_images(concept, config, model, &codes);
        }
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

impl FreshConcept {
    /// Image codes of its photographs, `[images][N]`.
    fn codes(&self, config: &ShowoConfig, tokenizer: &MagvitV2, device: &Device) -> Result<Vec<Vec<u32>>> {
        let side = config.image_size();
        let mut codes = Vec::new();
        for path in &self.images {
            let cannot = |e: image::ImageError| {
                Error::data(format!(
                    "cannot decode {}: expected a photograph of <{}>",
                    path.display(),
                    self.concept.name
                ))
                .with_source(e)
            };
            let photo = image::open(path).map_err(cannot)?.into_rgb8();
            codes.extend(picture::codes(tokenizer, &[photo], side, device)?);
        }
        Ok(codes)
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
