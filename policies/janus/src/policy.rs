//! Janus under training.

use std::any::Any;
use std::cell::OnceCell;
use std::path::Path;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use counterpoint::{
    Decoding, Error, Learner, LogProbs, ModuleLearner, Parameters, Policy, Replay, Replica, Result, Sample,
    SegmentKind, Stream, TokenStates,
};
use counterpoint_policy_common::learner::TapedLearner;
use counterpoint_policy_common::lora::{LoraConfig, dropped_out};
use counterpoint_policy_common::replay::constant;
use counterpoint_policy_common::tape::Tape;
use counterpoint_policy_common::update_devices::{UpdateDevices, no_reference};
use counterpoint_policy_common::{peft, training};
use counterpoint_weights::Precision;

use crate::llama::Layer;
use crate::memory::chunk_bytes;
use crate::replay::Scorer;
use crate::shown::Shown;
use crate::states::token_states;
use crate::trainable::{TARGETS, Trainable};
use crate::{Janus, JanusConfig, SpecialIds, TextTokenizer, VqTokenizer};

/// A [`Policy`] over a [`Janus`]; its image tokenizer is frozen.
///
/// A segment of understanding is an answer to a question: its context is the number of the image that the question is about
/// ([`show`](Self::show); 0 for none) and the question's ids. One of generation is an image, written code by code after a prompt
/// that ends with the token that begins an image. Its guidance g is `w - 1` for the original's weight w.
pub struct JanusPolicy {
    config: JanusConfig,
    pub(crate) ids: SpecialIds,
    text: Option<TextTokenizer>,
    trainable: Trainable,
    precision: Precision,
    learner: TapedLearner<Janus, Layer>,
    /// None once it was given back.
    reference: Option<Janus>,
    /// Whether the model is still the reference: nobody had the chance to change either.
    fresh: bool,
    /// The model without gradients, until the parameters change.
    scored: OnceCell<Janus>,
    tokenizer: VqTokenizer,
    pub(crate) shown: Shown,
    device: Device,
    /// The same with autodiff.
    training_device: Device,
    update_devices: UpdateDevices<Janus>,
}

