//! An expert of a plugin as a reward.

use std::time::Duration;

use counterpoint::registry::BuildContext;
use counterpoint::{Error, ErrorKind, Judges, Result, Reward, Sample, Score};
use counterpoint_host::{Call, ErrorKind as HostError, Image, Item, Need, Pixels, Scores, State, Statistics};
use image::RgbImage;

use crate::make::{Made, engine, make};
use crate::params::Params;
use crate::{OnFailure, PluginConfig};

/// A reward whose scores come from a plugin, wherever that runs.
///
/// No score is invented: an item comes back as the expert's own finite value inside the range that its manifest declares, as an
/// abstention, or as a failure. Items without an image or a reference are abstained from when the expert needs one.
pub struct PluginReward {
    config: PluginConfig,
    made: Made,
    /// Which of the expert's outputs.
    output: usize,
    judges: Judges,
}

impl PluginReward {
    /// Finds, loads and makes the expert that `config` means; its relative paths are relative to the context's folder.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when there is no such plugin, expert or output, or it was refused before it ran;
    /// [`ErrorKind::Reward`] with what the plugin said when it could not be made.
    pub fn new(config: PluginConfig, context: &BuildContext) -> Result<Self> {
        let made = make(&config, context)?;
        let output = match &config.output {
            None => 0,
            Some(name) => made.expert.manifest().output(name).map_err(engine)?,
        };
        let judges = match config.judges {
            None => told(made.expert.manifest().judges),
            Some(Judges::Understanding) if made.expert.manifest().needs(Need::Image) => {
                let message = "judges: expected \"generation\" or \"both\" of an expert that needs an image, got \"understanding\"";
                return Err(Error::config(message));
            }
            Some(judges) => judges,
        };
        Ok(Self { config, made, output, judges })
    }

    /// What the expert has done so far.
    pub fn statistics(&self) -> Statistics {
        self.made.expert.statistics()
    }

    /// One score for each sample, all of which have what the expert needs.
    fn judge(&mut self, samples: &[&Sample]) -> Result<Vec<Score>> {
        let error = match self.call(samples) {
            Ok(scores) => return Ok(scores),
            Err(error) => error,
        };
        tracing::warn!(target: "counterpoint::plugin", error = %format_args!("{error:#}"), "a call failed");
        match self.config.on_failure {
            // There is nobody left to call: that is no failure of these items.
            _ if error.kind() == HostError::GivenUp => Err(engine(error)),
            OnFailure::Retry => Err(engine(error)),
            OnFailure::Stop => Err(Error::new(ErrorKind::Stopped, format!("on_failure = \"stop\": {error:#}"))),
            OnFailure::Drop => {
                // Only where the expert is still there: an error of another kind may have cost a process.
                let alive = matches!(error.kind(), HostError::Call | HostError::Panic);
                if alive && self.made.batch_invariant && samples.len() > 1 {
                    let (left, right) = samples.split_at(samples.len() / 2);
                    let mut scores = self.judge(left)?;
                    scores.extend(self.judge(right)?);
                    return Ok(scores);
                }
                Ok(vec![Score::Fail(format!("{error:#}")); samples.len()])
            }
        }
    }

    fn call(&mut self, samples: &[&Sample]) -> counterpoint_host::Result<Vec<Score>> {
        let params = Params::of(samples);
        let mut items = Vec::with_capacity(samples.len());
        for (i, sample) in samples.iter().enumerate() {
            push(&mut items, sample, params.text(i))?;
        }
        let deadline = self.config.deadline_s.map(Duration::from_secs_f64);
        let call = Call { seed: self.config.seed, deadline, cancel: None };
        let scores = self.made.expert.score(&items, &call)?;
        if scores.states.len() != samples.len() {
            let message = format!("expected {} scores, one for each item, got {}", samples.len(), scores.states.len());
            return Err(counterpoint_host::Error::new(HostError::Contract, message));
        }
        Ok(self.read(scores))
    }

    fn read(&self, scores: Scores) -> Vec<Score> {
        let Scores { outputs, values, states } = scores;
        let values = values.into_iter().skip(self.output).step_by(outputs);
        let score = |(state, value)| match state {
            State::Value => Score::Value(value),
            State::Abstain(why) => Score::Abstain(why),
            State::Fail(why) => Score::Fail(why),
        };
        states.into_iter().zip(values).map(score).collect()
    }
}

impl Reward for PluginReward {
    fn name(&self) -> &str {
        &self.made.expert.manifest().name
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let manifest = self.made.expert.manifest();
        let (image, reference) = (manifest.needs(Need::Image), manifest.needs(Need::Reference));
        let mut settled = Vec::new();
        let mut open = Vec::with_capacity(samples.len());
        for (i, sample) in samples.iter().enumerate() {
            match unfit(sample, image, reference) {
                Some(score) => settled.push((i, score)),
                None => open.push(sample),
            }
        }
        let mut scores = if open.is_empty() { Vec::new() } else { self.judge(&open)? };
        for (i, score) in settled {
            scores.insert(i, score);
        }
        Ok(scores)
    }

    fn judges(&self) -> Judges {
        self.judges
    }
}

/// What a manifest says, in the engine's words.
fn told(judges: counterpoint_host::Judges) -> Judges {
    match judges {
        counterpoint_host::Judges::Understanding => Judges::Understanding,
        counterpoint_host::Judges::Generation => Judges::Generation,
        counterpoint_host::Judges::Both => Judges::Both,
    }
}

/// The score of a sample that is not for the expert, which needs an `image` or a `reference` or neither.
fn unfit(sample: &Sample, image: bool, reference: bool) -> Option<Score> {
    if image && sample.image.is_none() {
        return Some(Score::Abstain("no image, which it needs".to_owned()));
    }
    if reference && sample.references.is_empty() {
        return Some(Score::Abstain("no reference image, which it needs".to_owned()));
    }
    let empty = sample.image.iter().chain(&sample.references).any(|i| i.width() == 0 || i.height() == 0);
    empty.then(|| Score::Fail("expected images, got one without pixels".to_owned()))
}

impl Drop for PluginReward {
    fn drop(&mut self) {
        let (s, expert) = (self.statistics(), self.name());
        if s.failed + s.failed_calls > 0 {
            tracing::warn!(target: "counterpoint::plugin", expert, "{s}");
        } else {
            tracing::info!(target: "counterpoint::plugin", expert, "{s}");
        }
    }
}

/// Appends `sample` to `items`.
fn push<'a>(items: &mut Vec<Item<'a>>, sample: &'a Sample, params: &'a str) -> counterpoint_host::Result<()> {
    let mut references = Vec::with_capacity(sample.references.len());
    for reference in &sample.references {
        references.push(pixels(reference)?);
    }
    let image = match &sample.image {
        Some(image) => Some(pixels(image)?),
        None => None,
    };
    items.push(Item {
        prompt: &sample.prompt,
        response: &sample.response,
        class: &sample.class,
        params,
        image,
        references,
        candidate: sample.candidate,
    });
    Ok(())
}

fn pixels(image: &RgbImage) -> counterpoint_host::Result<Image<'_>> {
    Image::new(image.width(), image.height(), Pixels::U8(image.as_raw()))
}
