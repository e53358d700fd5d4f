//! The same passes where gradients flow: operations of burn's autodiff that know their own way back.

use std::fmt;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind, unary};
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Device, Tensor};

/// `plain` of `x`; where x has a gradient, `recorded`, which keeps something, and `back`, which makes the gradient of x of the
/// gradient of the result and of what was kept. They see tensors without autodiff. None of x that is elsewhere.
pub(crate) fn tracked<const D: usize, S: Clone + Send + fmt::Debug + 'static>(
    x: Tensor<D>,
    plain: impl FnOnce(Tensor<D>) -> Tensor<D>,
    recorded: impl FnOnce(Tensor<D>) -> (Tensor<D>, S),
    back: fn(Tensor<D>, S) -> Tensor<D>,
) -> Option<Tensor<D>> {
    let (inner, node) = split(x)?;
    let result = match (WayBack { back }).prepare::<NoCheckpointing>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let (result, kept) = recorded(inner);
            prepared.finish(kept, result.try_into_primitive::<Flex>().ok()?)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(plain(inner).try_into_primitive::<Flex>().ok()?),
    };
    Some(Tensor::from_primitive::<Autodiff<Flex>>(result))
}

/// A tensor without autodiff, and its place in the graph. None of x that is elsewhere.
pub(crate) fn split<const D: usize>(x: Tensor<D>) -> Option<(Tensor<D>, NodeGuard)> {
    let (inner, node) = x.try_into_primitive::<Autodiff<Flex>>().ok()?.into_parts();
    Some((Tensor::from_primitive::<Flex>(inner), node))
}

/// The same of what may be missing: a place that has no gradient then. `device` is that of what it belongs to.
pub(crate) fn split_some(x: Option<Tensor<1>>, device: &Device) -> Option<(Option<Tensor<1>>, NodeGuard)> {
    match x {
        Some(x) => split(x).map(|(x, node)| (Some(x), node)),
        None => split(Tensor::<1>::empty([0], device)).map(|(_, node)| (None, node)),
    }
}

/// What a way back is given: the places of what the result was made of, where they have gradients, that of the result, and what was kept.
pub(crate) fn opened<S, const N: usize, const D: usize>(
    ops: Ops<S, N>,
    gradients: &mut Gradients,
) -> ([Option<NodeId>; N], Tensor<D>, S) {
    let gradient = Tensor::from_primitive::<Flex>(gradients.consume::<Flex>(&ops.node));
    (ops.parents.map(|parent| parent.map(|node| node.id)), gradient, ops.state)
}

/// Records that `result` was made of what is at `nodes`, with what the way back needs. None of a result that is elsewhere.
pub(crate) fn record<W: Backward<Flex, N>, const N: usize, const D: usize>(
    way_back: W,
    nodes: [NodeGuard; N],
    kept: W::State,
    result: Tensor<D>,
) -> Option<Tensor<D>> {
    let result = result.try_into_primitive::<Flex>().ok()?;
    let result = match way_back.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(kept, result),
        OpsKind::UnTracked(prepared) => prepared.finish(result),
    };
    Some(Tensor::from_primitive::<Autodiff<Flex>>(result))
}

/// Adds to the gradient of what is at `node`, where it has one.
pub(crate) fn register<const D: usize>(
    gradients: &mut Gradients,
    node: Option<NodeId>,
    gradient: impl FnOnce() -> Tensor<D>,
) {
    if let Some(node) = node {
        gradients.register::<Flex>(node, gradient().try_into_primitive::<Flex>().unwrap_or_else(|_| elsewhere()));
    }
}

/// For what was made for f32 on the CPU and is given something else: no result would be right.
pub(crate) fn elsewhere() -> ! {
    unreachable!("made for f32 on the CPU without recomputation, given a tensor of another kind")
}

struct WayBack<const D: usize, S> {
    back: fn(Tensor<D>, S) -> Tensor<D>,
}

impl<const D: usize, S> fmt::Debug for WayBack<D, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WayBack")
    }
}

impl<const D: usize, S: Clone + Send + fmt::Debug + 'static> Backward<Flex, 1> for WayBack<D, S> {
    type State = S;

    fn backward(self, ops: Ops<S, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        unary::<Flex, _>(ops.parents, ops.node, gradients, |gradient| {
            let gradient = (self.back)(Tensor::from_primitive::<Flex>(gradient), ops.state);
            gradient.try_into_primitive::<Flex>().unwrap_or_else(|e| unreachable!("a tensor of the CPU is one: {e:?}"))
        });
    }
}
