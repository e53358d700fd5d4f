//! Each operation against burn's own, in value and gradient, at odd shapes; also where burn recomputes parts of the graph, and in half
//! precision.
#![allow(clippy::unwrap_used)]

use burn::module::{Module, Param};
use burn::nn::conv::Conv2dConfig;
use burn::nn::{GroupNormConfig, LayerNormConfig, PaddingConfig2d, RmsNormConfig};
use burn::tensor::activation::{gelu as burn_gelu, log_softmax, sigmoid, silu, softmax};
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Bool, DType, Device, GradientCheckpointingStrategy, Int, Tensor, TensorData};
use counterpoint::{Key, Streams};
use counterpoint_kernels::{
    Activation, Mask, Rotation, Seen, Windows, adapted, chosen_log_probs, conv2d, conv2d_channels_last, gelu,
    gelu_tanh, group_norm, group_norm_silu, layer_norm, linear, rms_norm, silu_gate, upsampled,
};

/// Normal numbers of deviation 1.5, the same at every call: the device's generator belongs to all threads.
fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let mut streams = Streams::new(1).stream(Key::task(0, 0), "random", 0);
    let mut normal = || {
        let (radius, angle) = (streams.uniform().max(1e-6), streams.uniform());
        1.5 * (-2.0 * radius.ln()).sqrt() * (std::f32::consts::TAU * angle).cos()
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| normal()).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn devices() -> [Device; 3] {
    let cpu = Device::flex();
    [cpu.clone(), cpu.clone().autodiff(), cpu.autodiff().gradient_checkpointing()]
}

fn close<const D: usize>(got: Tensor<D>, expected: Tensor<D>, what: &str) {
    assert_eq!(got.dims(), expected.dims(), "{what}");
    let (got, expected) = (got.into_data(), expected.into_data());
    for (i, (a, b)) in got.iter::<f32>().zip(expected.iter::<f32>()).enumerate() {
        assert!((a - b).abs() <= 2e-5 * b.abs().max(1.0), "{what}, number {i}: {a}, expected {b}");
    }
}

/// Both functions of the same input: results, and on a device with autodiff the gradients of a weighted sum of them.
fn compare<const D: usize>(
    device: &Device,
    shape: [usize; D],
    what: &str,
    ours: impl Fn(Tensor<D>) -> Tensor<D>,
    burns: impl Fn(Tensor<D>) -> Tensor<D>,
) {
    let x = random(shape, device);
    if !device.is_autodiff() {
        return close(ours(x.clone()), burns(x), what);
    }
    let of = |function: &dyn Fn(Tensor<D>) -> Tensor<D>| {
        let x = Tensor::<D>::from_data(x.clone().inner().into_data(), device).require_grad();
        let y = function(x.clone());
        let weights = Tensor::<D>::from_data(
            TensorData::new((0..y.shape().num_elements()).map(|i| (i as f32 * 0.7).sin()).collect(), y.dims()),
            device,
        );
        let gradients = (y.clone() * weights).sum().backward();
        (y.inner(), x.grad(&gradients).unwrap())
    };
    let ((a, da), (b, db)) = (of(&ours), of(&burns));
    close(a, b, what);
    close(da, db, &format!("gradient of {what}"));
    // Nothing of x is trained: still the same.
    let fixed = Tensor::<D>::from_data(x.inner().into_data(), device);
    close(ours(fixed.clone()).inner(), burns(fixed).inner(), what);
}

fn gelu_by_burn<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let inner = (x.clone() + x.clone().powi_scalar(3) * 0.044_715) * (2.0 / std::f64::consts::PI).sqrt();
    x * 0.5 * (inner.tanh() + 1.0)
}

#[test]
fn gelu_with_tanh() {
    for device in devices() {
        compare(&device, [3, 7, 65], "gelu_tanh", gelu_tanh, gelu_by_burn);
        compare(&device, [1, 1, 1], "gelu_tanh of a number", gelu_tanh, gelu_by_burn);
        // Far out, where exponentials end.
        compare(
            &device,
            [40, 40],
            "gelu_tanh, far out",
            |x| gelu_tanh(x * 60.0) * 0.01,
            |x| gelu_by_burn(x * 60.0) * 0.01,
        );
    }
}