impl JanusPolicy {
    /// Puts a policy together. `model` lives on `device`, without autodiff; it becomes the frozen reference too. Everything is
    /// trained, in f32, until [`with_trainable`](Self::with_trainable) and [`with_precision`](Self::with_precision) say otherwise.
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
        Self::assemble(config, ids, model, tokenizer, device, Precision::F32, &Trainable::All)
    }

    pub(crate) fn assemble(
        config: JanusConfig,
        ids: SpecialIds,
        model: Janus,
        tokenizer: VqTokenizer,
        device: &Device,
        precision: Precision,
        trainable: &Trainable,
    ) -> Result<Self> {
        config.validate()?;
        let training_device = device.clone().autodiff();
        let reference = model.clone().no_grad().stored_in(precision);
        let base = match trainable.keeps_base() {
            true => reference.clone(),
            // Parameters that are trained keep all their bits.
            false => model.stored_in(Precision::F32).computing_in(precision),
        };
        let trained = trainable.attach(&base, &training_device)?;
        let policy = Self {
            config,
            ids,
            text: None,
            trainable: Trainable::All,
            precision,
            learner: TapedLearner { inner: ModuleLearner::new(trained.clone()), tape: Tape::default() },
            reference: Some(reference),
            fresh: true,
            scored: OnceCell::new(),
            tokenizer,
            shown: Shown::default(),
            device: device.clone(),
            training_device,
            update_devices: UpdateDevices::default(),
        };
        Ok(policy.training(trained, trainable.clone()))
    }

    /// The same policy, which draws from tasks: without a text tokenizer it can be trained and scored on token ids alone.
    pub fn with_text(mut self, text: TextTokenizer) -> Self {
        self.ids = text.ids();
        self.text = Some(text);
        self
    }

    /// Computes in `precision`. What is trained stays f32, and so do gradients and optimizer state. The reference is stored in
    /// `precision`, and so is what LoRA leaves frozen.
    ///
    /// # Errors
    /// As [`with_trainable`](Self::with_trainable), which starts anew.
    pub fn with_precision(mut self, precision: Precision) -> Result<Self> {
        self.precision = precision;
        self.reference = self.reference.map(|reference| reference.stored_in(precision));
        self.update_devices.forget();
        let trainable = self.trainable.clone();
        self.with_trainable(&trainable)
    }

    /// Whether updates keep of every layer of the decoder what goes in alone, and compute it again on the way back: much less memory, for
    /// about one forward pass more. Gradients are the same but for the order of sums.
    ///
    /// A loss is then to be of the latest [`log_probs`](Policy::log_probs) or [`training_log_probs`](Policy::training_log_probs) alone, as
    /// the updater's are, and back-propagated by [`Policy::learner`] or by the replica that gave the scores; one that depends on earlier
    /// scores is refused.
    ///
    /// # Errors
    /// As [`with_trainable`](Self::with_trainable), which starts anew.
    pub fn with_gradient_checkpointing(mut self, on: bool) -> Result<Self> {
        self.learner.tape = Tape::new(on);
        let trainable = self.trainable.clone();
        self.with_trainable(&trainable)
    }

    /// The same policy with just this part of its model under training, beginning from the model as it is now. The reference stays
    /// what it is; with LoRA it is the base itself, without a second copy. A new optimizer starts:
    /// [`configure`](Learner::configure) it again.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config), naming the key, when a number is out of range or a target is unknown.
    pub fn with_trainable(self, trainable: &Trainable) -> Result<Self> {
        trainable.validate()?;
        let model = trainable.attach(&self.base(trainable), &self.training_device)?;
        Ok(self.training(model, trainable.clone()))
    }

    /// What is trained.
    pub fn trainable(&self) -> &Trainable {
        &self.trainable
    }

    /// The model as it is now, as `trainable` builds on it.
    fn base(&self, trainable: &Trainable) -> Janus {
        match (trainable.keeps_base(), &self.reference) {
            (false, _) => self.merged().stored_in(Precision::F32).computing_in(self.precision),
            (true, Some(reference)) if self.fresh => reference.clone(),
            (true, _) => self.merged().stored_in(self.precision),
        }
    }

    fn training(mut self, model: Janus, trainable: Trainable) -> Self {
        self.learner.inner = match trainable {
            Trainable::All => ModuleLearner::new(model),
            _ => ModuleLearner::on_frozen_base(model, trainable.describe()),
        };
        self.trainable = trainable;
        self.scored.take();
        self
    }

    /// Writes the adapters alone into the folder `dir`, as `peft` reads them.
    ///
    /// # Errors
    /// [`Contract`](counterpoint::ErrorKind::Contract) when no adapters are trained, [`Io`](counterpoint::ErrorKind::Io) when a file
    /// cannot be written.
    pub fn save_adapter(&self, dir: &Path) -> Result<()> {
        let Trainable::Lora(lora) = &self.trainable else {
            return Err(Error::contract(
                "expected a policy that trains LoRA adapters, got one without; save its weights",
            ));
        };
        peft::save(&self.module().valid(), lora, &TARGETS, dir)
    }

    /// The same policy with the adapters in `dir`, which `peft` or [`save_adapter`](Self::save_adapter) wrote, beside its model and
    /// under training.
    ///
    /// # Errors
    /// As [`LoraConfig::load_peft`]; [`Weights`](counterpoint::ErrorKind::Weights), naming the tensor, when one is missing,
    /// unexpected or of another shape or type.
    pub fn with_adapter(self, dir: &Path) -> Result<Self> {
        let lora = LoraConfig::load_peft(dir, &TARGETS)?;
        let trainable = Trainable::Lora(lora.clone());
        let model = peft::load(Trainable::frozen(&self.base(&trainable), &self.training_device), &lora, &TARGETS, dir)?;
        Ok(Self { fresh: false, ..self.training(model, trainable) })
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

    /// The model as it is now, without autodiff, adapters merged into its weights.
    pub fn merged(&self) -> Janus {
        self.module().merged()
    }

    /// The model as it is now, without gradients, as samplers use it.
    pub fn scored(&self) -> Janus {
        let model = self.scored.get_or_init(|| {
            let model = match (&self.trainable, self.precision) {
                // Adapters cost nothing once they are merged. In half precision they stay beside the weights, whose last bits are
                // larger than what adapters learn.
                (Trainable::Lora(_), Precision::F32) => self.merged(),
                _ => self.module().valid(),
            };
            model.stored_in(self.precision)
        });
        model.clone()
    }

    /// The model under training.
    fn module(&self) -> &Janus {
        self.learner.inner.module()
    }

    /// The learner, typed. Losses of [`log_probs`](Policy::log_probs) go to [`Policy::learner`], which knows the way back through
    /// layers that are computed again.
    pub fn module_learner(&mut self) -> &mut ModuleLearner<Janus> {
        self.about_to_change();
        &mut self.learner.inner
    }

    /// Whoever has the learner may change the parameters.
    fn about_to_change(&mut self) {
        self.scored.take();
        self.fresh = false;
    }

    /// The number by which contexts name an image.
    ///
    /// # Shapes
    /// `pixels` `[1, 3, S, S]` in [-1, 1].
    pub fn show(&self, pixels: Tensor<4>) -> u32 {
        self.shown.add(pixels)
    }

    fn scorer(&self, parameters: Parameters) -> Result<Scorer> {
        match parameters {
            Parameters::Current => Ok(self.current()),
            Parameters::Detached => Ok(self.detached()),
            Parameters::Reference => {
                let reference = self.reference.as_ref().ok_or_else(no_reference)?;
                Ok(self.scorer_of(self.referring(reference, &self.device)))
            }
        }
    }

    fn current(&self) -> Scorer {
        self.scorer_of(self.module().clone().with_tape(self.learner.tape.clone()))
    }

    /// What samples and states are drawn from.
    pub(crate) fn detached(&self) -> Scorer {
        self.scorer_of(self.scored())
    }

    /// The reference, which is on `device`. In half precision it goes the way of the parameters under training, operation by operation: what
    /// other kernels round otherwise would be a divergence between equal parameters.
    fn referring(&self, reference: &Janus, device: &Device) -> Janus {
        match self.half_precision() {
            true => Trainable::frozen(reference, &device.clone().autodiff()),
            false => reference.clone(),
        }
    }

    fn scorer_of(&self, model: Janus) -> Scorer {
        Scorer { model, ids: self.ids, shown: self.shown.clone() }
    }
}

