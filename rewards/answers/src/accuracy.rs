//! Whether an answer is right.

use counterpoint::registry::{RewardEntry, settings};
use counterpoint::{Error, Judges, Result, Reward, Sample, Score, Task, inventory};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::choice::{choices, inferred};
use crate::similar::soft_jaccard;
use crate::tags::{final_answer, is_tagged};
use crate::value::same_value;

/// Kinds of questions whose answer is a choice.
const MULTIPLE_CHOICE: [&str; 4] = ["mc", "mcq", "multiple_choice", "multiple-choice"];

/// Settings of [`Accuracy`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccuracyConfig {
    /// How answers to open questions are compared with the solution. Default: `value`.
    #[serde(default)]
    pub open: OpenEnded,
    /// Whether an answer without `<answer>` tags is wrong, whatever it says. Default: false, all but its thoughts is read.
    #[serde(default)]
    pub tags_required: bool,
}

/// How an answer to an open question is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenEnded {
    /// 1 where it has the solution's value ([`same_value`]), else 0.
    #[default]
    Value,
    /// As CoRL's public code: 1 where it is the solution, a number in words or in digits, else how many words they share
    /// ([`soft_jaccard`]).
    Words,
}

inventory::submit! {
    RewardEntry::new("accuracy", |table, _| Ok(Box::new(Accuracy(settings::<AccuracyConfig>("accuracy", table)?))))
}

/// 1 for a right answer, 0 for a wrong one, by the task's parameters `qa_solution`, `qa_type` and `qa_problem`.
///
/// Where `qa_type` is `MC` or `MCQ`, the choice that the answer names ([`inferred`]) is to be that of the solution, a letter or a choice's
/// text; other kinds are open. Without a `qa_type` it is multiple choice where the problem has choices and the solution is the letter
/// of one. Samples without a solution are abstained from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accuracy(pub AccuracyConfig);

/// What a task asks.
enum Asked<'a> {
    Open(&'a str),
    Choice { problem: &'a str, solution: &'a str },
}

impl<'a> Asked<'a> {
    /// None without a solution.
    fn of(params: &'a Value) -> Option<Self> {
        let text = |key| params.get(key).and_then(Value::as_str);
        let solution = text("qa_solution")?;
        let problem = text("qa_problem").unwrap_or("");
        let choice = match text("qa_type") {
            Some(kind) => MULTIPLE_CHOICE.iter().any(|name| kind.eq_ignore_ascii_case(name)),
            None => choices(problem).keys().any(|letter| final_answer(solution).chars().eq([*letter])),
        };
        Some(if choice { Self::Choice { problem, solution } } else { Self::Open(solution) })
    }
}

impl Accuracy {
    /// The score of `response` for a task with these parameters.
    pub fn of(&self, response: &str, params: &Value) -> Score {
        let Some(asked) = Asked::of(params) else { return Score::Abstain("there is no qa_solution".to_owned()) };
        if self.0.tags_required && !is_tagged(response) {
            return Score::Value(0.0);
        }
        let answer = final_answer(response);
        match asked {
            Asked::Choice { problem, solution } => {
                let choices = choices(problem);
                match inferred(&final_answer(solution), &choices) {
                    None => Score::Abstain(no_choice(solution, problem)),
                    right => Score::Value(f64::from(u8::from(inferred(&answer, &choices) == right))),
                }
            }
            Asked::Open(solution) => {
                let gold = final_answer(solution);
                Score::Value(match self.0.open {
                    OpenEnded::Value => f64::from(u8::from(same_value(&gold, &answer))),
                    OpenEnded::Words if same_text(&gold, &answer) => 1.0,
                    OpenEnded::Words => soft_jaccard(answer.trim_end_matches(['.', ',', '!', '?']), &gold),
                })
            }
        }
    }
}

/// Equal without regard to case and a full stop, or a number in words and in digits.
fn same_text(gold: &str, answer: &str) -> bool {
    let (gold, answer) = (gold.to_lowercase(), answer.trim_end_matches('.').to_lowercase());
    let (gold, answer) = (gold.trim(), answer.trim());
    let is_word = |text: &str| text.chars().all(char::is_alphabetic);
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    gold == answer
        || (is_word(gold) && is_number(answer) || is_number(gold) && is_word(answer)) && same_value(gold, answer)
}

fn no_choice(solution: &str, problem: &str) -> String {
    format!("the solution {solution:?} is none of the problem's choices, lines such as `A. a hat`: {problem:?}")
}

impl Reward for Accuracy {
    fn name(&self) -> &str {
        "accuracy"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        Ok(samples.iter().map(|sample| self.of(&sample.response, &sample.params)).collect())
    }

    fn judges(&self) -> Judges {
        Judges::Understanding
    }

    fn check(&mut self, tasks: &[Task]) -> Result<()> {
        for task in tasks {
            if let Some(Asked::Choice { problem, solution }) = Asked::of(&task.params)
                && inferred(&final_answer(solution), &choices(problem)).is_none()
            {
                return Err(Error::data(format!("accuracy: task {}: {}", task.id, no_choice(solution, problem))));
            }
        }
        Ok(())
    }
}
