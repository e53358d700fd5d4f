//! What a module wants of a file: a name, a shape and a kind for each of its parameters.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::store::burn_pack::{Error as PackError, Tensor as Source};
use burn::store::{BurnToPyTorchAdapter, ModuleAdapter, ModuleContext, bridge};
use burn::tensor::{Bool, BoolStore, DType, Int, Shape, Tensor};

use crate::layout::Layout;

/// What kind of numbers a parameter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    Float,
    Int,
    Bool,
}

impl Numbers {
    /// Whether `dtype` can be loaded into such a parameter.
    pub(crate) fn accept(self, dtype: DType) -> bool {
        match self {
            Self::Float => dtype.is_float(),
            Self::Int => dtype.is_int() || dtype.is_uint(),
            Self::Bool => dtype.is_bool() || matches!(dtype, DType::U8 | DType::U32),
        }
    }
}

/// A parameter as it is to be found in a file.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) shape: Vec<usize>,
    pub(crate) numbers: Numbers,
}

/// The parameters of `module` by their names in a file of `layout`. None of them is initialised for it.
pub(crate) fn expected<M: Module>(module: &M, layout: Layout) -> BTreeMap<String, Expected> {
    let mut list = List { layout, path: Vec::new(), containers: Vec::new(), found: BTreeMap::new() };
    module.visit(&mut list);
    list.found
}

struct List {
    layout: Layout,
    path: Vec<String>,
    containers: Vec<String>,
    found: BTreeMap<String, Expected>,
}

impl List {
    fn add(&mut self, shape: Shape, numbers: Numbers) {
        let dtype = match numbers {
            Numbers::Float => DType::F32,
            Numbers::Int => DType::I32,
            Numbers::Bool => DType::Bool(BoolStore::Native),
        };
        let mut source: Source = bridge::deferred(self.path.join("."), dtype, shape, None, || {
            Err(PackError::ValidationError("a shape has no numbers".into()))
        });
        if self.layout == Layout::Torch {
            source = BurnToPyTorchAdapter.adapt(source, ModuleContext::new(&self.containers));
        }
        self.found.insert(source.name.clone(), Expected { shape: source.shape.to_vec(), numbers });
    }
}

impl ModuleVisitor for List {
    // The variant of an enum is not part of a name, as in burn's own stores when they read PyTorch's files.
    fn enter_module(&mut self, name: &str, container: &str) {
        self.containers.push(container.to_owned());
        if !container.starts_with("Enum:") {
            self.path.push(name.to_owned());
        }
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.containers.pop();
        if !container.starts_with("Enum:") {
            self.path.pop();
        }
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.add(param.lazy_shape(), Numbers::Float);
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.add(param.lazy_shape(), Numbers::Int);
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.add(param.lazy_shape(), Numbers::Bool);
    }
}
