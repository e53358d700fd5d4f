//! How an image is made of a prompt: what MaskGIT and code-by-code writing have in common.

use std::borrow::Cow;

use counterpoint::{Candidate, Result, Segment};

use crate::{Canvas, ImageModel, MaskGit, MaskGitConfig};

/// Makes images of prompts, step by step, with models of type `P`.
pub trait Painter<P>: Send + 'static {
    /// An image in the making; by default one that is not begun.
    type Image: Default + Send + 'static;

    /// Steps of an image.
    fn steps(&self, policy: &P) -> usize;

    /// The step after which a draft is looked at, in `1..=steps`.
    fn checkpoint_step(&self, policy: &P) -> usize;

    /// Goes on with `images`, which stand at the same step, until step `until`; one candidate and one prompt for each.
    ///
    /// # Errors
    /// When a prompt does not fit the model or the device fails.
    fn paint(
        &self,
        policy: &P,
        candidates: &[Candidate],
        prompts: &[&[u32]],
        images: &mut [Self::Image],
        until: usize,
    ) -> Result<()>;

    /// The codes of what an image looks like by now, `[N]`.
    fn codes<'a>(&self, policy: &P, image: &'a Self::Image) -> Cow<'a, [u32]>;

    /// A finished image as a part of a trajectory, after its prompt.
    fn segment(&self, policy: &P, prompt: Vec<u32>, image: Self::Image) -> Segment;
}

/// Settings of a [`Painter`].
pub trait PainterConfig {
    /// What they make.
    type Painter;

    /// The painter with these settings.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming the key that is out of range.
    fn init(self) -> Result<Self::Painter>;
}

impl PainterConfig for MaskGitConfig {
    type Painter = MaskGit;

    fn init(self) -> Result<MaskGit> {
        MaskGitConfig::init(self)
    }
}

/// A [`Canvas`], and its prompt once its painting has begun.
pub struct Denoised<T> {
    canvas: Canvas,
    prompts: Option<T>,
}

impl<T> Default for Denoised<T> {
    fn default() -> Self {
        Self { canvas: Canvas::default(), prompts: None }
    }
}

impl<P: ImageModel> Painter<P> for MaskGit {
    type Image = Denoised<P::Prompts>;

    fn steps(&self, _policy: &P) -> usize {
        self.config().timesteps
    }

    fn checkpoint_step(&self, _policy: &P) -> usize {
        self.checkpoint_step()
    }

    fn paint(
        &self,
        policy: &P,
        candidates: &[Candidate],
        prompts: &[&[u32]],
        images: &mut [Self::Image],
        until: usize,
    ) -> Result<()> {
        if until == 0 || images.is_empty() {
            return Ok(());
        }
        let prompts = match begun(policy, images) {
            Some(prompts) => prompts,
            None => policy.prepare(prompts, self.config().guidance_scale)?,
        };
        let mut canvases: Vec<Canvas> = images.iter_mut().map(|image| std::mem::take(&mut image.canvas)).collect();
        self.advance(policy, &prompts, candidates, &mut canvases, until)?;
        let unfinished = until < self.config().timesteps;
        for (number, (image, canvas)) in images.iter_mut().zip(canvases).enumerate() {
            image.canvas = canvas;
            // Each draft keeps its own, so that those of dropped drafts are freed.
            image.prompts = if unfinished { policy.gather(&[&prompts], &[(0, number)]) } else { None };
        }
        Ok(())
    }

    fn codes<'a>(&self, policy: &P, image: &'a Self::Image) -> Cow<'a, [u32]> {
        image.canvas.prediction(policy.image_tokens()).into()
    }

    fn segment(&self, policy: &P, prompt: Vec<u32>, image: Self::Image) -> Segment {
        let Canvas { chosen, log_probs, undecided, .. } = image.canvas;
        Segment::masked(prompt, policy.image_tokens(), chosen, log_probs, undecided)
            .with_guidance(self.config().scored_guidance())
            .with_temperature(self.config().token_temperature)
    }
}

/// The prompts of images whose painting has begun, put together.
fn begun<P: ImageModel>(policy: &P, images: &mut [Denoised<P::Prompts>]) -> Option<P::Prompts> {
    let begun: Vec<P::Prompts> = images.iter_mut().map(|image| image.prompts.take()).collect::<Option<_>>()?;
    let picked: Vec<(usize, usize)> = (0..begun.len()).map(|draft| (draft, 0)).collect();
    policy.gather(&begun.iter().collect::<Vec<_>>(), &picked)
}
