//! Epochs over the lessons of one concept.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use counterpoint::rand::seq::SliceRandom;
use counterpoint::{DecayScope, Error, Key, Learner, ModuleLearner, OptimizerConfig, Result, Stream, Streams};
use counterpoint_pictures::{cut, fit};
use counterpoint_samplers::MaskGitConfig;
use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::start::clusters_of;
use super::{Asked, Lessons, MaskedImage, Stage, StageConfig, answer_loss, image_loss, mask, perceived};
use crate::{
    Concept, ConceptTokens, MagvitV2, ModelFiles, Precision, Showo, ShowoConfig, ShowoPolicy, TextTokenizer, Trainable,
    picture,
};

/// A model without the concept that is to be learned: what the stages of all concepts share.
pub struct Base {
    config: ShowoConfig,
    decoder: Showo,
    image: MagvitV2,
    tokenizer: std::path::PathBuf,
    device: Device,
    training_device: Device,
}

impl Base {
    /// Reads a model onto `device`, which is without autodiff. Concepts that `files` names are left out.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) or [`Weights`](counterpoint::ErrorKind::Weights) naming the file.
    pub fn load(files: &ModelFiles, device: &Device, precision: Precision) -> Result<Self> {
        let config = ShowoConfig::load_with(&files.config, files.llm_config.as_deref())?;
        TextTokenizer::load(&files.tokenizer, &config)?;
        Ok(Self {
            decoder: Showo::load_in(&config, &files.weights, device, precision)?,
            image: MagvitV2::load(&config.magvitv2, &files.image_tokenizer, device)?,
            tokenizer: files.tokenizer.clone(),
            device: device.clone(),
            training_device: device.clone().autodiff(),
            config,
        })
    }

    /// The model's sizes and ids, without the concept.
    pub fn config(&self) -> &ShowoConfig {
        &self.config
    }

    /// Image codes `[N]` of a photograph, fitted to the model's size.
    fn codes(&self, photo: &RgbImage) -> Result<Vec<u32>> {
        let codes = picture::codes(&self.image, std::slice::from_ref(photo), self.config.image_size(), &self.device)?;
        Ok(codes.into_iter().flatten().collect())
    }

    /// Images of the concept as the stage before paints them.
    fn perceived(&self, before: &ConceptTokens, settings: &StageConfig, seed: u64) -> Result<Vec<RgbImage>> {
        let (config, decoder) = self.decoder.clone().with_concepts(&self.config, std::slice::from_ref(before))?;
        let text = TextTokenizer::load(&self.tokenizer, &config)?;
        let policy = ShowoPolicy::new(config, decoder, Some(text), self.image.clone(), &self.device)?;
        let sampler = MaskGitConfig {
            timesteps: settings.perceived_steps,
            checkpoint_step: 1,
            guidance_scale: settings.perceived_guidance,
            ..MaskGitConfig::default()
        };
        let prompt = settings.perceived_prompt.replace("{concept}", &before.concept.token());
        perceived(&policy, &prompt, settings.perceived, sampler, settings.perceived_at, seed)
    }

    /// The rows that `stage` begins from: clusters of the photographs for the stages `understanding` and `joint`, else those
    /// of the stage `before`, with more tokens where `concept` has more. Those of `perception` are clusters of images that the
    /// stage before [paints](perceived).
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when a stage that follows another has none before it, or none of its lessons
    /// has a photograph.
    pub fn begin(
        &self,
        stage: Stage,
        settings: &StageConfig,
        concept: Concept,
        lessons: &Lessons,
        before: Option<ConceptTokens>,
        seed: u64,
    ) -> Result<ConceptTokens> {
        let mut noise = Streams::new(seed).stream(Key::task(0, 0), &format!("concept.{}", concept.name), 0);
        match (before, stage) {
            (Some(before), Stage::Perception) if settings.perceived > 0 && concept.perception > 0 => {
                let images = self.perceived(&before, settings, seed)?;
                let codes = images.iter().map(|image| self.codes(image)).collect::<Result<Vec<_>>>()?;
                let count = concept.tokens() - before.concept.tokens();
                let centres = clusters_of(&self.config, &self.decoder, &codes, count, &mut noise)?;
                before.grown(concept, &self.config, &self.decoder, Some(centres))
            }
            (Some(before), _) => before.grown(concept, &self.config, &self.decoder, None),
            (None, Stage::Understanding | Stage::Joint) => {
                let mut codes = Vec::new();
                for photo in &lessons.photographs {
                    codes.push(self.codes(photo)?);
                }
                let text = TextTokenizer::load(&self.tokenizer, &self.config)?;
                ConceptTokens::from_clusters(
                    concept,
                    &self.config,
                    &self.decoder,
                    &text,
                    &lessons.class,
                    &codes,
                    &mut noise,
                )
            }
            (None, Stage::Generation | Stage::Perception) => Err(Error::config(format!(
                "concept {}: stage `{}` goes on from another: expected its tokens, got none",
                concept.name,
                stage.name()
            ))),
        }
    }
}

