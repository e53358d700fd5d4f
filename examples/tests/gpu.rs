//! Both policies and every tower on the kernels that GPUs run: burn's wgpu backend, on whatever driver there is. Mesa's software driver for
//! Vulkan will do (`mesa-vulkan-drivers`). Needs `--features wgpu`, better `wgpu,fusion`; another device than `wgpu` is named by `COUNTERPOINT_TEST_DEVICE`.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor, TensorData};
use counterpoint::device;

fn name() -> String {
    std::env::var("COUNTERPOINT_TEST_DEVICE").unwrap_or_else(|_| "wgpu".to_owned())
}

fn device() -> Device {
    device::named(&name()).unwrap()
}

/// The quantities of a fixture that are off, of which there are `at_least` so many in all.
fn failed(what: &str, fixture: &str, at_least: usize) -> Vec<String> {
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().and_then(Path::parent).unwrap();
    let example = target.join("examples").join(format!("parity{}", std::env::consts::EXE_SUFFIX));
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(fixture);
    let output = Command::new(example).arg(what).arg(fixture).args(["--device", &name()]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let summary: serde_json::Value = serde_json::from_str(text.lines().last().unwrap_or_default())
        .unwrap_or_else(|_| panic!("no summary of {what}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    assert!(summary["quantities"].as_array().unwrap().len() >= at_least, "{what}: {summary}");
    let failed = summary["failed"].as_array().unwrap();
    failed.iter().map(|name| name.as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn showo_passes_in_every_quantity() {
    assert_eq!(failed("showo", "policies/showo/tests/fixtures/showo_tiny", 29), Vec::<String>::new());
}

#[test]
fn janus_passes_in_every_quantity() {
    assert_eq!(failed("janus", "policies/janus/tests/fixtures/janus_tiny", 62), Vec::<String>::new());
}

#[test]
fn towers_pass_in_every_quantity() {
    let towers = ["bert", "ernie", "clip", "dinov2", "blip2", "captioner", "facenet", "mtcnn"];
    let off = |tower: &str| failed(tower, &format!("rewards/encoders/tests/fixtures/{tower}"), 2);
    let failed: Vec<_> =
        towers.map(|tower| (tower, off(tower))).into_iter().filter(|(_, off)| !off.is_empty()).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// Fails when burn mends it: `samplers/src/text.rs` may then concatenate in any order.
#[test]
#[cfg(feature = "fusion")]
fn burn_still_gathers_by_index_0_where_the_index_is_concatenated_first() {
    use burn::tensor::Int;
    use burn::tensor::activation::log_softmax;

    const IDS: usize = 50;
    let device = device();
    let waves = |rows: usize, columns: usize, wave: f32| {
        let values: Vec<f32> = (0..rows * columns).map(|i| (i as f32 * wave).sin()).collect();
        Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), &device)
    };
    let (embedding, head) = (waves(IDS, 16, 0.37), waves(16, IDS, 0.71));
    let scores =
        |x: Tensor<2>| x.reshape([1, 1, 16]).matmul(head.clone().unsqueeze::<3>()).narrow(1, 0, 1).reshape([1, IDS]);
    let values = |indices_first: bool| {
        let mut x = scores(embedding.clone().narrow(0, 3, 1));
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        for last in [false, true] {
            let all = log_softmax(x / 1.0, 1);
            let index: Tensor<2, Int> = all.clone().argmax(1);
            indices.push(index.clone());
            values.push(all.gather(1, index.clone()));
            if last {
                break;
            }
            x = scores(embedding.clone().select(0, index.reshape([1])));
        }
        let (indices, values) = match indices_first {
            true => {
                let indices = Tensor::cat(indices, 1);
                (indices, Tensor::cat(values, 1))
            }
            false => {
                let values = Tensor::cat(values, 1);
                (Tensor::cat(indices, 1), values)
            }
        };
        let values: Vec<f32> = values.into_data().iter::<f32>().collect();
        drop(indices.into_data());
        values
    };
    let (wrong, right) = (values(true), values(false));
    assert!((right[1] - wrong[1]).abs() > 0.1, "burn does it right: {right:?}, {wrong:?}");
}

/// Fails when burn mends it: `counterpoint_kernels::gelu` may then be burn's where gradients flow.
#[test]
fn burns_gelu_still_has_the_gradient_of_another_function() {
    let device = device().autodiff();
    let points = [-2.0_f32, -0.7, 0.4, 1.5];
    let slopes = |function: &dyn Fn(Tensor<1>) -> Tensor<1>| -> Vec<f32> {
        let x = Tensor::<1>::from_data(TensorData::from(points), &device).require_grad();
        let gradients = function(x.clone()).sum().backward();
        x.grad(&gradients).unwrap().into_data().iter::<f32>().collect()
    };
    let (ours, burns) = (slopes(&counterpoint_kernels::gelu), slopes(&gelu));
    // Phi(x) + x phi(x), by a table of the normal distribution.
    for (ours, expected) in ours.iter().zip([-0.085_232, 0.023_386, 0.802_730, 1.127_469]) {
        assert!((ours - expected).abs() < 2e-5, "{ours}, expected {expected}");
    }
    let apart = ours.iter().zip(&burns).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart > 1e-4, "burn does it right: {burns:?}");
}