#[test]
fn gelu_with_the_error_function() {
    for device in devices() {
        compare(&device, [3, 7, 65], "gelu", gelu, burn_gelu);
        compare(&device, [40, 40], "gelu, far out", |x| gelu(x * 60.0) * 0.01, |x| burn_gelu(x * 60.0) * 0.01);
        // What other devices take.
        let other = |x: Tensor<3>| x.clone() * ((x * std::f64::consts::FRAC_1_SQRT_2).erf() * 0.5 + 0.5);
        compare(&device, [3, 7, 65], "gelu by erf", gelu, other);
    }
}

#[test]
fn quick_gelu() {
    for device in devices() {
        let by_burn = |x: Tensor<3>| x.clone() * sigmoid(x * 1.702);
        compare(&device, [3, 7, 65], "quick_gelu", |x| Activation::QuickGelu.apply(x), by_burn);
    }
}

#[test]
fn where_nothing_is_trained_there_is_no_graph() {
    let x = random::<3>([2, 3, 4], &Device::flex().autodiff());
    assert!(!gelu_tanh(x.clone()).is_tracked());
    assert!(gelu_tanh(x.require_grad()).is_tracked());
}

#[test]
fn silu_gates() {
    for device in devices() {
        compare(&device, [2, 5, 33], "silu_gate", |x| silu_gate(x.clone(), x + 1.0), |x| silu(x.clone()) * (x + 1.0));
    }
}

#[test]
fn rotations() {
    let (length, heads, batch) = (5, 3, 4);
    for device in devices() {
        for (rows, width, half) in [(1, 10, 3), (4, 10, 3), (4, 50, 23)] {
            let angles: Vec<f32> = (0..rows * length * half).map(|i| (i as f32 * 0.37).rem_euclid(6.0)).collect();
            let rotation = Rotation::new(&angles, half, [batch, length, heads, width], &device, DType::F32);
            let table = |of: fn(f32) -> f32| {
                let values: Vec<f32> = angles.iter().copied().map(of).collect();
                Tensor::<4>::from_data(TensorData::new(values, [rows, length, 1, half]), &device)
            };
            let (cos, sin) = (table(f32::cos), table(f32::sin));
            let by_burn = |x: Tensor<4>| {
                let (a, b) = (x.clone().narrow(3, 0, half), x.clone().narrow(3, half, half));
                let turned = [
                    a.clone() * cos.clone() - b.clone() * sin.clone(),
                    b * cos.clone() + a * sin.clone(),
                    x.narrow(3, 2 * half, width - 2 * half),
                ];
                Tensor::cat(turned.to_vec(), 3)
            };
            let what = format!("rotation by {rows} rows");
            compare(&device, [batch, length, heads, width], &what, |x| rotation.apply(x), by_burn);
            compare(&device, [batch, length, 1, width], "rotation of one head", |x| rotation.apply(x), by_burn);
        }
    }
}

#[test]
fn attention() {
    // Of a single query there are no products of matrices.
    for (queries, width) in [(5, 6), (1, 6), (1, 39)] {
        attention_of(queries, width);
    }
}

