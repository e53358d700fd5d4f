//! Checkpoints that take time, so that a kill can be timed to fall inside one.

use std::any::Any;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use counterpoint::{Learner, ModuleLearner, OptimizerConfig, Result};

/// How long a checkpoint takes, and the file that is there meanwhile.
pub struct Slowly {
    /// Between the files that it writes, four times.
    pub pause: Duration,
    pub marker: PathBuf,
}

/// A learner that may save slowly.
pub struct Saving<M: Module> {
    pub inner: ModuleLearner<M>,
    pub slowly: Option<Slowly>,
}

impl<M: Module + 'static> Learner for Saving<M> {
    fn configure(&mut self, optimizer: &OptimizerConfig) {
        self.inner.configure(optimizer);
    }

    fn accumulate(&mut self, loss: Tensor<1>) -> Result<()> {
        self.inner.accumulate(loss)
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

    fn add(&mut self, gradients: GradientsParams) -> Result<()> {
        self.inner.add(gradients)
    }

    fn apply_half(&mut self, half: counterpoint::SegmentKind, lr: f64, scale: f64) -> Result<()> {
        self.inner.apply_half(half, lr, scale)
    }

    fn discard(&mut self) {
        self.inner.discard();
    }

    fn snapshot(&self) -> Box<dyn Any + Send> {
        self.inner.snapshot()
    }

    fn restore(&mut self, snapshot: Box<dyn Any + Send>) -> Result<()> {
        self.inner.restore(snapshot)
    }

    fn save(&self, dir: &Path) -> Result<()> {
        let Some(Slowly { pause, marker }) = &self.slowly else { return self.inner.save(dir) };
        fs::write(marker, "").unwrap();
        sleep(*pause);
        self.inner.save(dir)?;
        for n in 0..2 {
            sleep(*pause);
            fs::write(dir.join(format!("part-{n}")), vec![n; 10_000]).unwrap();
        }
        sleep(*pause);
        fs::remove_file(marker).unwrap();
        Ok(())
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        self.inner.load(dir)
    }
}
