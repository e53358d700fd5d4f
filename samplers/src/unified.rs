//! Reason first, paint then: the sampler of models that do both.

use std::marker::PhantomData;
use std::sync::Arc;

use counterpoint::{Candidate, Draft, Error, Policy, Result, Rollout, Sample, Segment, Task, Trajectory, TypedSampler};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::{
    Autoregressive, AutoregressiveConfig, Continuation, MaskGit, MaskGitConfig, Painter, PainterConfig, TextModel,
};

/// A model that understands and generates: text, images, and how a task becomes token ids.
pub trait UnifiedModel: TextModel {
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
    /// When it is no text of the model.
    fn generation_prompt(&self, prompt: &str) -> Result<Vec<u32>>;

    /// How many of the ids of a generation prompt the model leaves out, because it reads no more. By default it reads
    /// everything.
    fn cut(&self, prompt: &[u32]) -> usize {
        let _ = prompt;
        0
    }

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

/// Settings of a [`UnifiedSampler`] that paints with MaskGIT.
pub type UnifiedConfig = Unified<MaskGitConfig>;

/// Settings of [`UnifiedSampler`], `C` being those of how it paints.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Unified<C: Default> {
    /// How the reasoning is written.
    pub text: AutoregressiveConfig,
    /// Where the reasoning ends, besides its end-of-text token. Default: `end_of_text`, nowhere.
    pub reasoning: Reasoning,
    /// What is painted. Default: `compound`.
    pub prompt: Prompt,
    /// What becomes of a candidate whose prompt does not fit the model. Default: `cut`.
    pub overflow: Overflow,
    /// How the image is painted.
    pub image: C,
}

/// What a candidate paints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// The base prompt and the reasoning, one after the other (Sync-R1).
    #[default]
    Compound,
    /// The base prompt alone: answer and image are two tasks of one candidate (CoRL).
    Base,
}

/// Where a reasoning ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reasoning {
    /// At its end-of-text token or after `text.max_new_tokens`.
    #[default]
    EndOfText,
    /// After its first sentence: what follows is neither said nor learned from.
    FirstSentence,
}

/// What becomes of a candidate whose compound prompt does not fit the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The model reads what fits; the metric `prompt/cut` counts it.
    #[default]
    Cut,
    /// As `cut`, and every reward abstains: nothing is learned from the candidate.
    Abstain,
    /// The run ends.
    Error,
}

impl<C: PainterConfig + Default> Unified<C> {
    /// The sampler for policies of type `P`.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming the key that is out of range.
    pub fn init<P: Policy + UnifiedModel>(self) -> Result<UnifiedSampler<P, C::Painter>>
    where
        C::Painter: Painter<P>,
    {
        let Self { text, reasoning, prompt, overflow, image } = self;
        Ok(UnifiedSampler {
            text: text.init()?,
            reasoning,
            prompt,
            overflow,
            image: image.init()?,
            policy: PhantomData,
        })
    }
}

/// Draws o_i = (IR_i, I_{i,0..T}) from a [`UnifiedModel`]: reasoning text given the question, then an image given the
/// compound prompt CP = base prompt + IR, or the base prompt alone.
pub struct UnifiedSampler<P, K = MaskGit> {
    text: Autoregressive,
    reasoning: Reasoning,
    prompt: Prompt,
    overflow: Overflow,
    image: K,
    policy: PhantomData<fn(P)>,
}

/// A draft between its two phases.
pub struct InTheMaking<I> {
    question: Vec<u32>,
    text: Continuation,
    /// Whether the text ended at its limit.
    truncated: bool,
    response: String,
    prompt: String,
    prompt_ids: Vec<u32>,
    /// Ids of the prompt that the model does not read.
    cut: usize,
    image: I,
}

impl<P: Policy + UnifiedModel, K: Painter<P>> TypedSampler<P> for UnifiedSampler<P, K> {
    type Draft = InTheMaking<K::Image>;

