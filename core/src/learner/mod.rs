//! Parameters, accumulated gradients and the optimizer of a policy.

mod adamw;
mod frozen_base;
mod named;

use std::any::Any;
use std::path::Path;
use std::sync::OnceLock;

use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::store::ModuleRecord;
use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

use self::adamw::OnePass;
use self::frozen_base::Trained;
use crate::{Error, Result, SegmentKind};

/// The trainable half of a [`Policy`](crate::Policy). [`ModuleLearner`] implements it for any burn module.
///
/// *Call order*: [`configure`](Learner::configure) once; then, for each update, [`accumulate`](Learner::accumulate) for
/// every chunk and [`apply`](Learner::apply) or [`discard`](Learner::discard). Where a batch is used for several updates,
/// [`snapshot`](Learner::snapshot) before the first of them, and [`restore`](Learner::restore) when one fails.
/// *Threading*: `Send`, one thread at a time.
///
/// ```
/// use counterpoint::burn::module::{Module, Param};
/// use counterpoint::burn::tensor::{Device, Tensor};
/// use counterpoint::{Learner, ModuleLearner, OptimizerConfig, Result, burn};
///
/// #[derive(Module, Debug)]
/// struct Point {
///     at: Param<Tensor<1>>,
/// }
///
/// # fn main() -> Result<()> {
/// let device = Device::flex().autodiff();
/// let mut learner = ModuleLearner::new(Point { at: Param::from_data([3.0_f32, 4.0], &device) });
/// learner.configure(&OptimizerConfig::default());
///
/// // |at|^2 / 2 in two chunks, one coordinate each: its gradient is the point itself, of length 5.
/// for coordinate in 0..2 {
///     let x = learner.module().at.val().narrow(0, coordinate, 1);
///     learner.accumulate(x.square().sum() / 2.0)?;
/// }
/// assert_eq!(learner.gradient_norms()?, [("at".to_owned(), 5.0)]);
///
/// // AdamW's first step moves each coordinate by the learning rate.
/// let before = learner.snapshot();
/// learner.apply(0.1, 1.0)?;
/// let at = |learner: &ModuleLearner<Point>| learner.module().at.val().into_data().try_into_vec::<f32>().unwrap();
/// assert!((at(&learner)[0] - 2.9).abs() < 1e-5 && (at(&learner)[1] - 3.9).abs() < 1e-5);
/// assert!(learner.apply(0.1, 1.0).is_err(), "the gradients are used up");
///
/// learner.restore(before)?;
/// assert_eq!(at(&learner), [3.0, 4.0]);
/// # Ok(())
/// # }
/// ```
pub trait Learner: Send {
    /// Starts a new optimizer with these settings.
    fn configure(&mut self, optimizer: &OptimizerConfig);

    /// Back-propagates a chunk's loss `[1]` and adds its gradients to those accumulated.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) when the loss does not depend on the parameters.
    fn accumulate(&mut self, loss: Tensor<1>) -> Result<()>;

