//! A model as a policy trains it: on a device with autodiff, in a precision, in part.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, GradientCheckpointingStrategy, Tensor};
use counterpoint::device::is_cpu;
use counterpoint::{Error, config};
use counterpoint_weights::Precision;

/// `model` on `device`, which has autodiff, computing gradients in the way that the device says.
pub fn on_device<M: Module>(model: M, device: &Device) -> M {
    let model = model.to_device(device).train();
    match device.gradient_checkpointing_strategy() {
        Some(strategy) => model.map(&mut Checkpointing(strategy)),
        None => model,
    }
}

/// Burn gives a parameter that moves to a device with autodiff the default strategy, whatever the device's.
struct Checkpointing(GradientCheckpointingStrategy);

impl ModuleMapper for Checkpointing {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.with_gradient_checkpointing_strategy(self.0))
    }
}

/// How many threads share work on `device`: one for each core on the CPU, where burn uses one core for much of what is no matrix
/// product; one elsewhere.
pub fn threads(device: &Device) -> usize {
    if is_cpu(device) { rayon::current_num_threads() } else { 1 }
}

/// That `name` is none of `known`, with the nearest of them.
pub fn unknown(what: &str, name: &str, known: &[&str]) -> Error {
    let hint =
        config::nearest(name, known.iter().copied()).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    Error::config(format!("unknown {what} `{name}`{hint} (known: {})", known.join(", ")))
}

/// `model` with its matrices in `precision`. Vectors (biases, norms) stay what they are, and so does what is trained beside the
/// weights: adapters, and what lies in a part that `beside` names.
pub fn stored_in<M: Module>(model: M, precision: Precision, beside: &[&str]) -> M {
    model.map(&mut Store { dtype: precision.dtype(), beside, path: Vec::new() })
}

struct Store<'a> {
    dtype: DType,
    beside: &'a [&'a str],
    path: Vec<String>,
}

impl ModuleMapper for Store<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let beside = self.path.iter().any(|name| name == "lora" || self.beside.contains(&name.as_str()));
        if D == 2 && !beside { param.map(|tensor| tensor.cast(self.dtype)) } else { param }
    }
}