fn attention_of(queries: usize, width: usize) {
    let [batch, heads, keys] = [3, 2, 37];
    for device in devices() {
        // For every sequence or all, every query or all; and without a mask.
        for rows in [Some([1, queries]), Some([batch, queries]), Some([batch, 1]), Some([1, 1]), None] {
            let [sequences, of_queries] = rows.unwrap_or([1, 1]);
            let shape = [sequences, of_queries, keys];
            // Every query sees a key; without a mask it sees all of them.
            let sees = |i: usize| rows.is_none() || i % keys == 3 || i * 7 % 11 < 6;
            let seen: Vec<bool> = (0..shape.iter().product()).map(sees).collect();
            let allowed = Tensor::<3, Bool>::from_data(TensorData::new(seen, shape), &device);
            let by_burn = |q: Tensor<4>, k: Tensor<4>, v: Tensor<4>| {
                let hidden = allowed.clone().bool_not().unsqueeze_dim::<4>(1).expand([batch, heads, queries, keys]);
                let scores = q.matmul(k.swap_dims(2, 3)) * (width as f64).powf(-0.5);
                softmax(scores.mask_fill(hidden, -1e9), 3).matmul(v)
            };
            for fused in [true, false] {
                let mask = match rows {
                    Some(_) => Mask::new(allowed.clone(), fused, heads, DType::F32),
                    None => Mask::none(&device, fused, DType::F32),
                };
                // Queries, keys and values in one tensor, so that one gradient is of all.
                let split = |x: Tensor<4>| {
                    let q = x.clone().narrow(2, 0, queries);
                    (q, x.clone().narrow(2, queries, keys), x.narrow(2, queries + keys, keys))
                };
                let ours = |x| {
                    let (q, k, v) = split(x);
                    mask.attend(q, (k, v))
                };
                let burns = |x| {
                    let (q, k, v) = split(x);
                    by_burn(q, k, v)
                };
                let x = random([batch, heads, queries + 2 * keys, width], &device);
                if !device.is_autodiff() {
                    close(ours(x.clone()), burns(x), "attention");
                    continue;
                }
                let of = |function: &dyn Fn(Tensor<4>) -> Tensor<4>| {
                    let x = Tensor::<4>::from_data(x.clone().inner().into_data(), &device).require_grad();
                    let y = function(x.clone());
                    let gradients = y.clone().powi_scalar(2).sum().backward();
                    (y.inner(), x.grad(&gradients).unwrap())
                };
                let ((a, da), (b, db)) = (of(&ours), of(&burns));
                close(a, b, "attention");
                close(da, db, "gradient of attention");
            }
        }
    }
}

#[test]
fn attention_to_keys_that_are_shared() {
    let (heads, shared, own, width) = (2, 5, 4, 39);
    for device in devices() {
        for (batch, queries) in [(1, 1), (3, 1), (3, 4)] {
            let random = |shape| random(shape, &device);
            let keys = shared + own;
            let allowed: Vec<bool> = (0..queries * keys).map(|i| i * 7 % 11 < 8).collect();
            let allowed = Tensor::<3, Bool>::from_data(TensorData::new(allowed, [1, queries, keys]), &device);
            let mask = Mask::new(allowed, true, heads, DType::F32);
            let query = random([batch, heads, queries, width]);
            // The generator gives the same numbers again.
            let [key, value] = [1.0, 0.7].map(|scale| random([1, heads, shared, width]) * scale);
            let [own_key, own_value] = [-0.8, 0.9].map(|scale| random([batch, heads, own, width]) * scale);
            let behind = |shared: &Tensor<4>, own: &Tensor<4>| {
                Tensor::cat(vec![shared.clone().repeat_dim(0, batch), own.clone()], 2)
            };
            let all = (behind(&key, &own_key), behind(&value, &own_value));
            let seen = Seen::from((own_key, own_value)).after(Some((key, value)));
            close(mask.attend(query.clone(), seen), mask.attend(query, all), "shared keys");
        }
    }
}

#[test]
fn layer_norms() {
    let width = 37;
    for device in devices() {
        let plain = device.clone().inner();
        let mut norm = LayerNormConfig::new(width).with_epsilon(1e-3).init(&plain);
        norm.gamma = norm.gamma.map(|g| random([width], &g.device()));
        norm.beta = norm.beta.map(|beta| beta.map(|b| random([width], &b.device())));
        let frozen = norm.clone().no_grad().to_device(&device);
        // Burn gives parameters that move the default strategy of checkpointing, whatever the device's.
        if device.gradient_checkpointing_strategy() == Some(GradientCheckpointingStrategy::Balanced) {
            continue;
        }
        compare(&device, [4, 3, width], "layer norm", |x| layer_norm(&frozen, 1e-3, x), |x| frozen.forward(x));
        if !device.is_autodiff() {
            continue;
        }
        let trained = norm.set_require_grad(true).to_device(&device).train();
        compare(&device, [4, width], "trained layer norm", |x| layer_norm(&trained, 1e-3, x), |x| trained.forward(x));
        let x = random([9, width], &device);
        let of = |y: Tensor<2>| {
            let gradients = y.powi_scalar(2).sum().backward();
            let beta = trained.beta.as_ref().unwrap().val();
            (trained.gamma.val().grad(&gradients).unwrap(), beta.grad(&gradients).unwrap())
        };
        let (ours, burns) = (of(layer_norm(&trained, 1e-3, x.clone())), of(trained.forward(x)));
        close(ours.0, burns.0, "gradient of gamma");
        close(ours.1, burns.1, "gradient of beta");
    }
}

