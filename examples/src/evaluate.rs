//! Before and after, on the held-out half, judged by the renderer's truth and never by a reward.

use std::path::Path;

use counterpoint::config::RunConfig;
use counterpoint::{Error, Policy, Result, Rollouts, Sample, Task};
use counterpoint_unictokens::{Pathway, Split, concept_of};
use counterpoint_unifybench::{Concept, Item, Judged, Right, Scene, Truth, language};
use image::RgbImage;

use crate::tasks;

/// Candidates drawn for every held-out task.
const SAMPLES: u64 = 4;

/// The held-out half: one task per held-out fact and pathway.
pub struct HeldOut {
    tasks: Vec<(Task, Pathway, Scene)>,
    truth: Truth,
}

/// What a model made of the held-out half.
pub struct Evaluation {
    /// Every sample, task by task.
    pub samples: Vec<Judged>,
    /// The image of the first sample of every task, by the task's number.
    pub images: Vec<(u64, RgbImage)>,
}

impl HeldOut {
    /// The held-out tasks of the config's data.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when the data cannot be used, or says what no scene of UnifyBench shows.
    pub fn new(config: &RunConfig, base: &Path) -> Result<Self> {
        let source = tasks(config, base, Split::HeldOut)?;
        let mut found: Vec<(Task, Pathway, Scene)> = Vec::new();
        for pathway in [Pathway::Textual, Pathway::Visual] {
            for mut task in source.all(pathway)? {
                let scene = scene(&task)?;
                // Several images and wordings ask about one fact: one of them is enough.
                if !found.iter().any(|(_, p, s)| *p == pathway && *s == scene) {
                    task.id = found.len() as u64;
                    found.push((task, pathway, scene));
                }
            }
        }
        Ok(Self { tasks: found, truth: Truth::new()? })
    }

    /// Number of tasks.
    pub fn len(&self) -> u64 {
        self.tasks.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Draws from the policy as training does, with the same random numbers at every call; `task_done` is called after
    /// each task.
    ///
    /// # Errors
    /// Whatever the sampler or a reward returns.
    pub fn evaluate(&self, rollouts: &mut Rollouts, policy: &dyn Policy, task_done: impl Fn()) -> Result<Evaluation> {
        let mut evaluation = Evaluation { samples: Vec::new(), images: Vec::new() };
        for (task, pathway, scene) in &self.tasks {
            let drawn = rollouts.sample(policy, task, task.id, SAMPLES)?;
            let samples: Vec<Sample> = drawn.into_iter().map(|rollout| rollout.sample).collect();
            if let Some(image) = samples.first().and_then(|sample| sample.image.as_ref()) {
                evaluation.images.push((task.id, image.as_ref().clone()));
            }
            let scores = rollouts.rewards.score(&samples)?;
            for (sample, scored) in samples.into_iter().zip(scores) {
                let image = sample.image.map(|image| image.as_ref().clone());
                let item = Item { scene: *scene, response: sample.response, image };
                let named = scored.parts.into_iter().filter_map(|(name, score)| Some((name, score.value()?)));
                evaluation.samples.push(Judged {
                    pathway: *pathway,
                    task: task.id,
                    prompt: task.base_prompt.clone(),
                    answer: language::fact(scene),
                    right: Right::of(&self.truth, &item)?,
                    rewards: named.chain(scored.total.map(|total| ("reward".to_owned(), total))).collect(),
                    response: item.response,
                });
            }
            task_done();
        }
        Ok(evaluation)
    }
}

/// The scene that a task's right answer describes.
fn scene(task: &Task) -> Result<Scene> {
    let answer = task.params["answer"].as_str().unwrap_or_default();
    let token = concept_of(task).unwrap_or_default();
    let unknown = || Error::data(format!("task {}: `{token}` {answer:?} is no scene of UnifyBench", task.id));
    let (place, accessory, colour) = language::parse_fact(answer).ok_or_else(unknown)?;
    let concept = Concept::ALL.iter().copied().find(|c| c.token() == token).ok_or_else(unknown)?;
    Ok(Scene { concept, place, accessory, colour })
}
