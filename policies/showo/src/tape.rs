//! Gradient checkpointing, a layer at a time: of every layer the forward pass keeps what goes in, and the way back computes
//! the layer again before it goes through it.
//!
//! Burn's own `gradient_checkpointing` forgets the results of cheap operations alone, and keeps those of all products. It has no
//! hook for the way back through a part of a graph either, so that the way back is walked here: what a layer gives is a leaf,
//! whose gradient is the loss's for the last layer and comes from the layer after it for the others.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{DType, Device, Gradients, Tensor};
use counterpoint::device::constant;
use counterpoint::{Error, LogProbs, Result, gradients};
use counterpoint_kernels::{Mask, Rotation};

use crate::Showo;
use crate::phi::DecoderLayer;

/// Keys and values.
type Pair = (Tensor<4>, Tensor<4>);

/// What the layers of the latest scores need for the way back; nothing where gradients are not checkpointed.
#[derive(Clone, Default)]
pub(crate) struct Tape(Option<Arc<Mutex<Recorded>>>);

#[derive(Default)]
struct Recorded {
    entries: Vec<Entry>,
    /// One for all scores since the last way back: it has a gradient where the loss depends on them.
    marks: Vec<Tensor<1>>,
    /// The model whose factors have dropout, where they do.
    dropped_out: Option<Box<Showo>>,
}

/// One layer of one pass.
struct Entry {
    /// With leaves of its own as parameters.
    layer: DecoderLayer,
    x: Tensor<3>,
    past: Option<Pair>,
    rotary: Arc<Rotation>,
    mask: Arc<Mask>,
    hidden: Leaf<3>,
    seen: Option<(Leaf<4>, Leaf<4>)>,
}

/// A result without the graph that made it, and its gradient as far as it is known.
struct Leaf<const D: usize> {
    value: Tensor<D>,
    gradient: Option<Tensor<D>>,
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tape").field(&self.is_on()).finish()
    }
}

impl Tape {
    /// An empty one that records.
    pub(crate) fn new() -> Self {
        Self(Some(Arc::default()))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    fn lock(&self) -> Option<MutexGuard<'_, Recorded>> {
        self.0.as_ref().map(|recorded| recorded.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        if let Some(mut recorded) = self.lock() {
            *recorded = Recorded::default();
        }
    }

    /// Forgets the layers of earlier scores, and begins with those of `model`, which may have dropout.
    pub(crate) fn begin(&self, model: &Showo, dropout: bool) {
        if let Some(mut recorded) = self.lock() {
            recorded.entries.clear();
            recorded.dropped_out = dropout.then(|| Box::new(model.clone().with_tape(Self::default())));
        }
    }

    /// `scores`, which are those of the layers recorded since [`begin`](Self::begin).
    pub(crate) fn marked(&self, mut scores: LogProbs, device: &Device) -> LogProbs {
        if let Some(mut recorded) = self.lock() {
            let mark = Tensor::<1>::zeros([1], (device, DType::F32)).require_grad();
            scores.log_probs = scores.log_probs + mark.clone().unsqueeze();
            recorded.marks.push(mark);
        }
        scores
    }

    /// As [`DecoderLayer::forward`]; the keys and values of past and new tokens where `keep` asks for them.
    pub(crate) fn forward(
        &self,
        layer: &DecoderLayer,
        x: Tensor<3>,
        rotary: &Arc<Rotation>,
        mask: &Arc<Mask>,
        past: Option<&Pair>,
        keep: bool,
    ) -> (Tensor<3>, Option<Pair>) {
        let Some(mut recorded) = self.lock().filter(|_| x.is_autodiff()) else {
            let (hidden, seen) = layer.forward(x, rotary, mask, past);
            return (hidden, keep.then_some(seen));
        };
        // On the device with autodiff all the same: there the operations are those of the way back.
        let detached = past.map(|(key, value)| (untracked(key.clone()), untracked(value.clone())));
        let constant = layer.clone().map(&mut Leaves { track: false });
        let (hidden, seen) = constant.forward(untracked(x.clone()), rotary, mask, detached.as_ref());
        let hidden = Leaf::new(hidden);
        let seen = keep.then(|| (Leaf::new(seen.0), Leaf::new(seen.1)));
        let result = (hidden.value.clone(), seen.as_ref().map(|(k, v)| (k.value.clone(), v.value.clone())));
        recorded.entries.push(Entry {
            layer: layer.clone().map(&mut Leaves { track: true }),
            x,
            past: past.cloned(),
            rotary: rotary.clone(),
            mask: mask.clone(),
            hidden,
            seen,
        });
        result
    }

    /// Back-propagates `loss`, of the latest scores, to the parameters of `module`, from whose they were computed.
    ///
    /// # Errors
    /// [`Contract`](counterpoint::ErrorKind::Contract) when it depends on earlier scores or not on the parameters.
    pub(crate) fn gradients(&self, loss: Tensor<1>, module: &Showo) -> Result<GradientsParams> {
        let recorded = self.lock().map(|mut recorded| std::mem::take(&mut *recorded));
        let Some(Recorded { mut entries, mut marks, dropped_out }) = recorded.filter(|_| loss.is_tracked()) else {
            return gradients(loss, module);
        };
        let mut reached = loss.backward();
        marks.pop();
        if marks.iter().any(|mark| mark.grad(&reached).is_some()) {
            return Err(Error::contract(
                "with policy.gradient_checkpointing a loss is of one chunk: expected one of the latest scores alone, got \
                 one that depends on earlier ones, whose layers are forgotten; back-propagate each chunk before the next \
                 is scored, or switch gradient_checkpointing off",
            ));
        }
        let mut total = GradientsAccumulator::new();
        entries.iter_mut().for_each(|entry| entry.collect(&reached));
        total.accumulate(module, GradientsParams::from_module(&mut reached, module));
        while let Some(entry) = entries.pop() {
            let Some(mut reached) = entry.backward() else { continue };
            entries.iter_mut().for_each(|entry| entry.collect(&reached));
            total.accumulate(module, GradientsParams::from_module(&mut reached, &entry.layer));
            total.accumulate(module, GradientsParams::from_module(&mut reached, module));
        }
        let mut total = total.grads();
        if let Some(model) = dropped_out {
            through_dropout(&mut total, &model, module);
        }
        Ok(total)
    }
}

impl Entry {
    fn collect(&mut self, reached: &Gradients) {
        self.hidden.collect(reached);
        if let Some((key, value)) = &mut self.seen {
            key.collect(reached);
            value.collect(reached);
        }
    }

