//! Devices by the names that a command line uses, and constants on them.

use burn::tensor::{Bool, Device, FloatDType, Tensor};

use crate::{Error, Result};

/// GPUs of a machine that have a name here.
const GPUS: usize = 16;

/// The device called `name`: `flex`, which is the CPU, or `cuda:N`. Whether the machine has that GPU shows at its first use.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) when the name is none of these, or the device was not compiled in.
pub fn named(name: &str) -> Result<Device> {
    let (kind, index) = name.split_once(':').unwrap_or((name, "0"));
    let index: usize = index.parse().map_err(|_| unknown(name))?;
    match (kind, index) {
        ("flex", 0) => flex(),
        ("cuda", index) => cuda(index),
        _ => Err(unknown(name)),
    }
}

/// The device called `name`, or `default` where there is no name: where a component computes that may have a device of its own.
///
/// # Errors
/// As [`named`].
pub fn named_or(name: Option<&str>, default: &Device) -> Result<Device> {
    name.map_or_else(|| Ok(default.clone()), named)
}

/// What [`named`] calls `device`, with or without gradients; of one that it does not know, burn's own text.
pub fn name(device: &Device) -> String {
    let known = std::iter::once("flex".to_owned()).chain((0..GPUS).map(|n| format!("cuda:{n}")));
    let mut known = known.filter(|name| named(name).is_ok_and(|other| *device == other));
    known.next().unwrap_or_else(|| format!("{device:?}"))
}

/// Whether `device`, with or without gradients, is the CPU.
pub fn is_cpu(device: &Device) -> bool {
    flex().is_ok_and(|cpu| *device == cpu)
}

/// `inner`, a tensor without gradients, as a constant among those of `device`.
pub fn constant<const D: usize>(inner: Tensor<D>, device: &Device) -> Tensor<D> {
    match device.gradient_checkpointing_strategy() {
        Some(strategy) => inner.autodiff().with_gradient_checkpointing_strategy(strategy),
        None => inner,
    }
}

/// 1 where `condition` holds and 0 elsewhere, in f32 whatever the device's default is.
pub(crate) fn indicator<const D: usize>(condition: Tensor<D, Bool>) -> Tensor<D> {
    condition.cast(FloatDType::F32)
}

fn unknown(name: &str) -> Error {
    Error::config(format!("device: expected `flex` or `cuda:N`, got `{name}`"))
}

#[cfg(feature = "flex")]
fn flex() -> Result<Device> {
    Ok(Device::flex())
}

#[cfg(not(feature = "flex"))]
fn flex() -> Result<Device> {
    Err(Error::config("device: this build has no `flex`; build it with `--features flex`"))
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Device> {
    Ok(Device::cuda(index))
}

#[cfg(not(feature = "cuda"))]
fn cuda(_index: usize) -> Result<Device> {
    Err(Error::config("device: this build has no CUDA; build it with `--features cuda`"))
}
