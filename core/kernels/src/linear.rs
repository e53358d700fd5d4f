//! Products with a matrix that is not trained, on its own or under a low-rank adapter. Burn clears the memory of a product, writes the product,
//! copies it to memory that is aligned otherwise and adds the bias in a pass of its own; here the product is added to a bias that is there already.
#![allow(unsafe_code)]

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor, TensorData, module};
use gemm::Parallelism;

use crate::tracked::{elsewhere, tracked};
use crate::{is_tracked_here, may_work_on};

/// Multiplications from which on a product is worth all cores.
const PARALLEL: usize = 192 * 192 * 192;

/// `x W + b`; on any device, with or without gradients.
///
/// # Shapes
/// `x` `[.., in]`, `weight` `[in, out]`, `bias` `[out]`, result `[.., out]`.
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    if D < 2 || !is_frozen(&weight) || !bias.as_ref().is_none_or(is_frozen) {
        return module::linear(x, weight, bias);
    }
    if may_work_on(&x) {
        return product(x, &weight, bias);
    }
    if !is_tracked_here(&x) {
        return module::linear(x, weight, bias);
    }
    let (weight, bias) = (weight.inner(), bias.map(Tensor::inner));
    let forward = |x: Tensor<D>| product(x, &weight, bias.clone());
    let back = |gradient: Tensor<D>, weight: Tensor<2>| product(gradient, &weight.transpose(), None);
    tracked(x, forward, |x| (forward(x), weight.clone()), back).unwrap_or_else(|| elsewhere())
}

/// `x W + b + scale (x A) B`; on any device, with or without gradients. Of the matrices `A` and `B` may be trained.
///
/// # Shapes
/// As [`linear`]; `A` `[in, rank]`, `B` `[rank, out]`.
pub fn adapted<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    [a, b]: [Tensor<2>; 2],
    scale: f64,
) -> Tensor<D> {
    let frozen = D > 1 && is_frozen(&weight) && bias.as_ref().is_none_or(is_frozen);
    if !frozen || !is_tracked_here(&x) || !is_tracked_here(&a) || !is_tracked_here(&b) {
        // Scaled where it is narrow.
        let low = module::linear(x.clone(), a, None) * scale;
        return linear(x, weight, bias) + module::linear(low, b, None);
    }
    let (dims, rows) = (x.dims(), x.dims()[..D - 1].iter().product::<usize>());
    let x = x.reshape([rows, dims[D - 1]]);
    let mut to = dims;
    to[D - 1] = weight.dims()[1];
    record(x, weight.inner(), bias.map(Tensor::inner), [a, b], scale as f32).unwrap_or_else(|| elsewhere()).reshape(to)
}

fn is_frozen<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && !x.is_tracked()
}

/// `x W + b`, of tensors on the CPU without gradients.
fn product<const D: usize>(x: Tensor<D>, weight: &Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    let mut shape = x.dims();
    let from = std::mem::replace(&mut shape[D - 1], weight.dims()[1]);
    let rows = shape[..D - 1].iter().product();
    flat_product(x.reshape([rows, from]), weight, bias, 1.0).reshape(shape)
}

/// `scale x W + b` of a matrix, which may be a view of another one.
fn flat_product(x: Tensor<2>, weight: &Tensor<2>, bias: Option<Tensor<1>>, scale: f32) -> Tensor<2> {
    let (device, shape) = (x.device(), [x.dims()[0], weight.dims()[1]]);
    let (mut into, begun) = match bias {
        Some(bias) => (repeated(&bias.into_data(), shape[0]), true),
        None => (vec![0.0; shape[0] * shape[1]], false),
    };
    add_product(&mut into, begun, x, weight, scale);
    Tensor::from_data(TensorData::new(into, shape), (&device, DType::F32))
}

fn repeated(row: &TensorData, rows: usize) -> Vec<f32> {
    row.as_slice::<f32>().unwrap_or_default().repeat(rows)
}