    /// Computes the layer again and goes back through it; `None` where nothing of it matters.
    fn backward(&self) -> Option<Gradients> {
        let wanted = |(key, value): &(Leaf<4>, Leaf<4>)| key.gradient.is_some() || value.gradient.is_some();
        if self.hidden.gradient.is_none() && !self.seen.as_ref().is_some_and(wanted) {
            return None;
        }
        let (hidden, (key, value)) = self.layer.forward(self.x.clone(), &self.rotary, &self.mask, self.past.as_ref());
        let mut parts = vec![self.hidden.weigh(hidden)];
        if let Some(seen) = &self.seen {
            parts.extend([seen.0.weigh(key), seen.1.weigh(value)]);
        }
        let sum = parts.into_iter().flatten().reduce(|a, b| a + b)?;
        sum.is_tracked().then(|| sum.backward())
    }
}

impl<const D: usize> Leaf<D> {
    fn new(value: Tensor<D>) -> Self {
        Self { value: untracked(value).require_grad(), gradient: None }
    }

    fn collect(&mut self, reached: &Gradients) {
        if let Some(gradient) = self.value.grad(reached) {
            self.gradient = Some(match self.gradient.take() {
                Some(before) => before + gradient,
                None => gradient,
            });
        }
    }

    /// A scalar whose gradient towards `again`, the same value with its graph, is this one's.
    fn weigh(&self, again: Tensor<D>) -> Option<Tensor<1>> {
        let gradient = constant(self.gradient.clone()?, &again.device());
        Some((again * gradient).sum())
    }
}

/// Turns gradients of factors with dropout, where there are any, into those of the factors.
fn through_dropout(total: &mut GradientsParams, model: &Showo, module: &Showo) {
    struct Weigh<'a> {
        total: &'a mut GradientsParams,
        sum: Option<Tensor<1>>,
    }
    impl ModuleVisitor for Weigh<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            if value.is_tracked()
                && !value.is_require_grad()
                && let Some(gradient) = self.total.remove::<D>(param.id)
            {
                let part = (value.clone() * constant(gradient, &value.device())).sum();
                self.sum = Some(match self.sum.take() {
                    Some(sum) => sum + part,
                    None => part,
                });
            }
        }
    }
    struct Put<'a> {
        total: &'a mut GradientsParams,
        of: GradientsParams,
    }
    impl ModuleVisitor for Put<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.of.remove::<D>(param.id) {
                self.total.register(param.id, gradient);
            }
        }
    }
    let mut weigh = Weigh { total, sum: None };
    model.visit(&mut weigh);
    if let Some(sum) = weigh.sum {
        let of = GradientsParams::from_grads(sum.backward(), module);
        module.visit(&mut Put { total, of });
    }
}

/// The same values as leaves: tracked where they were, or nowhere.
struct Leaves {
    track: bool,
}

impl ModuleMapper for Leaves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|value| match self.track && value.is_tracked() {
            true => untracked(value).require_grad(),
            false => untracked(value),
        })
    }
}

/// The same values without a graph. Burn's `detach` alone leaves a leaf that requires a gradient one.
fn untracked<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    tensor.detach().set_require_grad(false)
}