#[test]
fn rms_norms() {
    let width = 37;
    for device in devices() {
        let mut norm = RmsNormConfig::new(width).with_epsilon(1e-3).init(&device.clone().inner());
        norm.gamma = norm.gamma.map(|g| random([width], &g.device()));
        let frozen = norm.clone().no_grad().to_device(&device);
        if device.gradient_checkpointing_strategy() == Some(GradientCheckpointingStrategy::Balanced) {
            continue;
        }
        compare(&device, [4, 3, width], "RMS norm", |x| rms_norm(&frozen, x), |x| frozen.forward(x));
        if !device.is_autodiff() {
            continue;
        }
        let trained = norm.set_require_grad(true).to_device(&device).train();
        compare(&device, [4, width], "trained RMS norm", |x| rms_norm(&trained, x), |x| trained.forward(x));
        let x = random([9, width], &device);
        let of = |y: Tensor<2>| trained.gamma.val().grad(&y.powi_scalar(2).sum().backward()).unwrap();
        close(of(rms_norm(&trained, x.clone())), of(trained.forward(x)), "gradient of gamma");
    }
}

#[test]
fn convolutions() {
    let padded = |top, left, bottom, right| PaddingConfig2d::Explicit(top, left, bottom, right);
    for (shape, to, kernel, stride, padding) in [
        ([2, 3, 9, 7], 5, [3, 3], [1, 1], padded(1, 1, 1, 1)),
        ([1, 4, 8, 8], 6, [3, 3], [2, 2], padded(0, 0, 1, 1)),
        ([3, 2, 5, 6], 4, [1, 1], [1, 1], PaddingConfig2d::Valid),
        ([1, 2, 11, 10], 3, [5, 2], [3, 2], padded(2, 3, 4, 1)),
        ([1, 1, 4, 4], 2, [4, 4], [1, 1], PaddingConfig2d::Valid),
        ([2, 2, 3, 3], 2, [3, 3], [1, 1], padded(4, 4, 4, 4)),
        // Several matrices for an image, the last one smaller.
        ([1, 64, 45, 37], 8, [3, 3], [1, 1], padded(1, 1, 1, 1)),
        ([2, 3, 6, 6], 2, [3, 3], [1, 1], PaddingConfig2d::Same),
        // In tiles: odd sides, several parts, unlike padding, small images in number.
        ([1, 64, 23, 25], 65, [3, 3], [1, 1], padded(1, 1, 1, 1)),
        ([2, 70, 40, 31], 64, [3, 3], [1, 1], padded(0, 2, 3, 0)),
        ([1, 64, 130, 66], 64, [3, 3], [1, 1], PaddingConfig2d::Valid),
        ([9, 64, 7, 9], 64, [3, 3], [1, 1], padded(3, 1, 2, 4)),
    ] {
        for bias in [true, false] {
            for device in devices() {
                device.seed(3);
                let conv = Conv2dConfig::new([shape[1], to], kernel).with_stride(stride).with_bias(bias);
                let conv = conv.with_padding(padding.clone()).init(&device);
                let what = format!("{shape:?} to {to} by {kernel:?}, {stride:?}");
                compare(&device, shape, &what, |x| conv2d(&conv, x), |x| conv.forward(x));
            }
        }
    }
}