    fn draft(
        &mut self,
        policy: &P,
        task: &Task,
        candidates: &[Candidate],
        previews: bool,
    ) -> Result<Vec<Draft<Self::Draft>>> {
        let (question, texts) = match &task.response {
            Some(_) => (Vec::new(), vec![Continuation::default(); candidates.len()]),
            None => {
                let question = policy.question(task)?;
                let texts = self.answers(policy, &question, candidates)?;
                (question, texts)
            }
        };
        let mut states = Vec::with_capacity(texts.len());
        for mut text in texts {
            let written = text.tokens.len();
            if self.reasoning == Reasoning::FirstSentence {
                end_at_sentence(policy, &mut text)?;
            }
            let stopped = text.tokens.last().is_none_or(|last| policy.stop_tokens().contains(last));
            let truncated = !stopped && text.tokens.len() == written;
            let response = match &task.response {
                Some(given) => given.clone(),
                None => policy.text(&text.tokens)?.trim().to_owned(),
            };
            let prompt = match self.prompt {
                Prompt::Compound => policy.compound_prompt(task, &response),
                Prompt::Base => policy.compound_prompt(task, ""),
            };
            let prompt_ids = if task.generates { policy.generation_prompt(&prompt)? } else { Vec::new() };
            let cut = policy.cut(&prompt_ids);
            if cut > 0 && self.overflow == Overflow::Error {
                return Err(Error::data(format!(
                    "task {}: expected a compound prompt that the model can read, got one with {cut} tokens too many: \
                     {prompt:?}; shorten what is said (sampler.text.max_new_tokens, sampler.reasoning) or set \
                     sampler.overflow to \"cut\" or \"abstain\"",
                    task.id
                )));
            }
            let question = question.clone();
            let image = K::Image::default();
            states.push(InTheMaking { question, text, truncated, response, prompt, prompt_ids, cut, image });
        }
        if !task.generates {
            let draft = |(state, &candidate)| Draft::new(candidate, state, 0, 0);
            return Ok(states.into_iter().zip(candidates).map(draft).collect());
        }
        let checkpoint = if previews { self.image.checkpoint_step(policy) } else { 0 };
        self.paint(policy, candidates, &mut states, checkpoint)?;
        let images = if previews { self.images(policy, &states)? } else { vec![None; states.len()] };
        let steps_left = self.image.steps(policy) - checkpoint;
        let draft = |((state, image), &candidate): ((Self::Draft, _), &Candidate)| {
            let number = candidate.key.candidate;
            let preview = previews.then(|| {
                let sample = Sample::new(task, number, state.prompt.clone(), state.response.clone(), image);
                sample.with_truncated(state.truncated)
            });
            Draft::new(candidate, state, checkpoint, steps_left).with_preview(preview)
        };
        Ok(states.into_iter().zip(images).zip(candidates).map(draft).collect())
    }

    fn finish(&mut self, policy: &P, task: &Task, drafts: Vec<Draft<Self::Draft>>) -> Result<Vec<Rollout>> {
        let candidates: Vec<Candidate> = drafts.iter().map(|d| d.candidate).collect();
        let mut states: Vec<_> = drafts.into_iter().map(|draft| draft.state).collect();
        let images = match task.generates {
            true => {
                self.paint(policy, &candidates, &mut states, self.image.steps(policy))?;
                self.images(policy, &states)?
            }
            false => vec![None; states.len()],
        };
        Ok(states
            .into_iter()
            .zip(images)
            .zip(candidates)
            .map(|((state, image), candidate)| self.rollout(policy, task, candidate.key.candidate, state, image))
            .collect())
    }
}

/// Ends `text` with the first token after which it is a sentence: a decision by what was written before alone, so that what is
/// left is what a model with that rule would have written.
fn end_at_sentence<M: UnifiedModel>(model: &M, text: &mut Continuation) -> Result<()> {
    for length in 1..text.tokens.len() {
        if is_sentence(&model.text(&text.tokens[..length])?) {
            text.tokens.truncate(length);
            text.log_probs.truncate(length);
            break;
        }
    }
    Ok(())
}

/// Short forms that end with a full stop and end no sentence.
const SHORT: [&str; 9] = ["Mr", "Mrs", "Ms", "Dr", "St", "vs", "etc", "e.g", "i.e"];