    /// Adds gradients to those accumulated: what a [`Replica`](crate::Replica) computed or what was [taken](Learner::take).
    ///
    /// # Errors
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) when this learner does not: the default.
    fn add(&mut self, _gradients: GradientsParams) -> Result<()> {
        Err(Error::contract(
            "this learner takes no gradients; a policy that has replicas, or an optimizer for each half, must implement `add`",
        ))
    }

    /// Takes the accumulated gradients out: none are left.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) when this learner does not give them out: the default.
    fn take(&mut self) -> Result<GradientsParams> {
        Err(Error::contract(
            "this learner does not give its gradients out, which measuring their signal and an optimizer for each half \
             need; implement `take` and `dot`, or set trainer.signal_every = 0 and trainer.generation_learning_rate = \"shared\"",
        ))
    }

    /// Inner product of two gradients of its parameters.
    ///
    /// # Errors
    /// As [`take`](Learner::take); [`ErrorKind::Device`](crate::ErrorKind::Device) when they cannot be read from the device.
    fn dot(&self, _a: &GradientsParams, _b: &GradientsParams) -> Result<f64> {
        Err(Error::contract("this learner does not compare gradients; implement `take` and `dot`"))
    }

    /// L2 norm of the accumulated gradient of each parameter, by its path.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) when they cannot be read from the device.
    fn gradient_norms(&mut self) -> Result<Vec<(String, f64)>>;

    /// Multiplies the accumulated gradients by `scale`, takes one optimizer step at rate `lr` and clears them.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) when nothing was accumulated.
    fn apply(&mut self, lr: f64, scale: f64) -> Result<()>;

    /// As [`apply`](Learner::apply), with the optimizer that is `half`'s own: after a
    /// [`configure`](Learner::configure) with [`OptimizerConfig::per_half`]. Who implements it implements
    /// [`take`](Learner::take) and [`add`](Learner::add) as well.
    ///
    /// # Errors
    /// As `apply`; [`ErrorKind::Contract`](crate::ErrorKind::Contract) when there is one optimizer for all, as by default.
    fn apply_half(&mut self, _half: SegmentKind, _lr: f64, _scale: f64) -> Result<()> {
        Err(Error::contract(
            "this learner has one optimizer for both halves; implement `apply_half`, or set \
             trainer.generation_learning_rate = \"shared\"",
        ))
    }

    /// Clears the accumulated gradients.
    fn discard(&mut self);

    /// Parameters and optimizer as they are now, for [`restore`](Learner::restore).
    fn snapshot(&self) -> Box<dyn Any + Send>;

    /// Goes back to a snapshot of this learner and clears the accumulated gradients.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) when the snapshot is another learner's.
    fn restore(&mut self, snapshot: Box<dyn Any + Send>) -> Result<()>;

    /// Writes parameters and optimizer state into `dir`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when a file cannot be written.
    fn save(&self, dir: &Path) -> Result<()>;

    /// Restores what [`save`](Learner::save) wrote, bit for bit.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) when the files are not those of such a learner.
    fn load(&mut self, dir: &Path) -> Result<()>;
}

/// AdamW settings.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct OptimizerConfig {
    /// Decay rates of the first and second moment, each in [0, 1).
    pub betas: [f64; 2],
    /// What is added to the root of the second moment, above 0.
    pub epsilon: f64,
    /// Decoupled weight decay, at least 0.
    pub weight_decay: f64,
    /// Which parameters it is for.
    pub decay_scope: DecayScope,
    /// Whether each half of the loop has an optimizer of its own: moments of its own gradients alone, so that the step of
    /// the quieter half does not shrink with the noise of the louder one (AdaTask, arXiv 2211.15055). Weight decay is then
    /// each one's.
    pub per_half: bool,
}

impl Default for OptimizerConfig {
    /// Moments of 0.9 and 0.999, epsilon 1e-8, no weight decay, one optimizer.
    fn default() -> Self {
        Self {
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 0.0,
            decay_scope: DecayScope::default(),
            per_half: false,
        }
    }
}

/// Which parameters weight decay is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecayScope {
    /// Those of two dimensions or more: neither norms nor biases, as in transformers and TRL.
    #[default]
    Matrices,
    /// Every parameter.
    All,
}

/// [`Learner`] of a burn module: AdamW, gradients accumulated over chunks.
///
/// Parameters that do not require gradients are never changed: they have no gradient, no optimizer state and no weight
/// decay. [`new`](Self::new) writes them into checkpoints all the same, [`on_frozen_base`](Self::on_frozen_base) does not.
pub struct ModuleLearner<M: Module> {
    module: M,
    settings: OptimizerConfig,
    /// One, or one for each half.
    optimizers: Vec<ModuleOptimizer>,
    gradients: GradientsAccumulator<M>,
    partial: Option<Partial>,
}

/// What a learner on a frozen base knows of it.
struct Partial {
    what: String,
    trained: OnceLock<Trained>,
}

const PARAMETERS: &str = "parameters.bpk";
const OPTIMIZER: &str = "optimizer.bpk";
const OPTIMIZERS: [&str; 2] = ["optimizer_understanding.bpk", "optimizer_generation.bpk"];

