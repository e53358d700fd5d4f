//! What is measured of the samples of a task.

use std::collections::BTreeMap;

use counterpoint::registry::{BuildContext, named_reward};
use counterpoint::toml::Table;
use counterpoint::{Error, Result, Reward, Sample, Task};
use counterpoint_unictokens::Part;

use super::BenchmarkConfig;
use crate::{Bleu, Recognition};

type Rewards = Vec<Box<dyn Reward>>;

/// BLEU and recognition, and the rewards that stand for all else.
pub struct Measures {
    bleu: Bleu,
    answers: Rewards,
    likeness: Rewards,
    alignment: Rewards,
    faces: Rewards,
    knowledge: Rewards,
}

impl Measures {
    /// Those that `config` names.
    ///
    /// # Errors
    /// What the constructor of a reward says, with its key.
    pub fn new(config: &BenchmarkConfig, context: &BuildContext) -> Result<Self> {
        let build = |key: &str, tables: &BTreeMap<String, Table>| -> Result<Rewards> {
            let one = |(name, table): (&String, &Table)| {
                named_reward(name, table, context).map_err(|e| e.at(format_args!("evaluation.{key}.{name}")))
            };
            tables.iter().map(one).collect()
        };
        Ok(Self {
            bleu: config.bleu.clone(),
            answers: build("answers", &config.answers)?,
            likeness: build("likeness", &config.likeness)?,
            alignment: build("alignment", &config.alignment)?,
            faces: build("faces", &config.faces)?,
            knowledge: build("knowledge", &config.knowledge)?,
        })
    }

    /// Every score of each of `samples` that could be had, as `<part>/<measure>`.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when the task belongs to no part, and those of the rewards.
    pub fn judge(&mut self, task: &Task, samples: &[Sample]) -> Result<Vec<Vec<(String, f64)>>> {
        let part = Part::of(task).ok_or_else(|| Error::data(format!("task {}: it belongs to no part", task.id)))?;
        let param = |name: &str| task.params.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        let mut scores = vec![Vec::new(); samples.len()];
        let mut add = |name: &str, values: Vec<Option<f64>>| {
            for (scores, value) in scores.iter_mut().zip(values) {
                scores.extend(value.map(|value| (format!("{part}/{name}"), value)));
            }
        };
        let answer = param("answer");
        if part == Part::Recognition {
            let yes = answer.to_lowercase().starts_with("yes");
            let right = |s: &Sample| Some(Recognition::of([(yes, s.response.as_str())])?.accuracy);
            let right: Vec<Option<f64>> = samples.iter().map(right).collect();
            add("accuracy", right.clone());
            add(if yes { "recall" } else { "no_recall" }, right);
        } else if part.answers() {
            add("bleu", samples.iter().map(|s| Some(self.bleu.score(answer, &s.response))).collect());
            for reward in &mut self.answers {
                let scores = values(reward.as_mut(), samples)?;
                add(reward.name(), scores);
            }
        }
        if part == Part::People {
            for reward in &mut self.faces {
                let scores = values(reward.as_mut(), samples)?;
                add(reward.name(), scores);
            }
        } else if part.paints() {
            for reward in &mut self.likeness {
                let scores = values(reward.as_mut(), samples)?;
                add(reward.name(), scores);
            }
            let said = param("said");
            let texts = match part {
                Part::Dense | Part::DenseReasoning => segments(said),
                _ => vec![said],
            };
            for reward in &mut self.alignment {
                let scores = aligned(reward.as_mut(), samples, &texts)?;
                add(reward.name(), scores);
            }
        }
        if matches!(part, Part::Knowledge | Part::DenseReasoning) {
            // Judged by what was asked for, whatever the model made of it.
            let asked: Vec<Sample> = samples.iter().map(|sample| reworded(sample, &task.base_prompt)).collect();
            for reward in &mut self.knowledge {
                let scores = values(reward.as_mut(), &asked)?;
                add(reward.name(), scores);
            }
        }
        Ok(scores)
    }
}

/// The score of each sample that got one.
fn values(reward: &mut dyn Reward, samples: &[Sample]) -> Result<Vec<Option<f64>>> {
    let scores = reward.score(samples)?;
    if scores.len() != samples.len() {
        return Err(Error::contract(format!(
            "{}: expected {} scores, got {}",
            reward.name(),
            samples.len(),
            scores.len()
        )));
    }
    Ok(scores.iter().map(counterpoint::Score::value).collect())
}

/// The mean over `texts` of how well each sample's image fits them; none where one of these has no score.
fn aligned(reward: &mut dyn Reward, samples: &[Sample], texts: &[&str]) -> Result<Vec<Option<f64>>> {
    if texts.is_empty() {
        return Ok(vec![None; samples.len()]);
    }
    let pairs: Vec<Sample> =
        samples.iter().flat_map(|sample| texts.iter().map(|text| reworded(sample, text))).collect();
    let mean = |scores: &[Option<f64>]| Some(scores.iter().copied().sum::<Option<f64>>()? / texts.len() as f64);
    Ok(values(reward, &pairs)?.chunks(texts.len()).map(mean).collect())
}

fn reworded(sample: &Sample, prompt: &str) -> Sample {
    let mut sample = sample.clone();
    prompt.clone_into(&mut sample.prompt);
    sample
}

/// What stands between the punctuation of a dense prompt.
fn segments(prompt: &str) -> Vec<&str> {
    let punctuation = [',', '.', ';', ':', '!', '?', '\u{3002}', '\u{ff0c}', '\u{ff1b}'];
    prompt.split(punctuation).map(str::trim).filter(|segment| !segment.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dense_prompt_is_split_at_its_punctuation() {
        let prompt = "A photo of <ada> with a red hat, at the park; on the grass... by the tree.";
        assert_eq!(segments(prompt), ["A photo of <ada> with a red hat", "at the park", "on the grass", "by the tree"]);
        assert!(segments(" ., ").is_empty());
    }
}
