//! Show-o under training.

use std::any::Any;
use std::cell::OnceCell;
use std::sync::Arc;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use counterpoint::{
    Decoding, Error, Learner, LogProbs, ModuleLearner, Parameters, Policy, Replay, Replica, Result, Sample, Stream,
    Task, TokenStates,
};

use counterpoint_policy_common::learner::TapedLearner;
use counterpoint_policy_common::lora::dropped_out;
use counterpoint_policy_common::replay::constant;
use counterpoint_policy_common::tape::Tape;
use counterpoint_policy_common::update_devices::{UpdateDevices, no_reference};

use crate::check::check;
use crate::image_prompts::ImagePrompts;
use crate::memory::chunk_bytes;
use crate::phi::DecoderLayer;
use crate::replay::{image_log_probs, text_log_probs};
use crate::scorer::Scorer;
use crate::states::token_states;
use crate::{AnswerIds, FastPaths, KvCache, MagvitV2, Precision, Showo, ShowoConfig, TextTokenizer, Trainable, tokens};

/// A [`Policy`] over a [`Showo`] decoder with its image and text tokenizers, which are frozen.
pub struct ShowoPolicy {
    config: Arc<ShowoConfig>,
    fast: FastPaths,
    answer_ids: AnswerIds,
    precision: Precision,
    trainable: Trainable,
    learner: TapedLearner<Showo, DecoderLayer>,
    /// None once it was given back.
    reference: Option<Showo>,
    /// Whether the decoder is still the reference: nobody had the chance to change either.
    fresh: bool,
    /// What holds until the parameters change.
    rollouts: OnceCell<Rollouts>,
    text: Option<TextTokenizer>,
    image: MagvitV2,
    blank: OnceCell<Vec<u32>>,
    device: Device,
    /// The same with autodiff.
    training_device: Device,
    update_devices: UpdateDevices<Showo>,
}

/// What is computed once for each state of the parameters.
struct Rollouts {
    /// The decoder without gradients.
    scorer: Scorer,
    empty_prompt: OnceCell<KvCache>,
}

impl ShowoPolicy {
    /// Puts a policy together. `decoder` lives on `device`, without autodiff; it becomes the frozen reference too.
    /// Everything is trained until [`with_trainable`](Self::with_trainable) says otherwise.
    /// Without a text tokenizer it can be trained and scored on token ids, and draws none from tasks.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when the numbers of `config` do not agree with each other.
    pub fn new(
        config: ShowoConfig,
        decoder: Showo,
        text: Option<TextTokenizer>,
        image: MagvitV2,
        device: &Device,
    ) -> Result<Self> {
        Self::assemble(config, decoder, text, image, device, Precision::F32, &Trainable::All)
    }