/// Mean losses of an epoch, in nats per token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochLosses {
    /// Epochs done, from 1.
    pub epoch: u32,
    /// What was lowered: the weighted sum.
    pub loss: f64,
    /// Of images, where the stage has captions.
    pub image: Option<f64>,
    /// Of answers.
    pub answer: f64,
}

/// One stage of one concept under training. Nothing but the rows of [`Stage`]'s tokens moves.
pub struct Personalisation<'a> {
    base: &'a Base,
    stage: Stage,
    config: ShowoConfig,
    text: TextTokenizer,
    learner: ModuleLearner<Showo>,
    /// The name's rows as the stage began.
    name: [Tensor<1>; 3],
    settings: StageConfig,
    name_pull: f64,
    lessons: &'a Lessons,
    streams: Streams,
    concept: String,
    epoch: u32,
}

impl<'a> Personalisation<'a> {
    /// Begins `stage` from `start`. `lessons` of a stage that does not paint are its questions alone.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) for settings, [`Data`](counterpoint::ErrorKind::Data) when there is nothing to
    /// learn from, [`Weights`](counterpoint::ErrorKind::Weights) when the rows belong to another model.
    pub fn new(
        base: &'a Base,
        stage: Stage,
        settings: &StageConfig,
        start: ConceptTokens,
        lessons: &'a Lessons,
        seed: u64,
    ) -> Result<Self> {
        settings.validate()?;
        let concept = start.concept.clone();
        let missing = match (stage.paints(), lessons.captioned.is_empty(), lessons.asked.is_empty()) {
            (_, _, true) => Some("questions about its photographs"),
            (true, true, _) => Some("photographs with captions"),
            _ => None,
        };
        if let Some(missing) = missing {
            return Err(Error::data(format!("concept {}: stage `{}` needs {missing}", concept.name, stage.name())));
        }
        let (config, decoder) = base.decoder.clone().with_concepts(&base.config, &[start])?;
        let text = TextTokenizer::load(&base.tokenizer, &config)?;
        for Asked { answer, .. } in &lessons.asked {
            if text.encode_answer(answer)?.is_empty() {
                return Err(Error::data(format!(
                    "concept {}: expected answers that the model's tokenizer can write, got {answer:?}",
                    concept.name
                )));
            }
        }
        let ids = config.concept_ids(&concept.name)?;
        let trained = match stage {
            Stage::Perception => vec![ids.start..ids.start + 1, ids.end - concept.perception..ids.end],
            _ => std::iter::once(ids.clone()).collect(),
        };
        let decoder = Trainable::frozen(&decoder.no_grad(), &base.training_device).with_trainable_rows(&trained)?;
        let name = decoder.first_trainable_row()?.map(Tensor::detach);
        let mut learner = ModuleLearner::on_frozen_base(decoder, format!("tokens of {}", concept.name));
        let mut optimizer = OptimizerConfig::default();
        optimizer.epsilon = settings.epsilon;
        optimizer.weight_decay = settings.weight_decay;
        optimizer.decay_scope = DecayScope::All;
        learner.configure(&optimizer);
        Ok(Self {
            text,
            name_pull: if stage == Stage::Understanding { 0.0 } else { settings.name_pull },
            settings: settings.clone(),
            concept: concept.name,
            streams: Streams::new(seed),
            epoch: 0,
            base,
            stage,
            config,
            learner,
            name,
            lessons,
        })
    }

    /// Epochs done.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// One pass over the lessons, in an order of its own. What is drawn depends on the seed and the epoch alone.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when a lesson does not fit the model, [`Contract`](counterpoint::ErrorKind::Contract)
    /// when losses are no longer finite: nothing of the epoch is to be kept then.
    pub fn train_epoch(&mut self) -> Result<EpochLosses> {
        let key = Key::task(u64::from(self.epoch), 0);
        let mut noise = self.streams.stream(key, &format!("personalise.{}", self.concept), 0);
        let captions = if self.stage.paints() { self.lessons.captioned.len() } else { 0 };
        let captioned = self.batches(captions, self.settings.captioned_per_step, &mut noise);
        let asked = self.batches(self.lessons.asked.len(), self.settings.asked_per_step, &mut noise);
        let steps = captioned.len().max(asked.len());
        let (mut total, mut image_sum, mut answer_sum) = (0.0, 0.0, 0.0);
        for step in 0..steps {
            let image = match captioned.is_empty() {
                true => None,
                false => Some(self.image_loss(&captioned[step % captioned.len()], &mut noise)?),
            };
            let answer = self.answer_loss(&asked[step % asked.len()], &mut noise)?;
            let (weights, mut loss) = match &image {
                Some(image) => {
                    let weights = [self.settings.image_weight, self.settings.answer_weight];
                    (weights, image.clone() * weights[0] + answer.clone() * weights[1])
                }
                None => ([0.0, 1.0], answer.clone()),
            };
            let parts = [image.map(value).transpose()?.unwrap_or(0.0), value(answer)?];
            image_sum += parts[0];
            answer_sum += parts[1];
            total += weights[0] * parts[0] + weights[1] * parts[1];
            if self.name_pull > 0.0 {
                loss = loss + self.distance_of_name()? * self.name_pull;
            }
            self.learner.accumulate(loss)?;
            self.learner.apply(self.settings.learning_rate, 1.0)?;
        }
        self.epoch += 1;
        let steps = steps as f64;
        let losses = EpochLosses {
            epoch: self.epoch,
            loss: total / steps,
            image: (!captioned.is_empty()).then_some(image_sum / steps),
            answer: answer_sum / steps,
        };
        match losses.loss.is_finite() {
            true => Ok(losses),
            false => Err(Error::contract(format!(
                "concept {}, epoch {}: the loss is {}; lower learning_rate",
                self.concept, self.epoch, losses.loss
            ))),
        }
    }