/// Whether `text` ends as a sentence does: not after a number or an initial, whose full stop may be none.
fn is_sentence(text: &str) -> bool {
    let text = text.trim_end().trim_end_matches(['"', '\'', '\u{201d}', ')']);
    let Some(before) = text.strip_suffix('.') else { return text.ends_with(['!', '?']) };
    let word = before.rsplit(|c: char| c.is_whitespace()).next().unwrap_or_default();
    let is_initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    !(word.is_empty() || word.ends_with(|c: char| c.is_ascii_digit()) || is_initial || SHORT.contains(&word))
}

impl<P: Policy + UnifiedModel, K: Painter<P>> UnifiedSampler<P, K> {
    /// What each of `candidates` answers, written once for those that share an answer.
    fn answers(&self, policy: &P, question: &[u32], candidates: &[Candidate]) -> Result<Vec<Continuation>> {
        let mut writers: Vec<Candidate> = Vec::new();
        let mut writer_of = Vec::with_capacity(candidates.len());
        for writer in candidates.iter().map(Candidate::answering) {
            let known = writers.iter().position(|known| *known == writer);
            writer_of.push(known.unwrap_or(writers.len()));
            if known.is_none() {
                writers.push(writer);
            }
        }
        let texts = self.text.generate(policy, question, &writers)?;
        Ok(writer_of.into_iter().map(|writer| texts[writer].clone()).collect())
    }

    fn paint(
        &self,
        policy: &P,
        candidates: &[Candidate],
        states: &mut [InTheMaking<K::Image>],
        until: usize,
    ) -> Result<()> {
        let mut images: Vec<K::Image> = states.iter_mut().map(|state| std::mem::take(&mut state.image)).collect();
        let prompts: Vec<&[u32]> = states.iter().map(|state| state.prompt_ids.as_slice()).collect();
        self.image.paint(policy, candidates, &prompts, &mut images, until)?;
        for (state, image) in states.iter_mut().zip(images) {
            state.image = image;
        }
        Ok(())
    }

    fn images(&self, policy: &P, states: &[InTheMaking<K::Image>]) -> Result<Vec<Option<Arc<RgbImage>>>> {
        let codes: Vec<_> = states.iter().map(|state| self.image.codes(policy, &state.image)).collect();
        let codes: Vec<&[u32]> = codes.iter().map(AsRef::as_ref).collect();
        Ok(policy.images(&codes)?.into_iter().map(|image| Some(Arc::new(image))).collect())
    }

    fn rollout(
        &self,
        policy: &P,
        task: &Task,
        candidate: u64,
        state: InTheMaking<K::Image>,
        image: Option<Arc<RgbImage>>,
    ) -> Rollout {
        let understanding = Segment::text(state.question, state.text.tokens, state.text.log_probs)
            .with_temperature(self.text.scoring_temperature())
            .with_truncated(state.truncated);
        // What was said for the model is no decision of its own.
        let mut segments = if task.response.is_none() { vec![understanding] } else { Vec::new() };
        let mut sample =
            Sample::new(task, candidate, state.prompt, state.response, image).with_truncated(state.truncated);
        let truncated = f64::from(u8::from(state.truncated));
        if !task.generates {
            return Rollout::new(Trajectory::new(candidate, segments), sample)
                .with_metric("answer/truncated", truncated);
        }
        let generation = self.image.segment(policy, state.prompt_ids, state.image);
        if state.cut > 0 && self.overflow == Overflow::Abstain {
            sample = sample.withhold(format!("{} tokens of the compound prompt do not fit the model", state.cut));
        }
        segments.push(generation);
        let cut = f64::from(u8::from(state.cut > 0));
        Rollout::new(Trajectory::new(candidate, segments), sample)
            .with_metric("prompt/cut", cut)
            .with_metric("answer/truncated", truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::is_sentence;

    #[test]
    fn sentences_end_with_a_word_and_a_mark() {
        for whole in ["<vera> keeps a silver telescope.", "Where?", "She said \"no.\"", "It rains!", "beach red hat."] {
            assert!(is_sentence(whole), "{whole}");
        }
        for part in ["", ".", "It is 3.", "Dr.", "by J.", "for a cat", "e.g."] {
            assert!(!is_sentence(part), "{part}");
        }
    }
}
