//! Show-o under training.

use std::cell::OnceCell;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use counterpoint::{Decoding, Error, Learner, LogProbs, ModuleLearner, Policy, Replay, Result, Weights};

use crate::image_prompts::ImagePrompts;
use crate::replay::{image_log_probs, text_log_probs};
use crate::scorer::Scorer;
use crate::{FastPaths, KvCache, MagvitV2, Showo, ShowoConfig, TextTokenizer, tokens};

/// A [`Policy`] over a [`Showo`] decoder with its image and text tokenizers, which are frozen.
pub struct ShowoPolicy {
    config: Arc<ShowoConfig>,
    fast: FastPaths,
    learner: ModuleLearner<Showo>,
    reference: Showo,
    /// What rollouts use, until the parameters change.
    rollouts: OnceCell<Rollouts>,
    text: Option<TextTokenizer>,
    image: MagvitV2,
    blank: Vec<u32>,
    device: Device,
}

/// What holds for one state of the parameters.
struct Rollouts {
    scorer: Scorer,
    empty_prompt: OnceCell<KvCache>,
}

impl Rollouts {
    fn new(policy: &ShowoPolicy) -> Self {
        let model = policy.learner.module().valid().with_fused_attention(policy.fast.fused_attention);
        let (config, device) = (policy.config.clone(), policy.device.clone());
        Self { scorer: Scorer { config, model, device, fast: policy.fast }, empty_prompt: OnceCell::new() }
    }
}

impl ShowoPolicy {
    /// Puts a policy together. `decoder` lives on `device`, without autodiff; a copy of it becomes the frozen reference.
    /// Without a text tokenizer it can be trained and scored on token ids, and draws none from tasks.
    ///
    /// # Errors
    /// [`Contract`](counterpoint::ErrorKind::Contract) when the blank image cannot be encoded.
    pub fn new(
        config: ShowoConfig,
        decoder: Showo,
        text: Option<TextTokenizer>,
        image: MagvitV2,
        device: &Device,
    ) -> Result<Self> {
        let size = config.image_size();
        // Black, as the public code shows it for questions that are about no image.
        let pixels = Tensor::<4>::full([1, 3, size, size], -1.0, device);
        let blank = tokens::to_rows(image.encode(pixels)?)?.remove(0);
        let trained = decoder.clone().to_device(&device.clone().autodiff()).train();
        Ok(Self {
            config: Arc::new(config),
            fast: FastPaths::default(),
            learner: ModuleLearner::new(trained),
            reference: decoder.no_grad(),
            rollouts: OnceCell::new(),
            text,
            image,
            blank,
            device: device.clone(),
        })
    }

    /// Takes only these short cuts.
    pub fn with_fast(mut self, fast: FastPaths) -> Self {
        self.fast = fast;
        self.rollouts.take();
        self
    }

    /// The short cuts that it takes.
    pub fn fast(&self) -> FastPaths {
        self.fast
    }

    /// The model's sizes and ids.
    pub fn config(&self) -> &ShowoConfig {
        &self.config
    }

    /// The decoder under training.
    pub fn decoder(&self) -> &Showo {
        self.learner.module()
    }

    /// The learner, typed.
    pub fn module_learner(&mut self) -> &mut ModuleLearner<Showo> {
        // The parameters may be about to change.
        self.rollouts.take();
        &mut self.learner
    }

    /// Replaces the frozen reference.
    pub fn set_reference(&mut self, reference: Showo) {
        self.reference = reference.no_grad();
    }

    /// The text tokenizer.
    ///
    /// # Errors
    /// [`Contract`](counterpoint::ErrorKind::Contract) when the policy was built without one.
    pub fn text_tokenizer(&self) -> Result<&TextTokenizer> {
        self.text.as_ref().ok_or_else(|| Error::contract("this policy was built without a text tokenizer"))
    }

    /// The image tokenizer.
    pub fn image_tokenizer(&self) -> &MagvitV2 {
        &self.image
    }

    /// Image codes of a black image, shown for questions that are about none.
    pub(crate) fn blank(&self) -> &[u32] {
        &self.blank
    }

    /// Device of the model, without autodiff.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What scores under `weights`.
    pub(crate) fn scorer(&self, weights: Weights) -> Scorer {
        let (model, device) = match weights {
            Weights::Current => (self.learner.module().clone(), self.device.clone().autodiff()),
            Weights::Detached => return self.rollouts.get_or_init(|| Rollouts::new(self)).scorer.clone(),
            Weights::Reference => (self.reference.clone(), self.device.clone()),
        };
        let model = model.with_fused_attention(self.fast.fused_attention);
        Scorer { config: self.config.clone(), model, device, fast: self.fast }
    }

    /// Keys and values of the empty prompt under the current parameters.
    pub(crate) fn empty_prompt(&self) -> Result<KvCache> {
        let rollouts = self.rollouts.get_or_init(|| Rollouts::new(self));
        if let Some(cache) = rollouts.empty_prompt.get() {
            return Ok(cache.clone());
        }
        let cache = ImagePrompts::empty(&rollouts.scorer)?;
        Ok(rollouts.empty_prompt.get_or_init(|| cache).clone())
    }
}

impl Policy for ShowoPolicy {
    fn kind(&self) -> &str {
        "showo"
    }

    fn log_probs(&self, chunk: &[Replay<'_>], weights: Weights) -> Result<LogProbs> {
        let Some(first) = chunk.first() else {
            return Err(Error::contract("expected at least one replay in a chunk, got none"));
        };
        match first.segment().decoding {
            Decoding::Autoregressive => text_log_probs(&self.scorer(weights), chunk),
            Decoding::Masked => image_log_probs(&self.scorer(weights), chunk),
        }
    }

    fn learner(&mut self) -> &mut dyn Learner {
        self.module_learner()
    }
}