/// To the last bit: samples are not to depend on how many are drawn on a device.
#[test]
fn what_is_computed_of_one_does_not_depend_on_the_others() {
    let device = Device::flex();
    let first = |x: Tensor<4>| x.narrow(0, 1, 1);
    // Few tiles and many; with 3 there are as many as make an image of one size worth it.
    for side in [14, 15, 32] {
        let conv =
            Conv2dConfig::new([64, 64], [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(&device);
        let x = random([3, 64, side, side], &device);
        let (alone, among) = (conv2d(&conv, first(x.clone())), first(conv2d(&conv, x)));
        assert_eq!(alone.into_data(), among.into_data(), "a convolution of {side} x {side}");
    }
    for queries in [1, 5] {
        let allowed: Vec<bool> = (0..queries * 9).map(|i| i * 7 % 11 < 8).collect();
        let allowed = Tensor::<3, Bool>::from_data(TensorData::new(allowed, [1, queries, 9]), &device);
        let mask = Mask::new(allowed, true, 2, DType::F32);
        let (q, k) = (random([3, 2, queries, 20], &device), random([3, 2, 9, 20], &device) * 0.7);
        let v = k.clone() * -0.9;
        let alone = mask.attend(first(q.clone()), (first(k.clone()), first(v.clone())));
        let among = first(mask.attend(q, (k, v)));
        assert_eq!(alone.into_data(), among.into_data(), "attention of {queries} queries");
    }
}

#[test]
fn convolutions_with_channels_last() {
    let device = Device::flex();
    for (shape, to, kernel, stride, padding) in [
        ([2, 9, 7, 3], 5, [3, 3], 1, [1, 1]),
        ([1, 11, 10, 4], 6, [3, 3], 2, [0, 0]),
        ([3, 5, 6, 2], 4, [1, 1], 1, [0, 0]),
        ([1, 5, 6, 2], 4, [1, 1], 2, [0, 0]),
        ([1, 8, 8, 6], 7, [1, 7], 1, [0, 3]),
        ([2, 4, 3, 6], 7, [7, 1], 1, [3, 0]),
        // Several matrices for an image, the last one smaller.
        ([1, 45, 37, 64], 8, [3, 3], 1, [1, 1]),
    ] {
        let [batch, height, width, from] = shape;
        let conv = Conv2dConfig::new([from, to], kernel).with_stride([stride; 2]);
        let [down, across] = padding;
        let conv = conv.with_padding(PaddingConfig2d::Explicit(down, across, down, across)).init(&device);
        let x = random([batch, from, height, width], &device);
        let expected = conv.forward(x.clone()).permute([0, 2, 3, 1]);
        let weight = conv.weight.val().permute([2, 3, 1, 0]).reshape([-1, to as i32]);
        let windows = Windows { kernel, stride, padding };
        let got = |rectified| {
            let bias = conv.bias.as_ref().map(Param::val);
            conv2d_channels_last(x.clone().permute([0, 2, 3, 1]), weight.clone(), bias, windows, rectified)
        };
        let what = format!("{shape:?} to {to} by {kernel:?}, {stride}");
        close(got(false), expected.clone(), &what);
        close(got(true), expected.clamp_min(0.0), &what);
    }
}

#[test]
fn upsampling() {
    for device in devices() {
        for shape in [[2, 3, 5, 7], [1, 1, 1, 1]] {
            let options =
                InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([2 * shape[2], 2 * shape[3]]);
            compare(&device, shape, "upsampling", upsampled, |x| interpolate(x, options.clone()));
        }
    }
}

#[test]
fn group_norms() {
    for (shape, groups) in [([2, 6, 5, 3], 3), ([1, 4, 1, 1], 4), ([3, 8, 7, 9], 1), ([1, 4, 150, 131], 2)] {
        for device in devices() {
            let mut norm = GroupNormConfig::new(groups, shape[1]).with_epsilon(1e-6).init(&device);
            let draw = |of: Tensor<1>| Some(of.mul_scalar(0.3) + 0.7);
            norm.gamma = draw(random([shape[1]], &device)).map(Param::from_tensor);
            norm.beta = draw(random([shape[1]], &device)).map(Param::from_tensor);
            let what = format!("{shape:?} in {groups} groups");
            compare(&device, shape, &what, |x| group_norm(&norm, x), |x| norm.forward(x));
            compare(&device, shape, &what, |x| group_norm_silu(&norm, x), |x| silu(norm.forward(x)));
            let norm = GroupNormConfig::new(groups, shape[1]).with_affine(false).init(&device);
            compare(&device, shape, &what, |x| group_norm(&norm, x), |x| norm.forward(x));
        }
    }
}

#[test]
fn log_probs_of_what_was_chosen() {
    for shape in [[1, 1], [5, 33], [3, 64], [40, 517], [2, 20011]] {
        let chosen: Vec<u32> = (0..shape[0]).map(|row| (row * 7 % shape[1]) as u32).collect();
        let ids: Vec<i32> = chosen.iter().map(|&id| id as i32).collect();
        for device in devices() {
            let ids = Tensor::<2, Int>::from_data(TensorData::new(ids.clone(), [shape[0], 1]), &device);
            let of = |all: Tensor<2>| all.gather(1, ids.clone());
            compare(
                &device,
                shape,
                &format!("{shape:?}"),
                |x| chosen_log_probs(x, chosen.clone()).0,
                |x| of(log_softmax(x, 1)),
            );
            let x = random(shape, &device);
            let all = log_softmax(x.clone().inner(), 1);
            let entropy = (all.clone().exp() * all).sum_dim(1).neg();
            close(chosen_log_probs(x, chosen.clone()).1, entropy, &format!("entropy of {shape:?}"));
        }
    }
}

#[test]
fn ids_that_are_not_allowed_add_nothing() {
    let cpu = Device::flex();
    let row = [1.0, f32::NEG_INFINITY, 2.0, -1e9, 0.5];
    for device in [cpu.clone(), cpu.autodiff()] {
        let x = Tensor::<2>::from_data(TensorData::new(row.to_vec(), [1, 5]), &device);
        let (log_prob, entropy) = chosen_log_probs(x, vec![2]);
        let powers = [1.0_f64, 2.0, 0.5].map(f64::exp);
        let total: f64 = powers.iter().sum();
        let expected: f64 = -powers.map(|p| p / total * (p / total).ln()).iter().sum::<f64>();
        assert!((f64::from(log_prob.into_scalar::<f32>()) - (2.0 - total.ln())).abs() < 1e-6);
        assert!((f64::from(entropy.into_scalar::<f32>()) - expected).abs() < 1e-6);
    }
}

#[test]
fn half_precision_goes_burns_way() {
    let device = Device::flex();
    let x = random([2, 3, 16], &device).cast(DType::BF16);
    let y = gelu_tanh(x.clone());
    assert_eq!(y.dtype(), DType::BF16);
    let difference = (y.cast(DType::F32) - gelu_by_burn(x.cast(DType::F32))).abs().max().into_scalar::<f32>();
    assert!(difference < 0.05, "{difference}");
}

#[test]
fn a_query_that_may_attend_nothing_gets_nothing() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let allowed = Tensor::<3, Bool>::from_data(TensorData::new(vec![false; 6], [1, 2, 3]), &device);
        let mask = Mask::new(allowed, true, 1, DType::F32);
        let tracked = |x: Tensor<4>| if device.is_autodiff() { x.require_grad() } else { x };
        let [q, k] = [[1, 1, 2, 4], [1, 1, 3, 4]].map(|shape| tracked(random(shape, &device)));
        let y = mask.attend(q.clone(), (k.clone(), k));
        assert_eq!(y.clone().abs().max().into_scalar::<f32>(), 0.0);
        if device.is_autodiff() {
            let gradients = y.sum().backward();
            assert_eq!(q.grad(&gradients).unwrap().abs().max().into_scalar::<f32>(), 0.0);
        }
    }
}