impl<M: Module> ModuleLearner<M> {
    /// Takes over a module on an autodiff device.
    pub fn new(module: M) -> Self {
        let module = named::named(module);
        let settings = OptimizerConfig::default();
        let optimizers = optimizers_of(&module, &settings);
        Self { module, settings, optimizers, gradients: GradientsAccumulator::new(), partial: None }
    }

    /// Takes over a module on an autodiff device of which only some parameters require gradients. Checkpoints hold those
    /// alone. Of the others they keep a fingerprint (names, shapes and some values), and they are refused by a learner
    /// on another base, by one that trains other parameters and by one that describes `what` it trains otherwise.
    ///
    /// `what` is for error messages too: "lora of rank 16".
    pub fn on_frozen_base(module: M, what: impl Into<String>) -> Self {
        Self { partial: Some(Partial { what: what.into(), trained: OnceLock::new() }), ..Self::new(module) }
    }

    /// The module under training.
    pub fn module(&self) -> &M {
        &self.module
    }

    /// The accumulated gradient of the parameter at `path`, flattened from burn's layout (row-major), if there is one.
    pub fn gradient(&mut self, path: &str) -> Option<Tensor<1>> {
        let mut found = None;
        self.visit_gradients(|at, gradient| {
            if at == path {
                found = Some(gradient);
            }
        });
        found
    }

    /// What is trained and on which base; `None` when checkpoints hold the whole module.
    fn trained(&self) -> Result<Option<&Trained>> {
        let Some(Partial { what, trained }) = &self.partial else { return Ok(None) };
        // The base never changes: it is read once.
        match trained.get() {
            Some(known) => Ok(Some(known)),
            None => {
                let found = Trained::of(&self.module, what)?;
                Ok(Some(trained.get_or_init(|| found)))
            }
        }
    }

    /// The files of the optimizers.
    fn files(&self) -> &'static [&'static str] {
        if self.settings.per_half { &OPTIMIZERS } else { &[OPTIMIZER] }
    }

    /// One step of the optimizer at this place.
    fn step(&mut self, place: usize, lr: f64, scale: f64) -> Result<()> {
        let gradients = self.gradients.grads();
        if gradients.is_empty() {
            return Err(Error::contract("no gradient was accumulated before the optimizer step"));
        }
        let gradients = scaled(&self.module, gradients, scale);
        self.module = self.optimizers[place].step(lr, self.module.clone(), gradients);
        Ok(())
    }

    /// Refuses a folder that does not hold just the parameters that this learner saves.
    fn check(&self, dir: &Path) -> Result<()> {
        match (self.trained()?, Trained::read(dir)?) {
            (None, None) => Ok(()),
            (Some(own), Some(saved)) => own.check(&saved, dir),
            (None, Some(saved)) => Err(Error::checkpoint(format!(
                "{}: expected a checkpoint of all parameters, got one of a policy that trains {} alone; resume with the \
                 settings that it was written with",
                dir.display(),
                saved.what
            ))),
            (Some(own), None) => Err(Error::checkpoint(format!(
                "{}: expected a checkpoint of a policy that trains {} alone, got one of all parameters; resume with the \
                 settings that it was written with",
                dir.display(),
                own.what
            ))),
        }
    }

    /// Calls `f` with the path and the flattened gradient of every parameter that has one.
    fn visit_gradients(&mut self, f: impl FnMut(&str, Tensor<1>)) {
        let gradients = self.gradients.grads();
        self.module.visit(&mut Walk { gradients: &gradients, path: Vec::new(), f });
        self.gradients.accumulate(&self.module, gradients);
    }
}

