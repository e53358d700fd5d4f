//! Reason first, paint then: the sampler of models that do both.

use std::marker::PhantomData;
use std::sync::Arc;

use counterpoint::{Candidate, Draft, Policy, Result, Rollout, Sample, Segment, Task, Trajectory, TypedSampler};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::{
    Autoregressive, AutoregressiveConfig, Canvas, Continuation, ImageModel, MaskGit, MaskGitConfig, TextModel,
};

/// A model that understands and generates: text, images, and how a task becomes token ids.
pub trait UnifiedModel: TextModel + ImageModel {
    /// Ids of the understanding prompt: the task's image (or a blank one) and its question.
    ///
    /// # Errors
    /// When the task does not fit the model.
    fn question(&self, task: &Task) -> Result<Vec<u32>>;

    /// The compound prompt CP = base prompt + IR as text.
    fn compound_prompt(&self, task: &Task, response: &str) -> String {
        format!("{} {response}", task.base_prompt).trim().to_owned()
    }

    /// Ids of a generation prompt.
    ///
    /// # Errors
    /// When the prompt does not fit the model.
    fn generation_prompt(&self, prompt: &str) -> Result<Vec<u32>>;

    /// Text of ids, special tokens left out.
    ///
    /// # Errors
    /// When an id is not in the vocabulary.
    fn text(&self, ids: &[u32]) -> Result<String>;

    /// Images of codes, `[B][N]`.
    ///
    /// # Errors
    /// When the device fails.
    fn images(&self, codes: &[&[u32]]) -> Result<Vec<RgbImage>>;
}

/// Settings of [`UnifiedSampler`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnifiedConfig {
    /// How the reasoning is written.
    pub text: AutoregressiveConfig,
    /// How the image is painted.
    pub image: MaskGitConfig,
}

impl UnifiedConfig {
    /// The sampler for policies of type `P`.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming the key that is out of range.
    pub fn init<P: Policy + UnifiedModel>(self) -> Result<UnifiedSampler<P>> {
        Ok(UnifiedSampler { text: self.text.init()?, image: self.image.init()?, policy: PhantomData })
    }
}

/// Draws o_i = (IR_i, I_{i,0..T}) from a [`UnifiedModel`]: reasoning text given the question, then MaskGIT given the
/// compound prompt CP = base prompt + IR.
pub struct UnifiedSampler<P> {
    text: Autoregressive,
    image: MaskGit,
    policy: PhantomData<fn(P)>,
}

/// A draft between its two phases.
pub struct InTheMaking<T> {
    question: Vec<u32>,
    text: Continuation,
    response: String,
    prompt: String,
    prompt_ids: Vec<u32>,
    canvas: Canvas,
    /// Its prompts, once its painting has begun.
    prompts: Option<T>,
}

impl<P: Policy + UnifiedModel> TypedSampler<P> for UnifiedSampler<P> {
    type Draft = InTheMaking<P::Prompts>;

    fn draft(
        &mut self,
        policy: &P,
        task: &Task,
        candidates: &[Candidate],
        previews: bool,
    ) -> Result<Vec<Draft<Self::Draft>>> {
        let question = policy.question(task)?;
        let texts = self.text.generate(policy, &question, candidates)?;
        let mut states = Vec::with_capacity(texts.len());
        for text in texts {
            let response = policy.text(&text.tokens)?.trim().to_owned();
            let prompt = policy.compound_prompt(task, &response);
            let prompt_ids = policy.generation_prompt(&prompt)?;
            let question = question.clone();
            let canvas = Canvas::default();
            states.push(InTheMaking { question, text, response, prompt, prompt_ids, canvas, prompts: None });
        }
        let checkpoint = if previews { self.image.checkpoint_step() } else { 0 };
        self.paint(policy, candidates, &mut states, checkpoint)?;
        let images = if previews { self.images(policy, &states)? } else { vec![None; states.len()] };
        let steps_left = self.image.config().timesteps - checkpoint;
        let draft = |((state, image), &candidate): ((Self::Draft, _), &Candidate)| {
            let number = candidate.key.candidate;
            let preview =
                previews.then(|| Sample::new(task, number, state.prompt.clone(), state.response.clone(), image));
            Draft::new(candidate, state, checkpoint, steps_left).with_preview(preview)
        };
        Ok(states.into_iter().zip(images).zip(candidates).map(draft).collect())
    }

