//! What a checkpoint leaves out: the frozen base, of which it keeps names, shapes and a fingerprint.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::tensor::{DType, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// File beside the parameters that says which of the module's they are, and on what base they stand.
pub(super) const TRAINED: &str = "trained.json";

/// Values of each frozen parameter that enter the fingerprint.
const SAMPLED: usize = 64;

/// How many names an error message lists before it says "and N more".
const LISTED: usize = 4;

/// The trained parameters of a module and the base that they belong to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trained {
    /// What is trained, in the policy's words.
    pub(super) what: String,
    /// Path and shape of each trained parameter.
    pub(super) parameters: BTreeMap<String, Vec<usize>>,
    /// SHA-256 over path, shape and some values of each frozen parameter, in hexadecimal digits.
    pub(super) base: String,
}

impl Trained {
    /// Describes `module`, whose trained parameters are those that require gradients.
    pub(super) fn of<M: Module>(module: &M, what: &str) -> Result<Self> {
        let mut walk = Walk::default();
        module.visit(&mut walk);
        let mut values = Vec::new();
        if !walk.samples.is_empty() {
            values = Tensor::cat(walk.samples, 0).try_into_vec_as::<f32>().map_err(|e| {
                Error::device("cannot read the frozen parameters from the device").with_source(e.to_string())
            })?;
        }
        for value in values {
            walk.hash.update(value.to_le_bytes());
        }
        let base = hex::encode(walk.hash.finalize());
        Ok(Self { what: what.to_owned(), parameters: walk.trained, base })
    }

    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(TRAINED);
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::io("cannot write", &path, e.into()))?;
        fs::write(&path, text + "\n").map_err(|e| Error::io("cannot write", &path, e))
    }

    /// What `dir` says; `None` when it holds a whole module.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(TRAINED);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("cannot read", &path, e)),
        };
        let parse = |e| Error::checkpoint(format!("{}: unreadable", path.display())).with_source(e);
        serde_json::from_str(&text).map(Some).map_err(parse)
    }

    /// Refuses what was written as `saved` by another kind of training or on another base.
    pub(super) fn check(&self, saved: &Self, dir: &Path) -> Result<()> {
        let refuse = |what: String| Err(Error::checkpoint(format!("{}: {what}", dir.join(TRAINED).display())));
        if saved.what != self.what {
            return refuse(format!(
                "expected a checkpoint of a policy that trains {}, got one that trains {}; resume with the settings \
                 that it was written with",
                self.what, saved.what
            ));
        }
        let differ: Vec<&str> = self
            .parameters
            .keys()
            .chain(saved.parameters.keys().filter(|name| !self.parameters.contains_key(*name)))
            .filter(|name| self.parameters.get(*name) != saved.parameters.get(*name))
            .map(String::as_str)
            .collect();
        if let Some(first) = differ.first() {
            let shape = |of: &Self| of.parameters.get(*first).map_or("none".to_owned(), |shape| format!("{shape:?}"));
            let others = &differ[1..differ.len().min(LISTED)];
            let more = match differ.len().saturating_sub(LISTED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let others = if others.is_empty() { String::new() } else { format!("; so do {}{more}", others.join(", ")) };
            return refuse(format!(
                "the trained parameters differ: {first}: expected shape {}, got {}{others}",
                shape(self),
                shape(saved)
            ));
        }
        if saved.base != self.base {
            return refuse(format!(
                "expected a checkpoint on the base {:.12}, got one on {:.12}: the frozen parameters are others; resume \
                 with the model files that the run began with",
                self.base, saved.base
            ));
        }
        Ok(())
    }
}

/// The parameters that require gradients.
pub(super) fn trained<M: Module>(module: &M) -> ParamGroup {
    let mut walk = Ids(Vec::new());
    module.visit(&mut walk);
    ParamGroup::from_ids(walk.0)
}

struct Ids(Vec<ParamId>);

impl ModuleVisitor for Ids {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            self.0.push(param.id);
        }
    }
}

#[derive(Default)]
struct Walk {
    path: Vec<String>,
    trained: BTreeMap<String, Vec<usize>>,
    hash: Sha256,
    samples: Vec<Tensor<1>>,
}

impl ModuleVisitor for Walk {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let (path, shape) = (self.path.join("."), param.lazy_shape());
        if param.is_require_grad() {
            self.trained.insert(path, shape.as_slice().to_vec());
            return;
        }
        self.hash.update(format!("{path} {:?};", shape.as_slice()));
        let values = param.val().without_autodiff().reshape([-1]);
        let (count, device) = (shape.num_elements(), values.device());
        let sampled = count.min(SAMPLED);
        let at: Vec<i64> = (0..sampled).map(|i| (i * (count - 1) / (sampled - 1).max(1)) as i64).collect();
        let at = Tensor::<1, Int>::from_data(TensorData::new(at, [sampled]), &device);
        self.samples.push(values.select(0, at).cast(DType::F32));
    }
}
