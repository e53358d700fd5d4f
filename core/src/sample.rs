//! What rewards see of a candidate: host memory only, no tensors, no model types.

use std::fmt;
use std::sync::Arc;

use image::RgbImage;

use crate::Task;

/// One finished (or half-made, for previews) candidate.
#[derive(Clone)]
#[non_exhaustive]
pub struct Sample {
    /// The candidate's number within its group.
    pub candidate: u64,
    /// Class of the task, such as `person`.
    pub class: String,
    /// The compound prompt CP that the image was generated from.
    pub prompt: String,
    /// The reasoning IR that the policy wrote.
    pub response: String,
    /// The generated image, sRGB 8 bit. `None` for policies that generate none.
    pub image: Option<Arc<RgbImage>>,
    /// The task's images to compare with.
    pub references: Vec<Arc<RgbImage>>,
    /// The task's parameters for rewards.
    pub params: Arc<serde_json::Value>,
    /// Whether the response ended at the sampler's limit and not by itself.
    pub truncated: bool,
    /// Why no reward is to judge it, if none is: all abstain, and it is dropped from its group.
    pub withheld: Option<String>,
    /// What the policy itself makes of image and prompt, where a reward needs it
    /// ([`Reward::needs_states`](crate::Reward::needs_states)) and there is an image.
    pub states: Option<Arc<TokenStates>>,
}

/// Hidden states of a policy that reads an image and a text, one row for each token.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenStates {
    /// Numbers of a row.
    pub width: usize,
    /// Of the image's tokens, row by row.
    pub image: Vec<f32>,
    /// Of the text's tokens, row by row, padding left out.
    pub text: Vec<f32>,
}

impl Sample {
    /// A sample of `task` with what the candidate made of it.
    pub fn new(task: &Task, candidate: u64, prompt: String, response: String, image: Option<Arc<RgbImage>>) -> Self {
        Self {
            candidate,
            class: task.class.clone(),
            prompt,
            response,
            image,
            references: task.references.clone(),
            params: Arc::clone(&task.params),
            truncated: false,
            withheld: None,
            states: None,
        }
    }

    /// The same, whose response ended at the sampler's limit or not.
    pub fn with_truncated(mut self, truncated: bool) -> Self {
        self.truncated = truncated;
        self
    }

    /// The same, which no reward is to judge.
    pub fn withhold(mut self, why: impl Into<String>) -> Self {
        self.withheld = Some(why.into());
        self
    }
}

/// Images by their sizes.
impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sample")
            .field("candidate", &self.candidate)
            .field("class", &self.class)
            .field("prompt", &self.prompt)
            .field("response", &self.response)
            .field("image", &self.image.as_deref().map(Size))
            .field("references", &self.references.iter().map(|image| Size(image)).collect::<Vec<_>>())
            .field("params", &self.params)
            .finish()
    }
}

/// An image in a debug text.
pub(crate) struct Size<'a>(pub(crate) &'a RgbImage);

impl fmt::Debug for Size<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.0.width(), self.0.height())
    }
}
