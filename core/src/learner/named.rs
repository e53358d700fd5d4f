//! Parameters that are known by their paths, so that equal runs write equal files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::{ModuleOptimizer, OptimizerRecord};
use burn::store::RecordError;
use burn::tensor::Tensor;
use sha2::{Digest, Sha256};

/// `module`, each parameter with an id that follows from its path: burn draws them at random, and names by them what an
/// optimizer keeps. One that is at several places has the id of the first.
pub(super) fn named<M: Module>(module: M) -> M {
    module.map(&mut Names { path: Vec::new(), known: BTreeMap::new() })
}

struct Names {
    path: Vec<String>,
    known: BTreeMap<u64, ParamId>,
}

impl ModuleMapper for Names {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let id = *self.known.entry(id.val()).or_insert_with(|| id_of(&self.path));
        Param::from_mapped_value(id, value, mapper)
    }
}

/// The first eight bytes of the path's SHA-256.
fn id_of(path: &[String]) -> ParamId {
    let hash = Sha256::digest(path.join("."));
    ParamId::from(hash[..8].iter().fold(0, |id, &byte| id << 8 | u64::from(byte)))
}

/// Writes what an optimizer keeps, in the order of names: burn's own is that of a table with a random seed. The file is read
/// tensor by tensor, so that not all of them are in memory twice.
pub(super) fn save(optimizer: &ModuleOptimizer, path: &Path) -> Result<(), RecordError> {
    let drawn = path.with_extension("drawn.bpk");
    optimizer.save(&drawn)?;
    let saved = OptimizerRecord::load(&drawn).and_then(|record| record.save(path));
    let removed = fs::remove_file(&drawn);
    saved?;
    removed.map_err(|e| RecordError::Io(e.to_string()))
}
