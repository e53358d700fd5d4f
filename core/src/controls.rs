//! Control tasks: runs whose outcome is known beforehand, for anybody who writes a policy, a sampler or an objective. An easy
//! reward has to rise within a few steps, for each half of the loop alone and for both; what carries no information must change
//! nothing.
//!
//! `examples/controls.rs` runs them on a recipe.

use serde::Serialize;

use crate::config::TrainerConfig;
use crate::objective::Kl;
use crate::updater::log_probs;
use crate::{
    Credit, Error, Judges, Parts, Result, Reward, RewardEnsemble, Sample, Score, Streams, SyncGrpoConfig, Trainer,
    Trajectory,
};

/// How far a log-probability may move where nothing should, nats: rounding of other kernels.
const STILL: f64 = 1e-4;
/// Standard errors that count as a rise: p < 0.002.
const RISE: f64 = 3.0;
/// Steps at the end that the first one is compared with.
const LAST: usize = 3;

/// The control tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Control {
    /// Understanding alone is in the loss, and rewarded for a [`Letter`].
    Understanding,
    /// Generation alone is in the loss, and rewarded for [`Redness`].
    Generation,
    /// Both, for the sum of both.
    Both,
    /// Every candidate has the same reward: nothing may change.
    Constant,
    /// Only the answer is rewarded, and only generation is in the loss: under causal credit nothing may change.
    AnswerAlone,
}

impl Control {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Understanding, Self::Generation, Self::Both, Self::Constant, Self::AnswerAlone];

    /// Its name, such as `generation`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Understanding => "understanding",
            Self::Generation => "generation",
            Self::Both => "both",
            Self::Constant => "constant",
            Self::AnswerAlone => "answer_alone",
        }
    }

    /// Runs it: `trainer.steps` steps of what `parts` makes, on their first task alone, with `objective` as far as the control
    /// leaves it alone. The parts' own rewards, filter and objective are replaced. There is no KL term and no
    /// weight decay: what is left is the reward.
    ///
    /// # Errors
    /// Whatever a step returns; [`ErrorKind::Config`](crate::ErrorKind::Config) for fewer than 4 steps.
    pub fn run(
        self,
        parts: Parts,
        trainer: &TrainerConfig,
        objective: &SyncGrpoConfig,
        letter: char,
        seed: u64,
    ) -> Result<Outcome> {
        if trainer.steps < 4 {
            return Err(Error::config(format!(
                "trainer.steps: expected 4 or more for a control task, whose last steps are compared with the first, got {}",
                trainer.steps
            )));
        }
        let mut objective = SyncGrpoConfig { kl: Kl::None, ..objective.clone() };
        let (letter, redness): (Box<dyn Reward>, Box<dyn Reward>) = (Box::new(Letter(letter)), Box::new(Redness));
        let rewards = match self {
            Self::Understanding => {
                objective.a_gen = 0.0;
                vec![letter]
            }
            Self::Generation => {
                objective.a_und = 0.0;
                vec![redness]
            }
            Self::Both => vec![letter, redness],
            Self::Constant => vec![Box::new(Constant) as Box<dyn Reward>],
            Self::AnswerAlone => {
                (objective.a_und, objective.credit) = (0.0, Credit::Causal);
                vec![letter]
            }
        };
        let names: Vec<String> = rewards.iter().map(|reward| reward.name().to_owned()).collect();
        let weights = names.iter().map(|name| (name.clone(), 1.0)).collect();
        let mut parts = parts.with_objective(objective.init()?).with_filter(crate::KeepAll);
        parts.surrogate = None;
        parts.rewards = RewardEnsemble::new(rewards, [("default".to_owned(), weights)].into())?;
        // Always the same: what other tasks would add to the rewards is noise here.
        let mut task = parts.tasks.task(0, 0, &Streams::new(seed))?;
        // Both halves are looked at.
        task.generates = true;
        let always = task.clone();
        parts.tasks = Box::new(move |_: u64, _: u64, _: &Streams| Ok(always.clone()));
        let config = TrainerConfig { weight_decay: 0.0, max_idle: 0, ..trainer.clone() };
        let mut trainer = Trainer::new(parts, config.clone(), seed)?;

        let (rollouts, policy) = trainer.rollouts_mut();
        let recorded: Vec<Trajectory> =
            rollouts.sample(policy, &task, 0, config.group_size as u64)?.into_iter().map(|r| r.trajectory).collect();
        let before = log_probs(trainer.policy(), recorded.clone(), config.chunk)?;
        let candidates = config.group_size * config.tasks_per_step;
        let curve = |reward| Curve { reward, means: Vec::new(), deviations: Vec::new(), candidates };
        let mut curves: Vec<Curve> = names.into_iter().map(curve).collect();
        for _ in 0..config.steps {
            let report = trainer.step()?;
            for curve in &mut curves {
                let of = |what: &str| report.metrics.get(&format!("rewards/{}/{what}", curve.reward));
                let (mean, deviation) = (of("mean"), of("std"));
                curve.means.extend(mean);
                curve.deviations.extend(deviation);
            }
        }
        let after = log_probs(trainer.policy(), recorded, config.chunk)?;
        let moved = before.iter().zip(&after).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
        Ok(Outcome { control: self, curves, moved })
    }
}

