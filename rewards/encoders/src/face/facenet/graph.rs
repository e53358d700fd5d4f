//! The constants of a TensorFlow graph: the few messages of its protocol that they are in.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use counterpoint::{Error, Result};
use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct GraphDef {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeDef>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeDef {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    op: String,
    #[prost(btree_map = "string, message", tag = "5")]
    attr: BTreeMap<String, AttrValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AttrValue {
    #[prost(message, optional, tag = "8")]
    tensor: Option<TensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<ShapeProto>,
    #[prost(bytes = "vec", tag = "4")]
    content: Vec<u8>,
    #[prost(float, repeated, tag = "5")]
    floats: Vec<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct ShapeProto {
    #[prost(message, repeated, tag = "2")]
    dim: Vec<Dim>,
}

#[derive(Clone, PartialEq, Message)]
struct Dim {
    #[prost(int64, tag = "1")]
    size: i64,
}

/// TensorFlow's number for f32.
const FLOAT: i32 = 1;

/// The f32 constants of a frozen graph by the names of their nodes.
pub(super) struct Graph {
    path: String,
    constants: HashMap<String, TensorProto>,
}

impl Graph {
    /// # Errors
    /// When the file cannot be read, is not a graph or holds no f32 constant.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("cannot read", path, e))?;
        let graph = GraphDef::decode(bytes.as_slice()).map_err(|e| {
            Error::weights(format!(
                "{}: expected a frozen TensorFlow graph; the file is damaged, or something else",
                path.display()
            ))
            .with_source(e)
        })?;
        let constants: HashMap<String, TensorProto> = graph
            .node
            .into_iter()
            .filter(|node| node.op == "Const")
            .filter_map(|mut node| Some((node.name, node.attr.remove("value")?.tensor?)))
            .filter(|(_, tensor)| tensor.dtype == FLOAT)
            .collect();
        if constants.is_empty() {
            return Err(Error::weights(format!(
                "{}: expected a frozen graph with f32 constants, got none; freeze its variables first",
                path.display()
            )));
        }
        Ok(Self { path: path.display().to_string(), constants })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.constants.contains_key(name)
    }

    /// The constant `name`.
    ///
    /// # Errors
    /// When there is none, it has another shape, or its numbers are not finite or not as many as its shape says.
    pub(super) fn tensor<const D: usize>(&self, name: &str, shape: [usize; D], device: &Device) -> Result<Tensor<D>> {
        let wrong = |what: String| Error::weights(format!("{}: {name}: {what}", self.path));
        let tensor = self.constants.get(name).ok_or_else(|| {
            wrong(format!("expected a constant of shape {shape:?}, found none; is it InceptionResnetV1?"))
        })?;
        let got: Vec<i64> = tensor.shape.iter().flat_map(|s| s.dim.iter().map(|d| d.size)).collect();
        if !got.iter().copied().eq(shape.iter().map(|&n| n as i64)) {
            return Err(wrong(format!("expected shape {shape:?}, got {got:?}; check config.json")));
        }
        let count: usize = shape.iter().product();
        let mut values: Vec<f32> = if tensor.content.is_empty() {
            tensor.floats.clone()
        } else {
            tensor.content.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
        };
        // A constant of equal numbers is written as one of them.
        if let [only] = values[..] {
            values.resize(count, only);
        }
        if values.len() != count {
            return Err(wrong(format!("expected {count} numbers, got {}; the file is damaged", values.len())));
        }
        let bad = values.iter().filter(|value| !value.is_finite()).count();
        if bad > 0 {
            return Err(wrong(format!("{bad} of {count} numbers are not finite; the file is damaged")));
        }
        Ok(Tensor::from_data(TensorData::new(values, shape), (device, DType::F32)))
    }
}

/// A graph of constants: name, values and shape of each.
#[cfg(test)]
pub(super) fn write(constants: &[(String, Tensor<1>, Vec<usize>)]) -> Vec<u8> {
    let node = |(name, values, shape): &(String, Tensor<1>, Vec<usize>)| {
        let bytes = values.to_data().iter::<f32>().flat_map(f32::to_le_bytes).collect();
        let dim = shape.iter().map(|&size| Dim { size: size as i64 }).collect();
        let tensor = TensorProto { dtype: FLOAT, shape: Some(ShapeProto { dim }), content: bytes, floats: Vec::new() };
        let attr = BTreeMap::from([("value".to_owned(), AttrValue { tensor: Some(tensor) })]);
        NodeDef { name: name.clone(), op: "Const".to_owned(), attr }
    };
    GraphDef { node: constants.iter().map(node).collect() }.encode_to_vec()
}
