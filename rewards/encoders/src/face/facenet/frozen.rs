//! FaceNet from a frozen TensorFlow graph, such as `20180402-114759.pb` of davidsandberg/facenet, or one whose norms were
//! merged into the convolutions.

use std::path::Path;

use burn::module::Param;
use burn::module::RunningState;
use burn::tensor::{Device, Tensor};
use counterpoint::Result;

use super::FaceNet;
use super::graph::Graph;
use super::unit::{EPSILON, Unit};

/// The scope of everything in the graph.
const SCOPE: &str = "InceptionResnetV1";

/// Puts the constants of the graph at `path` into `tower`, whose norms are then merged into the convolutions.
///
/// # Errors
/// When the file is no such graph, or a constant is missing or has another shape.
pub(super) fn load(tower: &mut FaceNet, path: &Path, device: &Device) -> Result<()> {
    let graph = Graph::read(path)?;
    let mut outcome = Ok(());
    let mut all = |result: Result<()>| {
        if outcome.is_ok() {
            outcome = result;
        }
    };
    tower.each_unit(|unit, scope| all(fill(unit, &graph, &format!("{SCOPE}/{scope}"), device)));
    tower.each_block(|block, scope| {
        let joined = &mut block.conv2d;
        let [to, from, _, _] = joined.weight.dims();
        let scope = format!("{SCOPE}/{scope}/Conv2d_1x1");
        all(graph.tensor(&format!("{scope}/weights"), [1, 1, from, to], device).and_then(|weight| {
            joined.weight = Param::from_tensor(weight.permute([3, 2, 0, 1]));
            joined.bias = Some(Param::from_tensor(graph.tensor(&format!("{scope}/biases"), [to], device)?));
            Ok(())
        }));
    });
    outcome?;
    let scope = format!("{SCOPE}/Bottleneck");
    let [from, to] = tower.last_linear.weight.dims();
    tower.last_linear.weight = Param::from_tensor(graph.tensor(&format!("{scope}/weights"), [from, to], device)?);
    let norm = Norm::read(&graph, &scope, to, device)?;
    let bn = &mut tower.last_bn;
    bn.beta = Param::from_tensor(norm.beta);
    bn.running_mean = RunningState::new(norm.mean);
    bn.running_var = RunningState::new(norm.variance);
    Ok(())
}

/// The norm of a scope. It has no factor: what follows each of them in the original has its own.
struct Norm {
    beta: Tensor<1>,
    mean: Tensor<1>,
    variance: Tensor<1>,
}

impl Norm {
    fn read(graph: &Graph, scope: &str, channels: usize, device: &Device) -> Result<Self> {
        let vector = |name: &str| graph.tensor(&format!("{scope}/BatchNorm/{name}"), [channels], device);
        Ok(Self { beta: vector("beta")?, mean: vector("moving_mean")?, variance: vector("moving_variance")? })
    }
}

fn fill(unit: &mut Unit, graph: &Graph, scope: &str, device: &Device) -> Result<()> {
    let [to, from, kh, kw] = unit.conv.weight.dims();
    let weight = graph.tensor(&format!("{scope}/weights"), [kh, kw, from, to], device)?;
    let weight = weight.permute([3, 2, 0, 1]);
    let merged = format!("{scope}/Conv2D_bn_offset");
    if graph.has(&merged) {
        unit.set(weight, graph.tensor(&merged, [to], device)?);
        return Ok(());
    }
    let norm = Norm::read(graph, scope, to, device)?;
    let scale = (norm.variance + EPSILON).sqrt().recip();
    unit.set(weight * scale.clone().reshape([-1, 1, 1, 1]), norm.beta - norm.mean * scale);
    Ok(())
}
