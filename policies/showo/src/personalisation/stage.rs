//! The settings of a stage.

use counterpoint::{Error, Result};
use serde::{Deserialize, Serialize};

/// Which stage of personalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Stage 1, understanding warm-up: the name and K tokens learn from questions.
    Understanding,
    /// Stage 2, generation bootstrapped from understanding: M more tokens, and all learn from captions and questions.
    Generation,
    /// Stage 3, understanding deepened by generation: P more tokens, and these and the name alone learn from captions and
    /// questions.
    Perception,
    /// One stage for all: the name and K + M tokens learn from captions and questions from the beginning.
    Joint,
}

impl Stage {
    /// As it is written in a config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Understanding => "understanding",
            Self::Generation => "generation",
            Self::Perception => "perception",
            Self::Joint => "joint",
        }
    }

    /// Whether it learns from captions.
    pub fn paints(self) -> bool {
        self != Self::Understanding
    }
}

/// How a stage trains. The defaults are those of UniCTokens' scripts, but for `epsilon`, `weight_decay` and `asked_per_step`,
/// which they set for each stage: see [`StageConfig::of`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StageConfig {
    /// Passes over the lessons, 1 or more. In each, captions or questions are repeated until both are through.
    pub epochs: u32,
    /// AdamW's rate, constant, above 0.
    pub learning_rate: f64,
    /// AdamW's epsilon, above 0.
    pub epsilon: f64,
    /// AdamW's decoupled decay of the rows that are trained, 0 or more.
    pub weight_decay: f64,
    /// Captions a step, 1 or more.
    pub captioned_per_step: usize,
    /// Questions a step, 1 or more.
    pub asked_per_step: usize,
    /// Weight of the images' loss, where there are both; 0 or more.
    pub image_weight: f64,
    /// Weight of the answers' loss, where there are both; 0 or more.
    pub answer_weight: f64,
    /// How often a caption is left out, so that guidance knows images without one; in [0, 1].
    pub condition_dropout: f32,
    /// The least share of an image that is hidden, in [0, 1].
    pub min_masking_rate: f32,
    /// Weight of the squared distance of the name's rows from where they began, 0 or more (`l2_lambda`; stages 2 and 3).
    pub name_pull: f64,
    /// Whether photographs are mirrored one time in four, and those with captions cut out at random places from 1.1 times
    /// their size.
    pub augment: bool,
    /// Stage 3: how many images of the concept are painted for its tokens to begin from, as clusters; 0: from image codes.
    pub perceived: usize,
    /// What they are images of; `{concept}` stands for the name. UniCTokens has `A photo of {concept}'s face in detail.` for people.
    pub perceived_prompt: String,
    /// Denoising steps of these images.
    pub perceived_steps: usize,
    /// After which of them an image is looked at, white where it is still to change.
    pub perceived_at: usize,
    /// Their classifier-free guidance, 0 or more.
    pub perceived_guidance: f32,
}

impl Default for StageConfig {
    fn default() -> Self {
        Self {
            epochs: 20,
            learning_rate: 1e-3,
            epsilon: 1e-8,
            weight_decay: 1e-3,
            captioned_per_step: 1,
            asked_per_step: 1,
            image_weight: 0.8,
            answer_weight: 0.2,
            condition_dropout: 0.1,
            min_masking_rate: 0.0,
            name_pull: 0.0,
            augment: true,
            perceived: 20,
            perceived_prompt: "A photo of {concept} in the middle of the photo.".to_owned(),
            perceived_steps: 50,
            perceived_at: 35,
            perceived_guidance: 5.0,
        }
    }
}

impl StageConfig {
    /// What UniCTokens' script of this stage has.
    pub fn of(stage: Stage) -> Self {
        match stage {
            Stage::Understanding => Self { epsilon: 1e-6, weight_decay: 1e-4, asked_per_step: 4, ..Self::default() },
            _ => Self::default(),
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config), naming the first key that is out of range.
    pub fn validate(&self) -> Result<()> {
        let wrong = |key: &str, expected: &str, got: String| {
            Err(Error::config(format!("{key}: expected {expected}, got {got}")))
        };
        let counts = [
            ("epochs", self.epochs as usize),
            ("captioned_per_step", self.captioned_per_step),
            ("asked_per_step", self.asked_per_step),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return wrong(key, "1 or more", "0".into());
        }
        let above = [("learning_rate", self.learning_rate), ("epsilon", self.epsilon)];
        if let Some((key, got)) = above.into_iter().find(|(_, x)| !(*x > 0.0 && x.is_finite())) {
            return wrong(key, "a number above 0", got.to_string());
        }
        let weights = [
            ("weight_decay", self.weight_decay),
            ("image_weight", self.image_weight),
            ("answer_weight", self.answer_weight),
            ("name_pull", self.name_pull),
        ];
        if let Some((key, got)) = weights.into_iter().find(|(_, w)| !(*w >= 0.0 && w.is_finite())) {
            return wrong(key, "a number of 0 or more", got.to_string());
        }
        let shares = [("condition_dropout", self.condition_dropout), ("min_masking_rate", self.min_masking_rate)];
        if let Some((key, got)) = shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            return wrong(key, "a share from 0 to 1", got.to_string());
        }
        if self.image_weight + self.answer_weight == 0.0 {
            return wrong("image_weight", "a weight above 0 for images or answers", "0 for both".into());
        }
        Ok(())
    }
}
