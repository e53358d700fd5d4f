//! A reward by what an image shows, as detectors give it for photographs.

use counterpoint::registry::{RewardEntry, settings};
use counterpoint::{Error, Judges, Result, Reward, Sample, Score, Task, inventory};
use serde::Deserialize;

use crate::prompt::Prompt;
use crate::truth::observe;

inventory::submit! {
    RewardEntry::new("shapes", |table, _| {
        let Settings {} = settings("shapes", table)?;
        Ok(Box::new(ShapesReward))
    })
}

/// `[rewards.shapes]`, which has no settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {}

/// How much of its prompt an image of this world shows, in [0, 1] ([`Prompt::likeness`]), as GenEval's detector is made a reward with part of the
/// score for part of the prompt (Flow-GRPO, arXiv 2505.05470, section 5.1). It sees the pixels and the prompt alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShapesReward;

impl Reward for ShapesReward {
    fn name(&self) -> &str {
        "shapes"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let score = |sample: &Sample| {
            let Some(image) = &sample.image else { return Ok(Score::Abstain("there is no image".to_owned())) };
            let Some(prompt) = Prompt::parse(&sample.prompt) else {
                return Ok(Score::Abstain(format!("{:?} is no prompt of this world", sample.prompt)));
            };
            Ok(Score::Value(prompt.likeness(&observe(image)?)))
        };
        samples.iter().map(score).collect()
    }

    fn judges(&self) -> Judges {
        Judges::Generation
    }

    fn check(&mut self, tasks: &[Task]) -> Result<()> {
        match tasks.iter().find(|task| task.generates && Prompt::parse(&task.base_prompt).is_none()) {
            None => Ok(()),
            Some(task) => Err(Error::data(format!(
                "shapes: task {}: expected a prompt such as \"a red circle and a blue square\", got {:?}; leave rewards.shapes out for \
                 prompts of another world",
                task.id, task.base_prompt
            ))),
        }
    }
}
