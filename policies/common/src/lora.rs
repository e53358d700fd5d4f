//! Low-rank adapters (LoRA): `y = W x + (alpha / rank) B A x` beside a frozen `W`.
//!
//! The factors are burn's [`LoraAdapter`] on the weight, so that records, optimizer and merging are burn's. The forward
//! pass is not: burn adds `B A` to `W` and multiplies by the sum, which keeps a second copy of `W` in the graph and
//! computes a gradient of W's shape. Here the input goes through the two factors one after the other.

use burn::module::{LoraAdapter, Module, ModuleMapper, Param, Reparameterizer};
use burn::nn::Linear;
use burn::tensor::{DType, Tensor, TensorData};
use counterpoint::{Error, Key, Result, Stream, Streams};
use counterpoint_kernels::{adapted, linear};
use counterpoint_weights::Precision;
use serde::{Deserialize, Serialize};

use crate::training::unknown;

/// The projections of a model that can have an adapter.
#[derive(Debug, Clone, Copy)]
pub struct Targets {
    /// How their paths in our module begin: the part of it that is the language model, such as `showo.`.
    pub within: &'static str,
    /// What `peft` has in place of that, between what it puts before every name and the rest, such as `model.language_model.`.
    pub peft: &'static str,
    /// Their names in the original.
    pub names: &'static [&'static str],
}

/// Low-rank adapters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// Rank of the adapters, at least 1.
    pub rank: usize,
    /// The adapters' output is scaled by `alpha / rank`; above 0.
    pub alpha: f64,
    /// Probability in [0, 1) with which an update leaves out an input channel of an adapter; the others are scaled by
    /// `1 / (1 - dropout)`. One draw holds for all tokens of an update (`peft` draws one for each token), and each
    /// adapter has its own. Nothing is left out when sampling, in the gate and in scores that are only read; so the
    /// ratios of an update begin near 1 and not at 1.
    pub dropout: f64,
    /// Which projections get an adapter in every layer, such as `q_proj`; all that the model has by default.
    pub targets: Option<Vec<String>>,
    /// Seed of the first factor's fresh values; the second one begins at 0.
    pub seed: u64,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self { rank: 16, alpha: 32.0, dropout: 0.0, targets: None, seed: 0 }
    }
}

/// Values of one adapter, row-major: `[in, rank]` and `[rank, out]`.
pub type Factors = (Vec<f32>, Vec<f32>);

impl LoraConfig {
    /// Checks the numbers, and the names against what a model has.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config), naming the first key that is out of range.
    pub fn validate(&self, targets: &Targets) -> Result<()> {
        if self.rank == 0 {
            return Err(Error::config("rank: expected at least 1, got 0"));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(Error::config(format!("alpha: expected a finite number above 0, got {}", self.alpha)));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::config(format!("dropout: expected a number in [0, 1), got {}", self.dropout)));
        }
        let named = self.targets.as_deref().unwrap_or_default();
        if self.targets.is_some() && named.is_empty() {
            let known = targets.names.join(", ");
            return Err(Error::config(format!("targets: expected at least one of {known}, got none")));
        }
        for (i, target) in named.iter().enumerate() {
            if !targets.names.contains(&target.as_str()) {
                return Err(unknown("target", target, targets.names).at("targets"));
            }
            if named[..i].contains(target) {
                return Err(Error::config(format!("targets: `{target}` is there twice")));
            }
        }
        Ok(())
    }

    /// The names of what gets an adapter.
    pub fn chosen<'a>(&'a self, targets: &'a Targets) -> Vec<&'a str> {
        match &self.targets {
            None => targets.names.to_vec(),
            Some(named) => named.iter().map(String::as_str).collect(),
        }
    }

    /// What is trained, for people.
    pub fn describe(&self, targets: &Targets) -> String {
        format!("LoRA of rank {}, alpha {}, beside {}", self.rank, self.alpha, self.chosen(targets).join(", "))
    }

    /// The weight's path without its last part, if this weight gets an adapter.
    fn target<'a>(&self, targets: &Targets, path: &'a str) -> Option<&'a str> {
        let projection = path.strip_suffix(".weight").filter(|path| path.starts_with(targets.within))?;
        let name = projection.rsplit('.').next()?;
        self.chosen(targets).contains(&name).then_some(projection)
    }

    /// Fresh factors of an adapter beside a weight `[in, out]`: the first uniform in `+-1 / sqrt(in)`, as in the `peft`
    /// package, the second 0. They depend on the seed and on the adapter's name alone.
    pub fn fresh(&self, projection: &str, [from, to]: [usize; 2]) -> Factors {
        let bound = (from as f32).sqrt().recip();
        let mut stream = Streams::new(self.seed).stream(Key::task(0, 0), &format!("lora.{projection}"), 0);
        let a = stream.uniforms(from * self.rank).into_iter().map(|u| (2.0 * u - 1.0) * bound).collect();
        (a, vec![0.0; self.rank * to])
    }

    /// Puts an adapter with the values of `factors(projection, [in, out])` beside every target. Everything else of
    /// `model` is left as it is.
    ///
    /// # Errors
    /// What `factors` returns.
    pub fn attach<M: Module>(
        &self,
        model: M,
        targets: &Targets,
        factors: impl FnMut(&str, [usize; 2]) -> Result<Factors>,
    ) -> Result<M> {
        let mut failed = None;
        let model = model.apply_reparameterization(Attach { config: self, targets, factors, failed: &mut failed });
        failed.map_or(Ok(model), Err)
    }
}