impl Policy for JanusPolicy {
    fn kind(&self) -> &str {
        "janus"
    }

    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        let scorer = self.scorer(parameters)?;
        match parameters {
            Parameters::Current => recorded(&scorer, chunk, &self.learner.tape, 0.0),
            Parameters::Detached => scored(&scorer, chunk),
            Parameters::Reference => scored(&scorer, chunk).map(constant),
        }
    }

    /// The scores under [`Parameters::Current`], with the adapters' dropout.
    fn training_log_probs(&self, chunk: &[Replay<'_>], noise: Stream) -> Result<LogProbs> {
        let (current, dropout) = (self.current(), self.trainable.dropout());
        let scorer = current.with(dropped_out(current.model.clone(), dropout, noise));
        recorded(&scorer, chunk, &self.learner.tape, dropout)
    }

    fn chunk_bytes(&self, chunk: &[Replay<'_>]) -> Option<u64> {
        Some(chunk_bytes(&self.config, self.precision, &self.trainable, self.learner.tape.is_on(), chunk))
    }

    fn replicas(&self) -> Vec<Box<dyn Replica>> {
        let places =
            self.update_devices.replicas(&self.device, training::threads(&self.device), self.reference.as_ref());
        let boxed = |(device, reference)| Box::new(self.replica(device, reference)) as Box<dyn Replica>;
        places.into_iter().map(boxed).collect()
    }

    fn drop_reference(&mut self) {
        // The base of adapters is there anyway.
        if !self.trainable.keeps_base() {
            self.reference = None;
            self.update_devices.forget();
        }
    }

    fn update_on(&mut self, devices: Vec<Device>) -> Result<()> {
        self.update_devices = UpdateDevices::new(devices);
        Ok(())
    }

    fn learner(&mut self) -> &mut dyn Learner {
        self.about_to_change();
        &mut self.learner
    }

    fn device(&self) -> Option<Device> {
        Some(self.device.clone())
    }

    fn copied(&self, device: &Device, last: Option<Box<dyn Policy>>) -> Result<Box<dyn Policy>> {
        let last = last.and_then(|last| (last as Box<dyn Any>).downcast::<Self>().ok());
        let model = self.scored().to_device(device);
        let training_device = device.clone().autodiff();
        let frozen = Trainable::frozen(&model, &training_device);
        Ok(Box::new(Self {
            config: self.config.clone(),
            ids: self.ids,
            text: self.text.clone(),
            trainable: self.trainable.clone(),
            precision: self.precision,
            learner: TapedLearner {
                inner: ModuleLearner::on_frozen_base(frozen, "a copy for rollouts"),
                tape: Tape::default(),
            },
            reference: None,
            fresh: false,
            scored: OnceCell::from(model),
            tokenizer: last.map_or_else(|| self.tokenizer.clone().to_device(device), |last| last.tokenizer),
            // What it is asked about is to be found again by this policy's updates.
            shown: self.shown.clone(),
            device: device.clone(),
            training_device,
            update_devices: UpdateDevices::default(),
        }))
    }

    fn token_states(&self, samples: &[Sample]) -> Result<Vec<TokenStates>> {
        token_states(self, samples)
    }

    fn half_precision(&self) -> bool {
        self.precision != Precision::F32
    }
}

impl JanusPolicy {
    fn replica(&self, device: &Device, reference: Option<&Janus>) -> JanusReplica {
        // Shares the values of the parameters, where they are on this device, and has a graph of its own.
        let tape = self.learner.tape.another();
        let current = self.module().clone().fork(&device.clone().autodiff()).with_tape(tape.clone());
        JanusReplica {
            current: self.scorer_of(current),
            tape,
            reference: reference.map(|reference| self.scorer_of(self.referring(reference, device))),
            home: self.device.clone(),
            dropout: self.trainable.dropout(),
        }
    }
}

/// A [`JanusPolicy`] for one thread.
struct JanusReplica {
    current: Scorer,
    tape: Tape<Janus, Layer>,
    reference: Option<Scorer>,
    /// Where its gradients are wanted.
    home: Device,
    dropout: f64,
}

impl Replica for JanusReplica {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        match parameters {
            Parameters::Current => recorded(&self.current, chunk, &self.tape, 0.0),
            Parameters::Reference => scored(self.reference.as_ref().ok_or_else(no_reference)?, chunk).map(constant),
            Parameters::Detached => scored(&self.current.with(self.current.model.valid()), chunk),
        }
    }

    fn training_log_probs(&self, chunk: &[Replay<'_>], noise: Stream) -> Result<LogProbs> {
        let scorer = self.current.with(dropped_out(self.current.model.clone(), self.dropout, noise));
        recorded(&scorer, chunk, &self.tape, self.dropout)
    }

    fn gradients(&self, loss: Tensor<1>) -> Result<GradientsParams> {
        let model = &self.current.model;
        Ok(self.tape.gradients(loss, model)?.to_device(&self.home, model))
    }
}

/// The scores of a model whose layers `tape` records, where it does.
fn recorded(scorer: &Scorer, chunk: &[Replay<'_>], tape: &Tape<Janus, Layer>, dropout: f64) -> Result<LogProbs> {
    let dropped_out = (dropout > 0.0).then(|| scorer.model.clone().with_tape(Tape::default()));
    tape.record(dropped_out, &scorer.model.device(), || scored(scorer, chunk))
}

fn scored(scorer: &Scorer, chunk: &[Replay<'_>]) -> Result<LogProbs> {
    let Some(first) = chunk.first() else {
        return Err(Error::contract("expected at least one replay in a chunk, got none"));
    };
    if chunk.iter().any(|replay| replay.decisions().is_empty()) {
        return Err(Error::contract("expected replays of one step or more, got one of none"));
    }
    match (first.segment().decoding, first.segment().kind) {
        (Decoding::Autoregressive, SegmentKind::Understanding) => scorer.text(chunk),
        (Decoding::Autoregressive, SegmentKind::Generation) => scorer.images(chunk),
        (Decoding::Masked, _) => Err(Error::contract(
            "expected images that were written code by code, got one that was denoised; this model does not denoise",
        )),
    }
}
