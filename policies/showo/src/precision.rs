//! A model whose matrices are stored in half precision.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Tensor};
use counterpoint_weights::Precision;

use crate::Showo;

impl Showo {
    /// The same model with its matrices stored in `precision`, in which it computes. Vectors (biases, norms) stay what they
    /// are, and so does what is trained beside the weights.
    pub(crate) fn stored_in(self, precision: Precision) -> Self {
        self.map(&mut Store { dtype: precision.dtype(), path: Vec::new() }).computing_in(precision)
    }
}

struct Store {
    dtype: DType,
    path: Vec<String>,
}

impl ModuleMapper for Store {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let beside = self.path.iter().any(|name| name == "concept_tokens" || name == "lora");
        if D == 2 && !beside { param.map(|tensor| tensor.cast(self.dtype)) } else { param }
    }
}
