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
use counterpoint_kernels::{KeyValues, Mask, Rotation, Seen};

/// A layer of a decoder, which may be computed again.
pub trait Layer: Module {
    /// One layer over new tokens, whose keys and values `join` puts behind those of past ones; gives back what it put together.
    ///
    /// # Shapes
    /// `x` `[B, L, H]`, keys and values `[B, heads, L, D]` and of all P + L, `mask` of L queries and P + L keys.
    fn forward(
        &self,
        x: Tensor<3>,
        rotation: &Rotation,
        mask: &Mask,
        join: impl FnOnce(KeyValues) -> Seen,
    ) -> (Tensor<3>, Seen);
}

/// Puts new keys and values behind `past` ones.
fn after(past: Option<&KeyValues>) -> impl FnOnce(KeyValues) -> Seen {
    move |(key, value)| match past {
        Some((k, v)) => (Tensor::cat(vec![k.clone(), key], 2), Tensor::cat(vec![v.clone(), value], 2)).into(),
        None => (key, value).into(),
    }
}

/// What the layers `L` of a model `M` need for the way back from the latest scores; nothing where gradients are not checkpointed.
pub struct Tape<M, L>(Option<Arc<Mutex<Recorded<M, L>>>>);

struct Recorded<M, L> {
    entries: Vec<Entry<L>>,
    /// One for all scores since the last way back: it has a gradient where the loss depends on them.
    marks: Vec<Tensor<1>>,
    /// The model whose factors have dropout, where they do.
    dropped_out: Option<Box<M>>,
}

/// One layer of one pass.
struct Entry<L> {
    /// With leaves of its own as parameters.
    layer: L,
    x: Tensor<3>,
    past: Option<KeyValues>,
    rotation: Arc<Rotation>,
    mask: Arc<Mask>,
    hidden: Leaf<3>,
    seen: Option<(Leaf<4>, Leaf<4>)>,
}

/// A result without the graph that made it, and its gradient as far as it is known.
struct Leaf<const D: usize> {
    value: Tensor<D>,
    gradient: Option<Tensor<D>>,
}

impl<M, L> fmt::Debug for Tape<M, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tape").field(&self.is_on()).finish()
    }
}

impl<M, L> Clone for Tape<M, L> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// One that records nothing.
impl<M, L> Default for Tape<M, L> {
    fn default() -> Self {
        Self(None)
    }
}

impl<M, L> Default for Recorded<M, L> {
    fn default() -> Self {
        Self { entries: Vec::new(), marks: Vec::new(), dropped_out: None }
    }
}

impl<M, L> Tape<M, L> {
    /// An empty one, which records where it is `on`.
    pub fn new(on: bool) -> Self {
        Self(on.then(Arc::default))
    }

    /// An empty one that records where this one does.
    pub fn another(&self) -> Self {
        Self::new(self.is_on())
    }

    /// Whether it records.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    fn lock(&self) -> Option<MutexGuard<'_, Recorded<M, L>>> {
        self.0.as_ref().map(|recorded| recorded.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets everything.
    pub fn clear(&self) {
        if let Some(mut recorded) = self.lock() {
            *recorded = Recorded::default();
        }
    }

    /// What `score` gives on `device`, whose layers are recorded in place of those of earlier scores; `dropped_out` is the model whose
    /// factors have dropout, where they do, without a tape.
    ///
    /// # Errors
    /// Those of `score`.
    pub fn record(
        &self,
        dropped_out: Option<M>,
        device: &Device,
        score: impl FnOnce() -> Result<LogProbs>,
    ) -> Result<LogProbs> {
        if let Some(mut recorded) = self.lock() {
            recorded.entries.clear();
            recorded.dropped_out = dropped_out.map(Box::new);
        }
        let mut scores = score()?;
        if let Some(mut recorded) = self.lock() {
            let mark = Tensor::<1>::zeros([1], (device, DType::F32)).require_grad();
            scores.log_probs = scores.log_probs + mark.clone().unsqueeze();
            recorded.marks.push(mark);
        }
        Ok(scores)
    }
}

impl<M: Module, L: Layer> Tape<M, L> {
    /// As [`Layer::forward`] after the keys and values `past`; the keys and values of past and new tokens where `keep` asks for them.
    pub fn forward(
        &self,
        layer: &L,
        x: Tensor<3>,
        rotation: &Arc<Rotation>,
        mask: &Arc<Mask>,
        past: Option<&KeyValues>,
        keep: bool,
    ) -> (Tensor<3>, Option<KeyValues>) {
        let Some(mut recorded) = self.lock().filter(|_| x.is_autodiff()) else {
            let (hidden, seen) = layer.forward(x, rotation, mask, after(past));
            return (hidden, keep.then(|| seen.all()));
        };
        // On the device with autodiff all the same: there the operations are those of the way back.
        let detached = past.map(|(key, value)| (untracked(key.clone()), untracked(value.clone())));
        let constant = layer.clone().map(&mut Leaves { track: false });
        let (hidden, seen) = constant.forward(untracked(x.clone()), rotation, mask, after(detached.as_ref()));
        let hidden = Leaf::new(hidden);
        let (key, value) = seen.all();
        let seen = keep.then(|| (Leaf::new(key), Leaf::new(value)));
        let result = (hidden.value.clone(), seen.as_ref().map(|(k, v)| (k.value.clone(), v.value.clone())));
        recorded.entries.push(Entry {
            layer: layer.clone().map(&mut Leaves { track: true }),
            x,
            past: past.cloned(),
            rotation: rotation.clone(),
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
    pub fn gradients(&self, loss: Tensor<1>, module: &M) -> Result<GradientsParams> {
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
            through_dropout(&mut total, &*model, module);
        }
        Ok(total)
    }
}

impl<L: Layer> Entry<L> {
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
        let past = after(self.past.as_ref());
        let (hidden, seen_again) = self.layer.forward(self.x.clone(), &self.rotation, &self.mask, past);
        let (key, value) = seen_again.all();
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
fn through_dropout<M: Module>(total: &mut GradientsParams, model: &M, module: &M) {
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
