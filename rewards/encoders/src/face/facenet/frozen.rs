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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::Distribution;

    use super::super::FaceNetConfig;
    use super::super::graph::write;
    use super::*;

    /// A tower and its constants as TensorFlow names them, norms beside the convolutions.
    fn example(device: &Device) -> (FaceNet, Vec<(String, Tensor<1>, Vec<usize>)>) {
        let mut tower = FaceNetConfig { width: 16, ..Default::default() }.init(device).unwrap();
        let mut constants = Vec::new();
        let random = |n: usize, low, high| Tensor::<1>::random([n], Distribution::Uniform(low, high), device);
        let mut put = |name: String, values: Tensor<1>, shape: &[usize]| constants.push((name, values, shape.to_vec()));
        let hwio = |weight: Tensor<4>| {
            let [to, from, kh, kw] = weight.dims();
            (weight.permute([2, 3, 1, 0]).reshape([-1]), [kh, kw, from, to])
        };
        let norm = |n: usize| {
            [
                ("beta", random(n, -1.0, 1.0)),
                ("moving_mean", random(n, -1.0, 1.0)),
                ("moving_variance", random(n, 0.5, 2.0)),
            ]
        };
        tower.each_unit(|unit, scope| {
            let scope = format!("{SCOPE}/{scope}");
            let weight = unit.conv.weight.val();
            let n = weight.dims()[0];
            let (values, shape) = hwio(weight.clone());
            put(format!("{scope}/weights"), values, &shape);
            let [beta, mean, variance] = norm(n);
            let scale = (variance.1.clone() + EPSILON).sqrt().recip();
            unit.set(weight * scale.clone().reshape([-1, 1, 1, 1]), beta.1.clone() - mean.1.clone() * scale);
            for (name, values) in [beta, mean, variance] {
                put(format!("{scope}/BatchNorm/{name}"), values, &[n]);
            }
        });
        tower.each_block(|block, scope| {
            let scope = format!("{SCOPE}/{scope}/Conv2d_1x1");
            let (values, shape) = hwio(block.conv2d.weight.val());
            put(format!("{scope}/weights"), values, &shape);
            put(format!("{scope}/biases"), block.conv2d.bias.as_ref().unwrap().val(), &shape[3..]);
        });
        let [from, to] = tower.last_linear.weight.dims();
        put(format!("{SCOPE}/Bottleneck/weights"), tower.last_linear.weight.val().reshape([-1]), &[from, to]);
        let [beta, mean, variance] = norm(to);
        tower.last_bn.beta = Param::from_tensor(beta.1.clone());
        tower.last_bn.running_mean = RunningState::new(mean.1.clone());
        tower.last_bn.running_var = RunningState::new(variance.1.clone());
        for (name, values) in [beta, mean, variance] {
            put(format!("{SCOPE}/Bottleneck/BatchNorm/{name}"), values, &[to]);
        }
        (tower, constants)
    }

    #[test]
    fn a_graph_whose_norms_were_not_merged_is_read_and_what_is_missing_is_named() {
        let device = Device::flex();
        let dir = tempfile::tempdir().unwrap();
        let (tower, mut constants) = example(&device);
        let path = dir.path().join("facenet.pb");
        std::fs::write(&path, write(&constants)).unwrap();
        std::fs::write(dir.path().join("config.json"), r#"{"width": 16, "standardisation": "per_image"}"#).unwrap();
        let loaded = FaceNetConfig::load(&path, &device).unwrap();
        let pixels = Tensor::<4>::random([1, 3, 80, 80], Distribution::Default, &device);
        let difference = loaded.forward(pixels.clone()).unwrap() - tower.forward(pixels).unwrap();
        assert!(difference.abs().max().into_scalar::<f32>() < 1e-6);

        let gone = constants.swap_remove(40);
        std::fs::write(&path, write(&constants)).unwrap();
        let error = FaceNetConfig::load(&path, &device).unwrap_err();
        assert_eq!(error.kind(), counterpoint::ErrorKind::Weights);
        assert!(error.to_string().contains(&gone.0), "{error}");

        std::fs::write(dir.path().join("config.json"), r#"{"width": 8}"#).unwrap();
        let error = FaceNetConfig::load(&path, &device).unwrap_err();
        assert!(error.to_string().contains("expected shape [3, 3, 3, 4], got [3, 3, 3, 2]"), "{error}");
        for junk in [b"junk".as_slice(), b""] {
            std::fs::write(&path, junk).unwrap();
            let error = FaceNetConfig::load(&path, &device).unwrap_err();
            assert!(error.to_string().contains("frozen"), "{error}");
        }
    }
}