    /// The concept's rows as they are now.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when the model has lost the concept, which it does not.
    pub fn tokens(&self) -> Result<ConceptTokens> {
        ConceptTokens::of(&self.learner.module().merged(), &self.config, &self.concept)
    }

    /// The model as it is now, with the concept, and its config.
    pub fn model(&self) -> (&ShowoConfig, &Showo) {
        (&self.config, self.learner.module())
    }

    /// Writes rows and optimizer into the folder `dir`, which is there.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.learner.save(dir)
    }

    /// Goes on from what [`save`](Self::save) wrote after `epoch` epochs of this stage, bit for bit.
    ///
    /// # Errors
    /// [`Checkpoint`](counterpoint::ErrorKind::Checkpoint) when the files are not those of this stage on this model.
    pub fn load(&mut self, dir: &Path, epoch: u32) -> Result<()> {
        self.learner.load(dir)?;
        self.epoch = epoch;
        Ok(())
    }

    /// Lessons `0..count` in random order, `size` in each batch but for the last.
    fn batches(&self, count: usize, size: usize, noise: &mut Stream) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(noise);
        order.chunks(size).map(<[usize]>::to_vec).collect()
    }

    fn image_loss(&self, lessons: &[usize], noise: &mut Stream) -> Result<Tensor<1>> {
        let mut images = Vec::with_capacity(lessons.len());
        for lesson in lessons.iter().map(|&at| &self.lessons.captioned[at]) {
            let codes = self.codes(&lesson.image, true, noise)?;
            let dropped = noise.uniform() < self.settings.condition_dropout;
            let caption = if dropped { Vec::new() } else { self.text.encode(&lesson.caption)? };
            let hidden = mask(codes.len(), self.settings.min_masking_rate, noise);
            images.push(MaskedImage { caption, codes, hidden });
        }
        image_loss(self.learner.module(), &self.config, &images)
    }

    fn answer_loss(&self, lessons: &[usize], noise: &mut Stream) -> Result<Tensor<1>> {
        let mut conversations = Vec::with_capacity(lessons.len());
        for lesson in lessons.iter().map(|&at| &self.lessons.asked[at]) {
            let codes = self.codes(&lesson.image, false, noise)?;
            let answer = self.text.encode_answer(&lesson.answer)?;
            conversations.push((codes, self.text.encode_question(&lesson.question)?, answer));
        }
        let conversations: Vec<_> = conversations.iter().map(|(c, q, a)| (&c[..], &q[..], &a[..])).collect();
        answer_loss(self.learner.module(), &self.config, &conversations)
    }

    /// Image codes `[N]` of a photograph, another view of it each time where the settings say so.
    fn codes(&self, photo: &RgbImage, crops: bool, noise: &mut Stream) -> Result<Vec<u32>> {
        if !self.settings.augment {
            return self.base.codes(photo);
        }
        let side = self.config.image_size();
        let mut view = match crops {
            true => cut(photo, side as u32, (side as f32 * 1.1) as u32, [noise.uniform(), noise.uniform()]),
            false => fit(photo, side as u32),
        };
        if noise.uniform() < 0.25 {
            view = counterpoint::image::imageops::flip_horizontal(&view);
        }
        self.base.codes(&view)
    }

    /// Squared distance of the name's rows from where they began.
    fn distance_of_name(&self) -> Result<Tensor<1>> {
        let now = self.learner.module().first_trainable_row()?;
        let distances = now.into_iter().zip(self.name.clone()).map(|(now, then)| (now - then).square().sum()).collect();
        Ok(Tensor::cat(distances, 0).sum())
    }
}

fn value(loss: Tensor<1>) -> Result<f64> {
    let read = loss.try_into_scalar::<f32>();
    Ok(f64::from(read.map_err(|e| Error::device("cannot read a loss from the device").with_source(e.to_string()))?))
}
