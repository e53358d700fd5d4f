//! Before and after, on the held-out half, judged by the renderer's truth and never by a reward.

use std::collections::BTreeMap;
use std::path::Path;

use counterpoint::config::RunConfig;
use counterpoint::data::Split;
use counterpoint::trainer::Parts;
use counterpoint::{Candidate, Error, Key, Pathway, Result, Rollout, Streams, Task};
use counterpoint_unifybench::{Concept, Item, Metrics, Scene, Truth, language};

use crate::{Cell, tasks};

/// Candidates drawn for every held-out task.
const SAMPLES: u64 = 4;
/// Purpose number that keeps the random streams of evaluations apart from those of training steps.
const EVALUATION: u64 = u64::MAX;

/// The held-out half: one task per held-out fact and pathway.
pub struct HeldOut {
    tasks: Vec<(Task, Scene)>,
    truth: Truth,
    streams: Streams,
}

/// What a model made of the held-out half.
pub struct Evaluation {
    /// Scores by pathway.
    pub metrics: BTreeMap<String, Metrics>,
    /// The first sample of every task.
    pub cells: Vec<Cell>,
}

impl HeldOut {
    /// The held-out tasks of the config's data.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when the data cannot be used, or says what no scene of UnifyBench shows.
    pub fn new(config: &RunConfig, base: &Path) -> Result<Self> {
        let source = tasks(config, base, Split::HeldOut)?;
        let mut found: Vec<(Task, Scene)> = Vec::new();
        for pathway in [Pathway::Textual, Pathway::Visual] {
            for task in source.all(pathway)? {
                let scene = scene(&task)?;
                // Several images and wordings ask about one fact: one of them is enough.
                if !found.iter().any(|(known, s)| known.pathway == pathway && *s == scene) {
                    found.push((Task { id: found.len() as u64, ..task }, scene));
                }
            }
        }
        Ok(Self { tasks: found, truth: Truth::new()?, streams: Streams::new(config.run.seed) })
    }

    /// Draws from the policy as training does, with the same random numbers at every call.
    ///
    /// # Errors
    /// Whatever the sampler returns.
    pub fn evaluate(&self, parts: &mut Parts) -> Result<Evaluation> {
        let mut items: BTreeMap<String, Vec<Item>> = BTreeMap::new();
        let mut cells = Vec::new();
        for (task, scene) in &self.tasks {
            let rollouts = self.draw(parts, task)?;
            if let Some(cell) = rollouts.first().and_then(|r| self.cell(r, scene)) {
                cells.push(cell);
            }
            let pathway = format!("held-out, {:?}", task.pathway).to_lowercase();
            items.entry(pathway).or_default().extend(rollouts.into_iter().map(|r| Item {
                scene: *scene,
                response: r.sample.response,
                image: r.sample.image.map(|image| image.as_ref().clone()),
            }));
        }
        let both: Vec<Item> = items.values().flatten().cloned().collect();
        items.insert("held-out, both".into(), both);
        let metrics = items
            .into_iter()
            .map(|(pathway, items)| Ok((pathway, Metrics::of(&self.truth, &items)?)))
            .collect::<Result<_>>()?;
        Ok(Evaluation { metrics, cells })
    }

    fn draw(&self, parts: &mut Parts, task: &Task) -> Result<Vec<Rollout>> {
        let candidates: Vec<Candidate> = (0..SAMPLES)
            .map(|candidate| Candidate {
                streams: self.streams,
                key: Key { step: EVALUATION, task: task.id, candidate },
            })
            .collect();
        let drafts = parts.sampler.draft(parts.policy.as_ref(), task, &candidates, false)?;
        parts.sampler.finish(parts.policy.as_ref(), task, drafts)
    }

    fn cell(&self, rollout: &Rollout, scene: &Scene) -> Option<Cell> {
        let image = rollout.sample.image.as_ref()?.as_ref().clone();
        let right = self.truth.check(scene, &image).is_ok_and(|verdict| verdict.all());
        let verdict = if right { "right" } else { "wrong" };
        let caption = format!(
            "{}\nIR: {}\ntruth: {}\nimage: {verdict}",
            rollout.sample.prompt.strip_suffix(&rollout.sample.response).unwrap_or(&rollout.sample.prompt).trim(),
            rollout.sample.response,
            language::fact(scene)
        );
        Some(Cell { image, caption })
    }
}

/// The scene that a task's right answer describes.
fn scene(task: &Task) -> Result<Scene> {
    let answer = task.params["answer"].as_str().unwrap_or_default();
    let unknown = || Error::data(format!("task {}: `{}` {answer:?} is no scene of UnifyBench", task.id, task.concept));
    let (place, accessory, colour) = language::parse_fact(answer).ok_or_else(unknown)?;
    let concept = Concept::ALL.iter().copied().find(|c| c.token() == task.concept).ok_or_else(unknown)?;
    Ok(Scene { concept, place, accessory, colour })
}