    pub(crate) fn assemble(
        config: ShowoConfig,
        decoder: Showo,
        text: Option<TextTokenizer>,
        image: MagvitV2,
        device: &Device,
        precision: Precision,
        trainable: &Trainable,
    ) -> Result<Self> {
        config.validate()?;
        let training_device = device.clone().autodiff();
        let reference = decoder.clone().no_grad().stored_in(precision);
        let base = match trainable.keeps_base() {
            true => reference.clone(),
            // Parameters that are trained keep all their bits.
            false => decoder.stored_in(Precision::F32).computing_in(precision),
        };
        let trained = trainable.attach(&config, &base, &training_device)?;
        let policy = Self {
            config: Arc::new(config),
            fast: FastPaths::default(),
            answer_ids: AnswerIds::default(),
            precision,
            trainable: Trainable::All,
            learner: TapedLearner { inner: ModuleLearner::new(trained.clone()), tape: Tape::default() },
            reference: Some(reference),
            fresh: true,
            rollouts: OnceCell::new(),
            text,
            image,
            blank: OnceCell::new(),
            device: device.clone(),
            training_device,
            update_devices: UpdateDevices::default(),
        };
        Ok(policy.training(trained, trainable.clone()))
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

    /// Draws and scores answers over these ids.
    pub fn with_answer_ids(mut self, answer_ids: AnswerIds) -> Self {
        self.answer_ids = answer_ids;
        self.rollouts.take();
        self
    }

    /// The ids that answers are drawn and scored over.
    pub fn answer_ids(&self) -> AnswerIds {
        self.answer_ids
    }

    /// Computes in `precision`. What is trained stays f32, and so do gradients and optimizer state. The reference is stored
    /// in `precision`, and so is what LoRA and concept tokens leave frozen.
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

    /// What it computes in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether updates keep of every layer what goes in alone, and compute it again on the way back: much less memory, for
    /// about one forward pass more. Gradients are the same but for the order of sums.
    ///
    /// A loss is then to be of the latest [`log_probs`](Policy::log_probs) or
    /// [`training_log_probs`](Policy::training_log_probs) alone, as the updater's are, and back-propagated by
    /// [`Policy::learner`] or by the replica that gave the scores; one that depends on earlier scores is refused.
    ///
    /// # Errors
    /// As [`with_trainable`](Self::with_trainable), which starts anew.
    pub fn with_gradient_checkpointing(mut self, on: bool) -> Result<Self> {
        self.learner.tape = Tape::new(on);
        let trainable = self.trainable.clone();
        self.with_trainable(&trainable)
    }

    /// The device of updates, with autodiff.
    pub(crate) fn training_device(&self) -> &Device {
        &self.training_device
    }

    /// The same policy with just this part of its decoder under training, beginning from the decoder as it is now. The
    /// reference stays what it is; with LoRA and concept tokens it is the base itself, without a second copy. In f32 other
    /// frozen parameters share their tensors with it too. A new optimizer starts: [`configure`](Learner::configure) it again.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config), naming the key, when a number is out of range, a target is unknown or
    /// the model has no concept tokens to train.
    pub fn with_trainable(self, trainable: &Trainable) -> Result<Self> {
        trainable.validate()?;
        let decoder = trainable.attach(&self.config, &self.base(trainable), &self.training_device)?;
        Ok(self.training(decoder, trainable.clone()))
    }

    /// The decoder as it is now, as `trainable` builds on it.
    pub(crate) fn base(&self, trainable: &Trainable) -> Showo {
        match (trainable.keeps_base(), &self.reference) {
            // Parameters that are trained keep all their bits.
            (false, _) => self.merged().stored_in(Precision::F32).computing_in(self.precision),
            (true, Some(reference)) if self.fresh => reference.clone(),
            (true, _) => self.merged().stored_in(self.precision),
        }
    }

    /// The same policy with this decoder under training.
    pub(crate) fn training(mut self, decoder: Showo, trainable: Trainable) -> Self {
        self.learner.inner = match trainable {
            Trainable::All => ModuleLearner::new(decoder),
            _ => ModuleLearner::on_frozen_base(decoder, trainable.describe()),
        };
        self.trainable = trainable;
        self.rollouts.take();
        self
    }

    /// The same policy, whose decoder is no longer the reference.
    pub(crate) fn changed(mut self) -> Self {
        self.fresh = false;
        self
    }

    /// What is trained.
    pub fn trainable(&self) -> &Trainable {
        &self.trainable
    }

    /// The decoder as it is now, without autodiff, adapters and concept tokens merged into its weights.
    pub fn merged(&self) -> Showo {
        self.decoder().merged()
    }

    /// The model's sizes and ids.
    pub fn config(&self) -> &ShowoConfig {
        &self.config
    }

    /// The decoder under training.
    pub fn decoder(&self) -> &Showo {
        self.learner.inner.module()
    }

    /// The learner, typed. Losses of [`log_probs`](Policy::log_probs) go to [`Policy::learner`], which knows the way back through
    /// layers that are computed again.
    pub fn module_learner(&mut self) -> &mut ModuleLearner<Showo> {
        // Whoever has it may change the parameters.
        self.rollouts.take();
        self.fresh = false;
        &mut self.learner.inner
    }

    /// Replaces the frozen reference.
    pub fn set_reference(&mut self, reference: Showo) {
        self.reference = Some(reference.no_grad().stored_in(self.precision));
        self.update_devices.forget();
        self.fresh = false;
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

    /// Image codes of a black image, as the public code shows it for questions that are about none; encoded when first
    /// asked for.
    pub(crate) fn blank(&self) -> Result<&[u32]> {
        if let Some(codes) = self.blank.get() {
            return Ok(codes);
        }
        let size = self.config.image_size();
        let pixels = Tensor::<4>::full([1, 3, size, size], -1.0, (&self.device, DType::F32));
        let codes = tokens::to_rows(self.image.encode(pixels)?)?.remove(0);
        Ok(self.blank.get_or_init(|| codes))
    }

    /// Device of the model, without autodiff.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What scores under `weights`.
    ///
    /// # Errors
    /// For a reference that was given back.
    pub(crate) fn scorer(&self, parameters: Parameters) -> Result<Scorer> {
        match parameters {
            Parameters::Current => Ok(self.current()),
            Parameters::Detached => Ok(self.detached()),
            Parameters::Reference => {
                let reference = self.reference.as_ref().ok_or_else(no_reference)?;
                Ok(self.reference_scorer_of(reference, &self.device))
            }
        }
    }

    fn current(&self) -> Scorer {
        let model = self.learner.inner.module().clone().with_tape(self.learner.tape.clone());
        self.scorer_of(model, self.training_device.clone())
    }

    /// What samples and previews are drawn from.
    pub(crate) fn detached(&self) -> Scorer {
        self.rollouts().scorer.clone()
    }

    /// The reference on a device. In half precision it goes the way of the parameters under training, operation by operation: where
    /// gradients flow burn computes norms, softmax and attention by other kernels, and what these round otherwise would
    /// be a divergence between equal parameters.
    fn reference_scorer_of(&self, reference: &Showo, device: &Device) -> Scorer {
        match self.half_precision() {
            true => {
                let device = device.clone().autodiff();
                self.scorer_of(Trainable::frozen(reference, &device), device)
            }
            false => self.scorer_of(reference.clone(), device.clone()),
        }
    }

    fn scorer_of(&self, model: Showo, device: Device) -> Scorer {
        let model = model.with_fused_attention(self.fast.fused_attention);
        Scorer { config: self.config.clone(), model, device, fast: self.fast, answer_ids: self.answer_ids }
    }

    fn rollouts(&self) -> &Rollouts {
        self.rollouts.get_or_init(|| {
            let model = match (&self.trainable, self.precision) {
                // Adapters cost nothing once they are merged. In half precision they stay beside the weights, whose
                // last bits are larger than what adapters learn.
                (Trainable::Lora(_), Precision::F32) => self.merged(),
                _ => self.decoder().valid(),
            };
            let scorer = self.scorer_of(model.stored_in(self.precision), self.device.clone());
            Rollouts { scorer, empty_prompt: OnceCell::new() }
        })
    }

    /// Keys and values of the empty prompt under the current parameters.
    pub(crate) fn empty_prompt(&self) -> Result<KvCache> {
        let rollouts = self.rollouts();
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

    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        let scorer = self.scorer(parameters)?;
        match parameters {
            Parameters::Current => recorded(chunk, &scorer, &self.learner.tape, 0.0),
            Parameters::Detached => scored(chunk, &scorer),
            Parameters::Reference => scored(chunk, &scorer).map(constant),
        }
    }

    /// The scores under [`Parameters::Current`], with the adapters' dropout.
    fn training_log_probs(&self, chunk: &[Replay<'_>], noise: Stream) -> Result<LogProbs> {
        let mut scorer = self.current();
        let dropout = self.trainable.dropout();
        scorer.model = dropped_out(scorer.model, dropout, noise);
        recorded(chunk, &scorer, &self.learner.tape, dropout)
    }

    fn chunk_bytes(&self, chunk: &[Replay<'_>]) -> Option<u64> {
        Some(chunk_bytes(
            &self.config,
            self.fast,
            self.answer_ids,
            self.precision,
            &self.trainable,
            self.learner.tape.is_on(),
            chunk,
        ))
    }

    fn replicas(&self) -> Vec<Box<dyn Replica>> {
        let places =
            self.update_devices.replicas(&self.device, self.fast.threads(&self.device), self.reference.as_ref());
        let boxed = |(device, reference)| Box::new(self.replica(device, reference)) as Box<dyn Replica>;
        places.into_iter().map(boxed).collect()
    }

    fn drop_reference(&mut self) {
        // The base of adapters and concept tokens is there anyway.
        if !self.trainable.keeps_base() {
            self.reference = None;
            self.update_devices.forget();
        }
    }

    fn update_on(&mut self, devices: Vec<Device>) -> Result<()> {
        self.update_devices = UpdateDevices::new(devices);
        Ok(())
    }

    fn device(&self) -> Option<Device> {
        Some(self.device.clone())
    }

    fn copied(&self, device: &Device, last: Option<Box<dyn Policy>>) -> Result<Box<dyn Policy>> {
        let last = last.and_then(|last| (last as Box<dyn Any>).downcast::<Self>().ok());
        let model = self.rollouts().scorer.model.clone().to_device(device);
        let training_device = device.clone().autodiff();
        let frozen = Trainable::frozen(&model, &training_device);
        let scorer = self.scorer_of(model.clone(), device.clone());
        Ok(Box::new(Self {
            config: self.config.clone(),
            fast: self.fast,
            answer_ids: self.answer_ids,
            precision: self.precision,
            trainable: self.trainable.clone(),
            learner: TapedLearner {
                inner: ModuleLearner::on_frozen_base(frozen, "a copy for rollouts"),
                tape: Tape::default(),
            },
            reference: None,
            fresh: false,
            rollouts: OnceCell::from(Rollouts { scorer, empty_prompt: OnceCell::new() }),
            text: self.text.clone(),
            image: last.map_or_else(|| self.image.clone().to_device(device), |last| last.image),
            blank: self.blank.clone(),
            device: device.clone(),
            training_device,
            update_devices: UpdateDevices::default(),
        }))
    }

    fn check(&self, tasks: &[Task]) -> Result<()> {
        check(self, tasks)
    }

    fn token_states(&self, samples: &[Sample]) -> Result<Vec<TokenStates>> {
        token_states(self, samples)
    }

    fn half_precision(&self) -> bool {
        self.precision != Precision::F32
    }

    fn learner(&mut self) -> &mut dyn Learner {
        // Whoever has it may change the parameters.
        self.rollouts.take();
        self.fresh = false;
        &mut self.learner
    }
}

impl ShowoPolicy {
    fn replica(&self, device: &Device, reference: Option<&Showo>) -> ShowoReplica {
        let mut current = self.current();
        // Shares the values of the parameters, where they are on this device, and has a graph of its own.
        let tape = self.learner.tape.another();
        current.device = device.clone().autodiff();
        current.model = current.model.fork(&current.device).with_tape(tape.clone());
        ShowoReplica {
            current,
            tape,
            reference: reference.map(|reference| self.reference_scorer_of(reference, device)),
            device: device.clone(),
            home: self.device.clone(),
            dropout: self.trainable.dropout(),
        }
    }
}

/// A [`ShowoPolicy`] for one thread.
struct ShowoReplica {
    current: Scorer,
    tape: Tape<Showo, DecoderLayer>,
    reference: Option<Scorer>,
    /// Without autodiff.
    device: Device,
    /// Where its gradients are wanted.
    home: Device,
    dropout: f64,
}

impl Replica for ShowoReplica {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        match parameters {
            Parameters::Current => recorded(chunk, &self.current, &self.tape, 0.0),
            Parameters::Reference => scored(chunk, self.reference.as_ref().ok_or_else(no_reference)?).map(constant),
            Parameters::Detached => {
                let model = self.current.model.valid();
                scored(chunk, &Scorer { model, device: self.device.clone(), ..self.current.clone() })
            }
        }
    }

    fn training_log_probs(&self, chunk: &[Replay<'_>], noise: Stream) -> Result<LogProbs> {
        let model = dropped_out(self.current.model.clone(), self.dropout, noise);
        recorded(chunk, &Scorer { model, ..self.current.clone() }, &self.tape, self.dropout)
    }

    fn gradients(&self, loss: Tensor<1>) -> Result<GradientsParams> {
        let gradients = self.tape.gradients(loss, &self.current.model)?;
        Ok(gradients.to_device(&self.home, &self.current.model))
    }
}

/// The scores of a model whose layers `tape` records, where it does.
fn recorded(chunk: &[Replay<'_>], scorer: &Scorer, tape: &Tape<Showo, DecoderLayer>, dropout: f64) -> Result<LogProbs> {
    let dropped_out = (dropout > 0.0).then(|| scorer.model.clone().with_tape(Tape::default()));
    tape.record(dropped_out, &scorer.device, || scored(chunk, scorer))
}

fn scored(chunk: &[Replay<'_>], scorer: &Scorer) -> Result<LogProbs> {
    let Some(first) = chunk.first() else {
        return Err(Error::contract("expected at least one replay in a chunk, got none"));
    };
    if chunk.iter().any(|replay| replay.decisions().is_empty()) {
        return Err(Error::contract("expected replays of one step or more, got one of none"));
    }
    match first.segment().decoding {
        Decoding::Autoregressive => text_log_probs(scorer, chunk),
        Decoding::Masked => image_log_probs(scorer, chunk),
    }
}