    fn finish(&mut self, policy: &P, task: &Task, drafts: Vec<Draft<Self::Draft>>) -> Result<Vec<Rollout>> {
        let candidates: Vec<Candidate> = drafts.iter().map(|d| d.candidate).collect();
        let mut states: Vec<_> = drafts.into_iter().map(|draft| draft.state).collect();
        self.paint(policy, &candidates, &mut states, self.image.config().timesteps)?;
        let images = self.images(policy, &states)?;
        Ok(states
            .into_iter()
            .zip(images)
            .zip(candidates)
            .map(|((state, image), candidate)| self.rollout(policy, task, candidate.key.candidate, state, image))
            .collect())
    }
}

impl<P: Policy + UnifiedModel> UnifiedSampler<P> {
    fn paint(
        &self,
        policy: &P,
        candidates: &[Candidate],
        states: &mut [InTheMaking<P::Prompts>],
        until: usize,
    ) -> Result<()> {
        if until == 0 || states.is_empty() {
            return Ok(());
        }
        let prompts = match self.begun(policy, states) {
            Some(prompts) => prompts,
            None => {
                let ids: Vec<&[u32]> = states.iter().map(|s| s.prompt_ids.as_slice()).collect();
                policy.prepare(&ids, self.image.config().guidance_scale)?
            }
        };
        let mut canvases: Vec<Canvas> = states.iter_mut().map(|s| std::mem::take(&mut s.canvas)).collect();
        self.image.advance(policy, &prompts, candidates, &mut canvases, until)?;
        let unfinished = until < self.image.config().timesteps;
        for (number, (state, canvas)) in states.iter_mut().zip(canvases).enumerate() {
            state.canvas = canvas;
            // Each draft keeps its own, so that those of dropped drafts are freed.
            state.prompts = if unfinished { policy.gather(&[&prompts], &[(0, number)]) } else { None };
        }
        Ok(())
    }

    /// The prompts of drafts whose painting has begun, put together.
    fn begun(&self, policy: &P, states: &mut [InTheMaking<P::Prompts>]) -> Option<P::Prompts> {
        let begun: Vec<P::Prompts> = states.iter_mut().map(|s| s.prompts.take()).collect::<Option<_>>()?;
        let picked: Vec<(usize, usize)> = (0..begun.len()).map(|draft| (draft, 0)).collect();
        policy.gather(&begun.iter().collect::<Vec<_>>(), &picked)
    }

    fn images(&self, policy: &P, states: &[InTheMaking<P::Prompts>]) -> Result<Vec<Option<Arc<RgbImage>>>> {
        let tokens = policy.image_tokens();
        let codes: Vec<&[u32]> = states.iter().map(|s| s.canvas.prediction(tokens)).collect();
        Ok(policy.images(&codes)?.into_iter().map(|image| Some(Arc::new(image))).collect())
    }

    fn rollout(
        &self,
        policy: &P,
        task: &Task,
        candidate: u64,
        state: InTheMaking<P::Prompts>,
        image: Option<Arc<RgbImage>>,
    ) -> Rollout {
        let understanding = Segment::text(state.question, state.text.tokens, state.text.log_probs)
            .with_temperature(self.text.scoring_temperature());
        let Canvas { chosen, log_probs, undecided, .. } = state.canvas;
        let generation = Segment::masked(state.prompt_ids, policy.image_tokens(), chosen, log_probs, undecided)
            .with_guidance(self.image.config().guidance_scale)
            .with_temperature(self.image.config().token_temperature);
        Rollout::new(
            Trajectory::new(candidate, vec![understanding, generation]),
            Sample::new(task, candidate, state.prompt, state.response, image),
        )
    }
}
