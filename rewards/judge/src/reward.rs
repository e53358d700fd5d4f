//! The judge as a reward.

use std::path::Path;

use counterpoint::registry::{RewardEntry, settings};
use counterpoint::{Error, Judges, Result, Reward, Sample, Score, inventory};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{EndpointConfig, Grade, Judge, Question};

/// Instructions for the judge of answers.
const ANSWERS: (&str, &str) = (
    "You grade answers. You are given what is right and what was said. Grade the content alone and not the wording: 1 when what was said \
     says what is right, 0.5 when it says a part of it, 0 when it does not. Reply with the number and nothing else.",
    "What is right: {answer}\nWhat was said: {response}\nGrade:",
);
/// Instructions for the judge of images.
const IMAGES: (&str, &str) = (
    "You grade generated images. You are given what is known of a subject and what was to be drawn. Grade whether the image shows it: 1 when \
     it shows all of it, 0.5 when it shows a part, 0 when it does not. Reply with the number and nothing else.",
    "Known of {concept}: {answer}\nTo be drawn: {prompt}\nGrade:",
);

inventory::submit! {
    RewardEntry::new(
        "judge",
        |table, context| {
            let config: JudgeRewardConfig = settings("judge", table)?;
            Ok(Box::new(config.init(&context.base)?))
        },
    )
}

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// The answer, without the image.
    Answers,
    /// The image.
    Images,
}

/// Settings of [`JudgeReward`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeRewardConfig {
    /// What is judged: `answers` or `images`, which are sent.
    pub about: About,
    /// Who is asked.
    #[serde(default)]
    pub endpoint: EndpointConfig,
    /// The instructions. Default: to grade with 0, 0.5 or 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The question, with `{response}`, `{prompt}` (the compound prompt) and the task's own parameters in braces, such as
    /// `{answer}`, `{concept}` or `{facts}`. Default: one that fits the instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The scores that the judge may give: a list, or `{ least = 0, most = 10 }`. Default: 0, 0.5, 1.
    #[serde(default)]
    pub grade: Grade,
    /// How many of the task's references are sent after the image. Default: 0.
    #[serde(default)]
    pub references: usize,
}

impl JudgeRewardConfig {
    /// All by default: the endpoint is the environment's.
    pub fn new(about: About) -> Self {
        Self {
            about,
            endpoint: EndpointConfig::default(),
            system: None,
            question: None,
            grade: Grade::default(),
            references: 0,
        }
    }

    /// The reward; a relative ledger is relative to `base`.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming what is missing or out of range.
    pub fn init(mut self, base: &Path) -> Result<JudgeReward> {
        if !self.grade.is_valid() {
            return Err(Error::config("judge: expected grade of two or more finite numbers, or least below most"));
        }
        self.endpoint.ledger = self.endpoint.ledger.map(|ledger| base.join(ledger));
        let (system, question) = match self.about {
            About::Answers => ANSWERS,
            About::Images => IMAGES,
        };
        Ok(JudgeReward {
            judge: Judge::new(self.endpoint)?,
            about: self.about,
            system: self.system.unwrap_or_else(|| system.to_owned()),
            question: self.question.unwrap_or_else(|| question.to_owned()),
            grade: self.grade,
            references: self.references,
        })
    }
}

/// A reward that a language model gives. What is not known of a sample, or has no image where one is judged, is abstained from; a
/// question without an answer, or with one that is no grade, is a failure of its sample.
#[derive(Debug)]
pub struct JudgeReward {
    judge: Judge,
    about: About,
    system: String,
    question: String,
    grade: Grade,
    references: usize,
}

impl JudgeReward {
    /// The judge.
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// What is asked about `sample`, or what it lacks.
    fn question(&self, sample: &Sample) -> std::result::Result<Question, String> {
        let mut question = Question::new(self.system.as_str(), fill(&self.question, sample)?);
        if self.about == About::Images {
            question.images.extend(Some(sample.image.clone().ok_or("no image to judge")?));
        }
        question.images.extend(sample.references.iter().take(self.references).cloned());
        Ok(question)
    }
}

impl Reward for JudgeReward {
    fn name(&self) -> &str {
        "judge"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let mut scores = vec![Score::Abstain(String::new()); samples.len()];
        let (mut asked, mut questions) = (Vec::new(), Vec::new());
        for (i, sample) in samples.iter().enumerate() {
            match self.question(sample) {
                Ok(question) => {
                    asked.push(i);
                    questions.push(question);
                }
                Err(lack) => scores[i] = Score::Abstain(lack),
            }
        }
        for (i, answer) in asked.into_iter().zip(self.judge.ask(&questions)?) {
            let grade = answer.map_err(|refusal| refusal.to_string()).and_then(|answer| self.grade.read(&answer));
            scores[i] = match grade {
                Ok(grade) => Score::Value(grade),
                Err(why) => Score::Fail(why),
            };
        }
        Ok(scores)
    }

    fn judges(&self) -> Judges {
        match self.about {
            About::Answers => Judges::Understanding,
            About::Images => Judges::Both,
        }
    }
}

/// `template` with what is known of `sample` in place of the names in braces.
fn fill(template: &str, sample: &Sample) -> std::result::Result<String, String> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, then)) = after.split_once('}') else { break };
        text.push_str(before);
        text.push_str(&known(name, sample).ok_or_else(|| format!("nothing is known of `{name}`"))?);
        rest = then;
    }
    Ok(text + rest)
}

fn known(name: &str, sample: &Sample) -> Option<String> {
    match name {
        "response" => return Some(sample.response.clone()),
        "prompt" => return Some(sample.prompt.clone()),
        _ => {}
    }
    match sample.params.get(name)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => Some(
            items
                .iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                .collect::<Vec<_>>()
                .join(" "),
        ),
        other => Some(other.to_string()),
    }
}
