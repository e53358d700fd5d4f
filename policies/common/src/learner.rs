//! The learner of a policy, which walks the way back layer by layer where gradients are checkpointed.

use std::any::Any;
use std::path::Path;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use counterpoint::{Learner, ModuleLearner, OptimizerConfig, Result, SegmentKind};

use crate::tape::{Layer, Tape};

/// A [`ModuleLearner`] and what the latest scores need for their way back.
pub struct TapedLearner<M: Module, L> {
    /// The learner.
    pub inner: ModuleLearner<M>,
    /// The layers of the latest scores.
    pub tape: Tape<M, L>,
}

impl<M: Module + 'static, L: Layer> Learner for TapedLearner<M, L> {
    fn configure(&mut self, optimizer: &OptimizerConfig) {
        self.inner.configure(optimizer);
    }

    fn accumulate(&mut self, loss: Tensor<1>) -> Result<()> {
        let gradients = self.tape.gradients(loss, self.inner.module())?;
        self.inner.add(gradients)
    }

    fn add(&mut self, gradients: GradientsParams) -> Result<()> {
        self.inner.add(gradients)
    }

    fn take(&mut self) -> Result<GradientsParams> {
        self.inner.take()
    }

    fn dot(&self, a: &GradientsParams, b: &GradientsParams) -> Result<f64> {
        self.inner.dot(a, b)
    }

    fn gradient_norms(&mut self) -> Result<Vec<(String, f64)>> {
        self.inner.gradient_norms()
    }

    fn apply(&mut self, lr: f64, scale: f64) -> Result<()> {
        self.inner.apply(lr, scale)
    }

    fn apply_half(&mut self, half: SegmentKind, lr: f64, scale: f64) -> Result<()> {
        self.inner.apply_half(half, lr, scale)
    }

    fn discard(&mut self) {
        self.tape.clear();
        self.inner.discard();
    }

    fn snapshot(&self) -> Box<dyn Any + Send> {
        self.inner.snapshot()
    }

    fn restore(&mut self, snapshot: Box<dyn Any + Send>) -> Result<()> {
        self.tape.clear();
        self.inner.restore(snapshot)
    }

    fn save(&self, dir: &Path) -> Result<()> {
        self.inner.save(dir)
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        self.inner.load(dir)
    }
}