impl<M: Module + 'static> Learner for ModuleLearner<M> {
    fn configure(&mut self, optimizer: &OptimizerConfig) {
        self.settings = *optimizer;
        self.optimizers = optimizers_of(&self.module, optimizer);
    }

    fn accumulate(&mut self, loss: Tensor<1>) -> Result<()> {
        let gradients = gradients(loss, &self.module)?;
        self.add(gradients)
    }

    fn add(&mut self, gradients: GradientsParams) -> Result<()> {
        self.gradients.accumulate(&self.module, gradients);
        Ok(())
    }

    fn take(&mut self) -> Result<GradientsParams> {
        Ok(self.gradients.grads())
    }

    fn dot(&self, a: &GradientsParams, b: &GradientsParams) -> Result<f64> {
        struct Dot<'a> {
            a: &'a GradientsParams,
            b: &'a GradientsParams,
            products: Vec<Tensor<1>>,
        }
        impl ModuleVisitor for Dot<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if let (Some(a), Some(b)) = (self.a.get::<D>(param.id), self.b.get::<D>(param.id)) {
                    self.products.push((a * b).sum().cast(DType::F32));
                }
            }
        }
        let mut dot = Dot { a, b, products: Vec::new() };
        self.module.visit(&mut dot);
        if dot.products.is_empty() {
            return Ok(0.0);
        }
        let products = Tensor::cat(dot.products, 0).try_into_vec_as::<f32>().map_err(|e| {
            Error::device("cannot read a product of gradients from the device").with_source(e.to_string())
        })?;
        Ok(products.into_iter().map(f64::from).sum())
    }

    fn gradient_norms(&mut self) -> Result<Vec<(String, f64)>> {
        let (mut paths, mut squares) = (Vec::new(), Vec::new());
        self.visit_gradients(|path, gradient| {
            paths.push(path.to_owned());
            squares.push(gradient.square().sum().cast(DType::F32));
        });
        if squares.is_empty() {
            return Ok(Vec::new());
        }
        let squares = Tensor::cat(squares, 0).try_into_vec_as::<f32>().map_err(|e| {
            Error::device("cannot read the gradients' norms from the device").with_source(e.to_string())
        })?;
        Ok(paths.into_iter().zip(squares.into_iter().map(|square| f64::from(square).sqrt())).collect())
    }

    fn apply(&mut self, lr: f64, scale: f64) -> Result<()> {
        match self.settings.per_half {
            false => self.step(0, lr, scale),
            true => Err(Error::contract("each half has an optimizer of its own: expected `apply_half`, got `apply`")),
        }
    }

    fn apply_half(&mut self, half: SegmentKind, lr: f64, scale: f64) -> Result<()> {
        match (self.settings.per_half, half) {
            (true, SegmentKind::Understanding) => self.step(0, lr, scale),
            (true, SegmentKind::Generation) => self.step(1, lr, scale),
            (false, _) => {
                Err(Error::contract("there is one optimizer for both halves: expected `apply`, got `apply_half`"))
            }
        }
    }

    fn discard(&mut self) {
        self.gradients.grads();
    }

    fn snapshot(&self) -> Box<dyn Any + Send> {
        Box::new((self.module.clone(), self.optimizers.clone()))
    }

    fn restore(&mut self, snapshot: Box<dyn Any + Send>) -> Result<()> {
        let snapshot = snapshot.downcast::<(M, Vec<ModuleOptimizer>)>();
        (self.module, self.optimizers) =
            *snapshot.map_err(|_| Error::contract("expected a snapshot of this learner, got another's"))?;
        self.discard();
        Ok(())
    }

    fn save(&self, dir: &Path) -> Result<()> {
        let write = |file: &str, result: Result<(), String>| {
            result.map_err(|e| Error::io("cannot write", &dir.join(file), std::io::Error::other(e)))
        };
        let module = self.module.clone();
        let record = match self.trained()? {
            Some(trained) => {
                trained.write(dir)?;
                module.into_record_group(frozen_base::trained(&self.module))
            }
            None => module.into_record(),
        };
        write(PARAMETERS, record.save(dir.join(PARAMETERS)).map_err(|e| e.to_string()))?;
        let mut optimizers = self.files().iter().zip(&self.optimizers);
        optimizers.try_for_each(|(file, optimizer)| {
            write(file, named::save(optimizer, &dir.join(file)).map_err(|e| e.to_string()))
        })
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        let foreign = |file: &str, e: String| {
            Error::checkpoint(format!("{} does not fit this policy", dir.join(file).display())).with_source(e)
        };
        self.check(dir)?;
        let record = ModuleRecord::load(dir.join(PARAMETERS)).map_err(|e| foreign(PARAMETERS, e.to_string()))?;
        if let Some(trained) = self.trained()?
            && record.len() != trained.parameters.len()
        {
            let counts = format!("expected {} parameters, got {}", trained.parameters.len(), record.len());
            return Err(foreign(PARAMETERS, counts));
        }
        // The base is not in the file; that all of the trained ones are is settled by their number and their names.
        let record = record.allow_partial(self.partial.is_some());
        let module = self.module.clone().try_load_record(record).map_err(|e| foreign(PARAMETERS, e.to_string()))?;
        // Made anew: the parameters have the ids of the file now, and weight decay goes by them.
        let fresh = optimizers_of(&module, &self.settings).into_iter().zip(self.files());
        let load =
            |(new, file): (ModuleOptimizer, &&str)| new.load(dir.join(file)).map_err(|e| foreign(file, e.to_string()));
        let optimizers = fresh.map(load).collect::<Result<_>>()?;
        (self.module, self.optimizers) = (module, optimizers);
        self.discard();
        Ok(())
    }
}