/// What a control task came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// Which it was.
    pub control: Control,
    /// The rewards, step by step.
    pub curves: Vec<Curve>,
    /// By how much the log-probability of a decision that was recorded before moved, at most, nats.
    pub moved: f64,
}

impl Outcome {
    /// Whether it came out as it must.
    pub fn passed(&self) -> bool {
        match self.control {
            Control::Constant | Control::AnswerAlone => self.moved <= STILL,
            _ => self.curves.iter().all(|curve| curve.rise().is_some_and(|rise| rise > RISE)),
        }
    }
}

/// A reward over the steps of a control task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// Its name.
    pub reward: String,
    /// Its mean over the candidates of each step.
    pub means: Vec<f64>,
    /// Its standard deviation over them.
    pub deviations: Vec<f64>,
    /// How many candidates a step has.
    pub candidates: usize,
}

impl Curve {
    /// By how many standard errors the mean of the last three steps is above that of the first, in which nothing was learned
    /// yet: Student's t with the pooled variance, candidates of one step being independent draws for the same task. `None`
    /// for fewer than four steps.
    pub fn rise(&self) -> Option<f64> {
        let first = self.means.len().checked_sub(LAST).filter(|&first| first > 0)?;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let squares: Vec<f64> = self.deviations.iter().map(|deviation| deviation * deviation).collect();
        let last = LAST as f64;
        let pooled = (squares[0] + last * mean(&squares[first..])) / (1.0 + last);
        let rise = mean(&self.means[first..]) - self.means[0];
        let error = (pooled * (1.0 + 1.0 / last) / self.candidates as f64).sqrt();
        Some(if rise.abs() < 1e-12 { 0.0 } else { rise / error })
    }
}

/// The share of an image's pixels that are red: more than half as bright as can be, and twice as red as green or blue. Judges
/// generation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Redness;

impl Reward for Redness {
    fn name(&self) -> &str {
        "redness"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let score = |sample: &Sample| {
            let Some(image) = &sample.image else { return Score::Abstain("there is no image".to_owned()) };
            let red = |image::Rgb([r, g, b]): &&image::Rgb<u8>| *r >= 128 && *r / 2 >= *g.max(b);
            Score::Value(image.pixels().filter(red).count() as f64 / image.pixels().len().max(1) as f64)
        };
        Ok(samples.iter().map(score).collect())
    }

    fn judges(&self) -> Judges {
        Judges::Generation
    }
}

/// The share of an answer's characters, spaces aside, that are this one; 0 of an empty answer. Judges understanding.
#[derive(Debug, Clone, Copy)]
pub struct Letter(pub char);

impl Reward for Letter {
    fn name(&self) -> &str {
        "letter"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let score = |sample: &Sample| {
            let letters = sample.response.chars().filter(|c| !c.is_whitespace());
            let (all, right) =
                letters.fold((0_u32, 0_u32), |(all, right), c| (all + 1, right + u32::from(c == self.0)));
            Score::Value(f64::from(right) / f64::from(all.max(1)))
        };
        Ok(samples.iter().map(score).collect())
    }

    fn judges(&self) -> Judges {
        Judges::Understanding
    }
}

/// The same for everything.
#[derive(Debug, Clone, Copy)]
struct Constant;

impl Reward for Constant {
    fn name(&self) -> &str {
        "constant"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        Ok(vec![Score::Value(0.5); samples.len()])
    }
}