#[test]
fn products_with_a_matrix_that_is_not_trained() {
    for device in devices() {
        for (shape, to) in [([1, 1, 1], 1), ([2, 3, 5], 7), ([3, 1, 33], 20), ([2, 100, 200], 210)] {
            let weight = random([shape[2], to], &device) / (shape[2] as f32).sqrt();
            // As a file of PyTorch has it: a view of the rows that are columns here.
            let turned = (random([to, shape[2]], &device) / (shape[2] as f32).sqrt()).transpose();
            let bias = random([to], &device);
            for (weight, bias) in [(weight.clone(), Some(bias)), (weight, None), (turned, None)] {
                let [ours, burns] = [linear, burn::tensor::module::linear].map(|linear| {
                    let (weight, bias) = (weight.clone(), bias.clone());
                    move |x: Tensor<3>| linear(x, weight.clone(), bias.clone())
                });
                compare(&device, shape, "linear", &ours, &burns);
                // What is not contiguous.
                compare(&device, shape, "of a view", |x| ours(x.swap_dims(0, 1)), |x| burns(x.swap_dims(0, 1)));
            }
        }
    }
}

#[test]
fn products_with_a_matrix_that_is_trained() {
    let device = Device::flex().autodiff();
    for (shape, to) in [([1, 1, 1], 1), ([2, 3, 5], 7), ([3, 1, 33], 20), ([2, 100, 200], 210)] {
        let values = random([shape[2], to], &Device::flex()) / (shape[2] as f32).sqrt();
        for (of_x, of_bias) in [(true, true), (false, true), (true, false), (false, false)] {
            for has_bias in [true, false] {
                let run = |linear: fn(Tensor<3>, Tensor<2>, Option<Tensor<1>>) -> Tensor<3>| {
                    let wanted = |x: Tensor<3>| if of_x { x.require_grad() } else { x };
                    let x = wanted(Tensor::from_data(random(shape, &device).inner().into_data(), &device));
                    let weight = Tensor::<2>::from_data(values.clone().into_data(), &device).require_grad();
                    let bias = Tensor::<1>::from_data(random([to], &device).inner().into_data(), &device);
                    let bias = if of_bias { bias.require_grad() } else { bias };
                    let y = linear(x.clone(), weight.clone(), has_bias.then(|| bias.clone()));
                    let gradients = (y.clone() * y.clone().detach().sin()).sum().backward();
                    let mut found = vec![y.inner().reshape([-1])];
                    found.extend(x.grad(&gradients).map(|x| x.reshape([-1])));
                    found.extend(weight.grad(&gradients).map(|weight| weight.reshape([-1])));
                    found.extend(bias.grad(&gradients));
                    found
                };
                let (own, theirs): (Vec<Tensor<1>>, _) = (run(linear), run(burn::tensor::module::linear));
                let expected = 2 + usize::from(of_x) + usize::from(of_bias && has_bias);
                assert_eq!((own.len(), theirs.len()), (expected, expected), "gradients of what is trained alone");
                for (own, theirs) in own.into_iter().zip(theirs) {
                    // Sums of hundreds of numbers: to the size of the largest.
                    let scale = theirs.clone().abs().max().into_scalar::<f32>().max(1.0);
                    close(own / scale, theirs / scale, "linear, trained");
                }
            }
        }
    }
}