struct Attach<'a, F> {
    config: &'a LoraConfig,
    targets: &'a Targets,
    factors: F,
    failed: &'a mut Option<Error>,
}

impl<F: FnMut(&str, [usize; 2]) -> Result<Factors>> Reparameterizer for Attach<'_, F> {
    type Reparam = LoraAdapter;

    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<LoraAdapter>) {
        let (&[from, to], Some(projection)) = (param.lazy_shape().as_slice(), self.config.target(self.targets, path))
        else {
            return (param, None);
        };
        let (a, b) = match (self.factors)(projection, [from, to]) {
            Ok(factors) => factors,
            Err(error) => {
                self.failed.get_or_insert(error);
                return (param, None);
            }
        };
        let (rank, device) = (self.config.rank, param.lazy_device());
        let factor = |values, shape| {
            Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), (&device, DType::F32)))
        };
        let adapter = LoraAdapter {
            a: factor(a, [from, rank]),
            b: factor(b, [rank, to]),
            scale: self.config.alpha / rank as f64,
        };
        (param, Some(adapter))
    }
}

/// `layer` on `x`, through its adapter if it has one, computed in the type of `x`.
///
/// # Shapes
/// `[.., in]` to `[.., out]`.
pub fn project<const D: usize>(layer: &Linear, x: Tensor<D>) -> Tensor<D> {
    let dtype = x.dtype();
    let bias = layer.bias.as_ref().map(|bias| bias.val().cast(dtype));
    let Some(adapter) = layer.weight.adapter() else { return linear(x, layer.weight.val().cast(dtype), bias) };
    let factors = [&adapter.a, &adapter.b].map(|factor| factor.val().cast(dtype));
    adapted(x, layer.weight.base().cast(dtype), bias, factors, adapter.scale)
}

/// Scores of a vocabulary: `layer`, which has no adapter, on `x`, in f32, with the weights that a model in `precision` has.
///
/// # Shapes
/// `[.., in]` to f32 `[.., out]`.
pub fn scores<const D: usize>(layer: &Linear, x: Tensor<D>, precision: Precision) -> Tensor<D> {
    let weight = layer.weight.val().cast(precision.dtype()).cast(DType::F32);
    linear(x.cast(DType::F32), weight, layer.bias.as_ref().map(|bias| bias.val().cast(DType::F32)))
}

/// `model` with some input channels of every adapter left out: rows of the first factor, which is dropout of the
/// adapter's input with one mask for all tokens. Gradients still go to the factors of `model`.
pub fn dropped_out<M: Module>(model: M, dropout: f64, noise: Stream) -> M {
    if dropout == 0.0 {
        return model;
    }
    model.map(&mut Dropout { dropout: dropout as f32, noise, path: Vec::new() })
}

struct Dropout {
    dropout: f32,
    noise: Stream,
    path: Vec<String>,
}

impl ModuleMapper for Dropout {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // A weight's first factor is its `lora.a`.
        if !matches!(&self.path[..], [.., adapter, factor] if adapter == "lora" && factor == "a") {
            return param;
        }
        let kept = 1.0 / (1.0 - self.dropout);
        let rows = param.lazy_shape().as_slice()[0];
        let mask = self.noise.uniforms(rows).into_iter().map(|u| if u < self.dropout { 0.0 } else { kept });
        let mut shape = [1; D];
        shape[0] = rows;
        let mask = TensorData::new(mask.collect::<Vec<f32>>(), shape);
        let mask = Tensor::<D>::from_data(mask, (&param.lazy_device(), DType::F32));
        param.map(|a| a * mask)
    }
}
