//! Janus under training.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use counterpoint::{
    Decoding, Error, Learner, LogProbs, ModuleLearner, Parameters, Policy, Replay, Result, SegmentKind,
};

use crate::replay::Scorer;
use crate::shown::Shown;
use crate::{Janus, JanusConfig, SpecialIds, TextTokenizer, VqTokenizer};

/// A [`Policy`] over a [`Janus`], all of whose parameters are trained; the image tokenizer is frozen.
///
/// A segment of understanding is an answer to a question: its context is the number of the image that the question is about
/// ([`show`](Self::show); 0 for none) and the question's ids. One of generation is an image, written code by code after a prompt
/// that ends with the token that begins an image. Its guidance g is `w - 1` for the original's weight w.
pub struct JanusPolicy {
    config: JanusConfig,
    pub(crate) ids: SpecialIds,
    text: Option<TextTokenizer>,
    learner: ModuleLearner<Janus>,
    reference: Janus,
    tokenizer: VqTokenizer,
    pub(crate) shown: Shown,
    device: Device,
}

impl JanusPolicy {
    /// Puts a policy together. `model` lives on `device`, without autodiff; it becomes the frozen reference too.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when the numbers of `config` do not agree with each other.
    pub fn new(
        config: JanusConfig,
        ids: SpecialIds,
        model: Janus,
        tokenizer: VqTokenizer,
        device: &Device,
    ) -> Result<Self> {
        config.validate()?;
        let reference = model.clone().no_grad();
        let trained = model.set_require_grad(true).to_device(&device.clone().autodiff()).train();
        let learner = ModuleLearner::new(trained);
        Ok(Self {
            config,
            ids,
            text: None,
            learner,
            reference,
            tokenizer,
            shown: Shown::default(),
            device: device.clone(),
        })
    }

    /// The same policy, which draws from tasks: without a text tokenizer it can be trained and scored on token ids alone.
    pub fn with_text(mut self, text: TextTokenizer) -> Self {
        self.ids = text.ids();
        self.text = Some(text);
        self
    }

    /// The text tokenizer.
    ///
    /// # Errors
    /// [`Contract`](counterpoint::ErrorKind::Contract) when the policy was built without one.
    pub fn text_tokenizer(&self) -> Result<&TextTokenizer> {
        self.text.as_ref().ok_or_else(|| Error::contract("this policy was built without a text tokenizer"))
    }

    pub(crate) fn own_device(&self) -> &Device {
        &self.device
    }

    /// The model's sizes.
    pub fn config(&self) -> &JanusConfig {
        &self.config
    }

    /// The image tokenizer.
    pub fn image_tokenizer(&self) -> &VqTokenizer {
        &self.tokenizer
    }

    /// The model as it is now, without gradients.
    pub fn scored(&self) -> Janus {
        self.learner.module().valid()
    }

    /// The learner, typed.
    pub fn module_learner(&mut self) -> &mut ModuleLearner<Janus> {
        &mut self.learner
    }

    /// The number by which contexts name an image.
    ///
    /// # Shapes
    /// `pixels` `[1, 3, S, S]` in [-1, 1].
    pub fn show(&self, pixels: Tensor<4>) -> u32 {
        self.shown.add(pixels)
    }

    pub(crate) fn scorer(&self, parameters: Parameters) -> Scorer {
        let model = match parameters {
            Parameters::Current => self.learner.module().clone(),
            Parameters::Detached => self.scored(),
            Parameters::Reference => self.reference.clone(),
        };
        Scorer { model, ids: self.ids, shown: self.shown.clone() }
    }
}

impl Policy for JanusPolicy {
    fn kind(&self) -> &str {
        "janus"
    }

    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        let Some(first) = chunk.first() else {
            return Err(Error::contract("expected at least one replay in a chunk, got none"));
        };
        if chunk.iter().any(|replay| replay.decisions().is_empty()) {
            return Err(Error::contract("expected replays of one step or more, got one of none"));
        }
        let scorer = self.scorer(parameters);
        match (first.segment().decoding, first.segment().kind) {
            (Decoding::Autoregressive, SegmentKind::Understanding) => scorer.text(chunk),
            (Decoding::Autoregressive, SegmentKind::Generation) => scorer.images(chunk),
            (Decoding::Masked, _) => Err(Error::contract(
                "expected images that were written code by code, got one that was denoised; this model does not denoise",
            )),
        }
    }

    fn learner(&mut self) -> &mut dyn Learner {
        &mut self.learner
    }

    fn device(&self) -> Option<Device> {
        Some(self.device.clone())
    }
}