#[test]
fn products_under_an_adapter_have_the_gradients_of_its_factors() {
    for device in devices() {
        for (shape, to, rank) in [([1, 1, 1], 1, 1), ([2, 3, 5], 7, 2), ([2, 100, 200], 210, 4)] {
            let weight = random([shape[2], to], &device) / (shape[2] as f32).sqrt();
            let bias = random([to], &device);
            let values = |shape: [usize; 2]| random(shape, &device) / (shape[0] as f32).sqrt();
            let (down, up) = (values([shape[2], rank]).inner(), values([rank, to]).inner());
            let run = |ours: bool| {
                let on = |x: Tensor<2>| Tensor::<2>::from_data(x.into_data(), &device);
                let x = Tensor::<3>::from_data(random(shape, &device).inner().into_data(), &device);
                if !device.is_autodiff() {
                    return (forward(ours, x, &weight, &bias, [on(down.clone()), on(up.clone())]), Vec::new());
                }
                let (x, a, b) = (x.require_grad(), on(down.clone()).require_grad(), on(up.clone()).require_grad());
                let y = forward(ours, x.clone(), &weight, &bias, [a.clone(), b.clone()]);
                let gradients = (y.clone() * y.clone().detach().sin()).sum().backward();
                let flat = |x: Tensor<2>| x.reshape([-1]);
                let of_x: Tensor<1> = x.grad(&gradients).unwrap().reshape([-1]);
                (y.inner(), vec![of_x, flat(a.grad(&gradients).unwrap()), flat(b.grad(&gradients).unwrap())])
            };
            let ((ours, own), (burns, theirs)) = (run(true), run(false));
            close(ours, burns, "adapted");
            for (i, (own, theirs)) in own.into_iter().zip(theirs).enumerate() {
                // Sums of thousands of numbers: to the size of the largest.
                let scale = theirs.clone().abs().max().into_scalar::<f32>().max(1.0);
                close(own / scale, theirs / scale, &format!("gradient {i} of rank {rank}"));
            }
        }
    }
}

fn forward(ours: bool, x: Tensor<3>, weight: &Tensor<2>, bias: &Tensor<1>, [a, b]: [Tensor<2>; 2]) -> Tensor<3> {
    use burn::tensor::module;
    match ours {
        true => adapted(x, weight.clone(), Some(bias.clone()), [a, b], 0.7),
        false => {
            let low = module::linear(x.clone(), a, None) * 0.7;
            module::linear(x, weight.clone(), Some(bias.clone())) + module::linear(low, b, None)
        }
    }
}