/// `into + scale x W`, or where nothing is `begun` that product alone.
///
/// # Shapes
/// `into` rows x out numbers, `x` `[rows, in]`, `weight` `[in, out]`.
fn add_product(into: &mut [f32], begun: bool, x: Tensor<2>, weight: &Tensor<2>, scale: f32) {
    let ([rows, from], [inner, to]) = (x.dims(), weight.dims());
    assert!(from == inner && into.len() == rows * to, "{rows} x {from} times {inner} x {to} into {}", into.len());
    let (Ok(x), Ok(weight)) = (x.try_into_primitive::<Flex>(), weight.clone().try_into_primitive::<Flex>()) else {
        elsewhere()
    };
    let strides = |layout: &[isize]| [layout[0], layout[1]];
    let ([x_row, x_column], [w_row, w_column]) = (strides(x.layout().strides()), strides(weight.layout().strides()));
    let work = rows.saturating_mul(from).saturating_mul(to);
    let parallel = if work >= PARALLEL { Parallelism::Rayon(0) } else { Parallelism::None };
    if work == 0 {
        return;
    }
    // SAFETY: the strides and the first place of a tensor's layout lie within its storage for every index below its
    // dimensions, and `into` has a place for every row and column; nothing else refers to `into` meanwhile.
    unsafe {
        let x_first = x.storage::<f32>().as_ptr().add(x.layout().start_offset());
        let w_first = weight.storage::<f32>().as_ptr().add(weight.layout().start_offset());
        gemm::gemm(
            rows,
            to,
            from,
            into.as_mut_ptr(),
            1,
            to as isize,
            begun,
            x_first,
            x_column,
            x_row,
            w_first,
            w_column,
            w_row,
            f32::from(u8::from(begun)),
            scale,
            false,
            false,
            false,
            parallel,
        );
    }
}

/// What the way back of [`adapted`] needs: `x`, `W`, `A`, `B` and `x A`.
#[derive(Debug, Clone)]
struct Kept {
    x: Tensor<2>,
    weight: Tensor<2>,
    a: Tensor<2>,
    b: Tensor<2>,
    low: Tensor<2>,
    scale: f32,
}

impl Kept {
    fn of(x: Tensor<2>, weight: Tensor<2>, [a, b]: [Tensor<2>; 2], scale: f32) -> Self {
        let low = flat_product(x.clone(), &a, None, 1.0);
        Self { x, weight, a, b, low, scale }
    }

    fn result(&self, bias: Option<Tensor<1>>) -> Tensor<2> {
        let base = flat_product(self.x.clone(), &self.weight, bias, 1.0);
        plus(base, self.low.clone(), &self.b, self.scale)
    }
}

/// `sum + scale x W`.
fn plus(sum: Tensor<2>, x: Tensor<2>, weight: &Tensor<2>, scale: f32) -> Tensor<2> {
    let device = sum.device();
    let mut sum = sum.into_data();
    match sum.as_mut_slice::<f32>() {
        Ok(numbers) => add_product(numbers, true, x, weight, scale),
        Err(_) => elsewhere(),
    }
    Tensor::from_data(sum, (&device, DType::F32))
}

fn record(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    [a, b]: [Tensor<2>; 2],
    scale: f32,
) -> Option<Tensor<2>> {
    let split = |x: Tensor<2>| {
        let (inner, node) = x.try_into_primitive::<Autodiff<Flex>>().ok()?.into_parts();
        Some((Tensor::<2>::from_primitive::<Flex>(inner), node))
    };
    let ((x, of_x), (a, of_a), (b, of_b)) = (split(x)?, split(a)?, split(b)?);
    let kept = Kept::of(x, weight, [a, b], scale);
    let result = kept.result(bias).try_into_primitive::<Flex>().ok()?;
    let result = match WayBack.prepare::<NoCheckpointing>([of_x, of_a, of_b]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(kept, result),
        OpsKind::UnTracked(prepared) => prepared.finish(result),
    };
    Some(Tensor::from_primitive::<Autodiff<Flex>>(result))
}

#[derive(Debug)]
struct WayBack;

impl Backward<Flex, 3> for WayBack {
    type State = Kept;

    /// With g of the result and `h = scale g B'`: `dx = g W' + h A'`, `dA = x' h`, `dB = scale (x A)' g`.
    fn backward(self, ops: Ops<Kept, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let Ops { parents: [of_x, of_a, of_b], node, state: kept } = ops;
        let gradient = Tensor::<2>::from_primitive::<Flex>(gradients.consume::<Flex>(&node));
        let primitive = |x: Tensor<2>| x.try_into_primitive::<Flex>().unwrap_or_else(|_| elsewhere());
        let high = flat_product(gradient.clone(), &kept.b.clone().transpose(), None, kept.scale);
        if let Some(node) = of_b {
            let of_b = flat_product(kept.low.clone().transpose(), &gradient, None, kept.scale);
            gradients.register::<Flex>(node.id, primitive(of_b));
        }
        if let Some(node) = of_a {
            let of_a = flat_product(kept.x.clone().transpose(), &high, None, 1.0);
            gradients.register::<Flex>(node.id, primitive(of_a));
        }
        if let Some(node) = of_x {
            let of_x = flat_product(gradient, &kept.weight.clone().transpose(), None, 1.0);
            let of_x = plus(of_x, high, &kept.a.clone().transpose(), 1.0);
            gradients.register::<Flex>(node.id, primitive(of_x));
        }
    }
}
