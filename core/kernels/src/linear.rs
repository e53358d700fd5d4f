//! Products with a matrix, trained or not, on its own or under a low-rank adapter. Burn clears the memory of a product, writes the product,
//! copies it to memory that is aligned otherwise and adds the bias in a pass of its own; here the product is added to a bias that is there already.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::{DType, Tensor, TensorData, module};

use crate::product::{self, primitive};
use crate::rows::by_rows;
use crate::tracked::{elsewhere, opened, record, register, split, split_some, tracked};
use crate::{is_tracked_here, may_work_on};

/// `x W + b`; on any device, with or without gradients.
///
/// # Shapes
/// `x` `[.., in]`, `weight` `[in, out]`, `bias` `[out]`, result `[.., out]`.
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    let frozen = is_frozen(&weight) && bias.as_ref().is_none_or(is_frozen);
    if D > 1 && frozen && may_work_on(&x) {
        return by_rows(x, |x| flat_product(x, &weight, bias, 1.0));
    }
    if D < 2 || !is_tracked_here(&x) {
        return module::linear(x, weight, bias);
    }
    if !frozen {
        if !is_tracked_here(&weight) || !bias.as_ref().is_none_or(is_tracked_here) {
            return module::linear(x, weight, bias);
        }
        return by_rows(x, |x| trained(x, weight, bias).unwrap_or_else(|| elsewhere()));
    }
    by_rows(x, |x| fixed(x, &weight.inner(), bias.map(Tensor::inner)))
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
    by_rows(x, |x| {
        under_adapter(x, weight.inner(), bias.map(Tensor::inner), [a, b], scale as f32).unwrap_or_else(|| elsewhere())
    })
}

fn is_frozen<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && !x.is_tracked()
}

/// `x W + b` where gradients flow to x alone.
fn fixed(x: Tensor<2>, weight: &Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let forward = |x: Tensor<2>| flat_product(x, weight, bias.clone(), 1.0);
    let back = |gradient: Tensor<2>, weight: Tensor<2>| flat_product(gradient, &weight.transpose(), None, 1.0);
    tracked(x, forward, |x| (forward(x), weight.clone()), back).unwrap_or_else(|| elsewhere())
}

/// `scale x W + b` of a matrix, which may be a view of another one.
fn flat_product(x: Tensor<2>, weight: &Tensor<2>, bias: Option<Tensor<1>>, scale: f32) -> Tensor<2> {
    let (device, shape) = (x.device(), [x.dims()[0], weight.dims()[1]]);
    let (x, weight) = (primitive(x), primitive(weight.clone()));
    let into = match bias {
        Some(bias) => {
            let mut into = repeated(&bias.into_data(), shape[0]);
            product::add_product((&x).into(), (&weight).into(), scale, &mut into);
            into
        }
        None => product::product((&x).into(), (&weight).into(), scale),
    };
    Tensor::from_data(TensorData::new(into, shape), (&device, DType::F32))
}

fn repeated(row: &TensorData, rows: usize) -> Vec<f32> {
    row.as_slice::<f32>().unwrap_or_default().repeat(rows)
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
        Ok(numbers) => {
            product::add_product((&primitive(x)).into(), (&primitive(weight.clone())).into(), scale, numbers)
        }
        Err(_) => elsewhere(),
    }
    Tensor::from_data(sum, (&device, DType::F32))
}

fn under_adapter(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    [a, b]: [Tensor<2>; 2],
    scale: f32,
) -> Option<Tensor<2>> {
    let ((x, of_x), (a, of_a), (b, of_b)) = (split(x)?, split(a)?, split(b)?);
    let kept = Kept::of(x, weight, [a, b], scale);
    let result = kept.result(bias);
    record(UnderAdapter, [of_x, of_a, of_b], kept, result)
}

#[derive(Debug)]
struct UnderAdapter;

impl Backward<Flex, 3> for UnderAdapter {
    type State = Kept;

    /// With g of the result and `h = scale g B'`: `dx = g W' + h A'`, `dA = x' h`, `dB = scale (x A)' g`.
    fn backward(self, ops: Ops<Kept, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([of_x, of_a, of_b], gradient, kept) = opened::<_, 3, 2>(ops, gradients);
        let high = flat_product(gradient.clone(), &kept.b.clone().transpose(), None, kept.scale);
        register(gradients, of_b, || flat_product(kept.low.transpose(), &gradient, None, kept.scale));
        register(gradients, of_a, || flat_product(kept.x.transpose(), &high, None, 1.0));
        register(gradients, of_x, || {
            let of_x = flat_product(gradient, &kept.weight.transpose(), None, 1.0);
            plus(of_x, high, &kept.a.transpose(), 1.0)
        });
    }
}

/// `x W + b`, all of which may be trained.
fn trained(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Option<Tensor<2>> {
    let device = x.device();
    let ((x, of_x), (weight, of_weight), (bias, of_bias)) = (split(x)?, split(weight)?, split_some(bias, &device)?);
    let result = flat_product(x.clone(), &weight, bias, 1.0);
    record(Trained, [of_x, of_weight, of_bias], (x, weight), result)
}

#[derive(Debug)]
struct Trained;

impl Backward<Flex, 3> for Trained {
    /// `x` and `W`.
    type State = (Tensor<2>, Tensor<2>);

    /// With g of the result: `dx = g W'`, `dW = x' g`, `db` the sum of the rows of g.
    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([of_x, of_weight, of_bias], gradient, (x, weight)) = opened::<_, 3, 2>(ops, gradients);
        register(gradients, of_x, || flat_product(gradient.clone(), &weight.transpose(), None, 1.0));
        register(gradients, of_weight, || flat_product(x.transpose(), &gradient, None, 1.0));
        register(gradients, of_bias, || gradient.clone().sum_dim(0).squeeze_dim::<1>(0));
    }
}