/// One for `module`, or one for each half.
fn optimizers_of<M: Module>(module: &M, settings: &OptimizerConfig) -> Vec<ModuleOptimizer> {
    let halves = if settings.per_half { OPTIMIZERS.len() } else { 1 };
    (0..halves).map(|_| optimizer_of(module, settings)).collect()
}

/// AdamW for `module`, in two groups where norms and biases do not decay.
fn optimizer_of<M: Module>(module: &M, settings: &OptimizerConfig) -> ModuleOptimizer {
    let adam_w =
        |decay: f64| OnePass::new(settings.betas.map(|beta| beta as f32), settings.epsilon as f32, decay as f32);
    let decaying = ModuleOptimizer::from(adam_w(settings.weight_decay));
    match settings.decay_scope {
        DecayScope::All => decaying,
        DecayScope::Matrices => decaying.with_group(ParamGroup::from_ids(vectors(module)), adam_w(0.0), None),
    }
}

/// The parameters of fewer than two dimensions: norms and biases.
fn vectors<M: Module>(module: &M) -> Vec<ParamId> {
    struct Vectors(Vec<ParamId>);
    impl ModuleVisitor for Vectors {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if D < 2 {
                self.0.push(param.id);
            }
        }
    }
    let mut found = Vectors(Vec::new());
    module.visit(&mut found);
    found.0
}

/// Walks a module's parameters along with their gradients.
struct Walk<'a, F> {
    gradients: &'a GradientsParams,
    path: Vec<String>,
    f: F,
}

impl<F: FnMut(&str, Tensor<1>)> ModuleVisitor for Walk<'_, F> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            (self.f)(&self.path.join("."), gradient.reshape([-1]));
        }
    }
}

fn scaled<M: Module>(module: &M, gradients: GradientsParams, scale: f64) -> GradientsParams {
    struct Scale<'a> {
        gradients: &'a mut GradientsParams,
        scale: f64,
    }
    impl ModuleVisitor for Scale<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.remove::<D>(param.id) {
                self.gradients.register(param.id, gradient * self.scale);
            }
        }
    }
    let mut gradients = gradients;
    if scale != 1.0 {
        module.visit(&mut Scale { gradients: &mut gradients, scale });
    }
    gradients
}

/// Back-propagates `loss` to the parameters of `module`.
///
/// # Errors
/// [`ErrorKind::Contract`](crate::ErrorKind::Contract) when it does not depend on them.
pub fn gradients<M: Module>(loss: Tensor<1>, module: &M) -> Result<GradientsParams> {
    if !loss.is_tracked() {
        return Err(Error::contract(
            "the loss does not depend on the policy's parameters; log_probs must be computed from the module on an autodiff device",
        ));
    }
    Ok(GradientsParams::from_grads(loss.backward(), module))
}
