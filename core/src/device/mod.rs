//! Devices by the names that a command line uses, and constants on them.
//!
//! | name | device | feature |
//! |---|---|---|
//! | `flex` | the CPU | `flex`, on by default |
//! | `cuda`, `cuda:N` | NVIDIA GPU `N`, 0 without it | `cuda` |
//! | `rocm`, `rocm:N` | AMD GPU `N`, 0 without it | `rocm` |
//! | `vulkan`, `vulkan:N`, `vulkan:cpu` | the best device that Vulkan finds, its discrete GPU `N`, its CPU (a software driver) | `vulkan` |
//! | `metal`, `metal:N` | the best device that Metal finds, its discrete GPU `N` | `metal` |
//! | `wgpu`, `wgpu:N`, `wgpu:cpu` | as with `vulkan`, by whatever graphics API there is | `wgpu` |
//! | `remote:ws://HOST:PORT`, with `/N` device `N` of it | one of another machine, where the example `serve` runs | `remote` |
//! | `remote:iroh:ID@IP:PORT`, with `/N` the same | the same, encrypted, by the server's id | `remote` |
//!
//! A remote device is connected when it is named. The server's token is in the environment variable `COUNTERPOINT_REMOTE_TOKEN`; a private
//! relay for Iroh's connections, a URL, may be in `COUNTERPOINT_REMOTE_RELAYS`, and there is none without it. WebSocket is not encrypted: it is
//! for the machine itself, a trusted network, or the end of a tunnel.

#[cfg(feature = "remote")]
mod remote;

#[cfg(feature = "remote")]
pub use remote::relays;

#[cfg(feature = "wgpu")]
use burn::tensor::DeviceKind;
use burn::tensor::{Bool, Device, FloatDType, Tensor};

use crate::{Error, Result};

/// Kinds of devices with the feature that each needs; a name begins with one of them.
const KINDS: [&str; 6] = ["flex", "cuda", "rocm", "vulkan", "metal", "wgpu"];
/// GPUs of a kind that have a name here.
const GPUS: usize = 16;
/// The environment variable with the token that a remote device's server wants to hear.
pub const TOKEN: &str = "COUNTERPOINT_REMOTE_TOKEN";
/// The environment variable with the relays of Iroh's connections: `disabled` (the default), a private relay's URL, or `public`.
pub const RELAYS: &str = "COUNTERPOINT_REMOTE_RELAYS";

/// The device called `name`, such as `flex`, `cuda:1` or `vulkan` (all of them are in the description of this module). Whether the machine has it
/// shows at its first use; a remote one is connected.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) when there is no such name, the device was not compiled in, or a remote one cannot be
/// connected.
pub fn named(name: &str) -> Result<Device> {
    if let Some(address) = name.strip_prefix("remote:") {
        return remote(address);
    }
    let (kind, which) = match name.split_once(':') {
        Some((kind, which)) => (kind, Some(which)),
        None => (name, None),
    };
    let index = which.map(str::parse::<usize>);
    let unknown = || {
        Error::config(format!(
            "device: expected {}, `KIND:N`, `vulkan:cpu` or `remote:ADDRESS`, got `{name}`",
            KINDS.map(|k| format!("`{k}`")).join(", ")
        ))
    };
    let index = match (which, index) {
        (None, _) => Which::Default,
        (Some("cpu"), _) if ["vulkan", "wgpu"].contains(&kind) => Which::Cpu,
        (_, Some(Ok(index))) if kind != "flex" || index == 0 => Which::Gpu(index),
        _ => return Err(unknown()),
    };
    if !KINDS.contains(&kind) {
        return Err(unknown());
    }
    built(kind, index).ok_or_else(|| {
        Error::config(format!("device `{name}`: this build has no `{kind}`; build it with `--features {kind}`"))
    })
}

/// Which device of a kind.
#[derive(Clone, Copy)]
enum Which {
    Default,
    Cpu,
    Gpu(usize),
}

impl Which {
    /// Its number, 0 for the default.
    #[cfg_attr(not(any(feature = "cuda", feature = "rocm")), expect(unused, reason = "for GPUs"))]
    fn index(self) -> usize {
        if let Self::Gpu(index) = self { index } else { 0 }
    }

    #[cfg(feature = "wgpu")]
    fn kind(self) -> DeviceKind {
        match self {
            Self::Default => DeviceKind::DefaultDevice,
            Self::Cpu => DeviceKind::Cpu,
            Self::Gpu(index) => DeviceKind::DiscreteGpu(index),
        }
    }
}

/// The device; none where it was not compiled in.
#[cfg_attr(not(any(feature = "cuda", feature = "rocm", feature = "wgpu")), expect(unused, reason = "for GPUs"))]
fn built(kind: &str, which: Which) -> Option<Device> {
    match kind {
        #[cfg(feature = "flex")]
        "flex" => Some(Device::flex()),
        #[cfg(feature = "cuda")]
        "cuda" => Some(Device::cuda(which.index())),
        #[cfg(feature = "rocm")]
        "rocm" => Some(Device::rocm(which.index())),
        #[cfg(feature = "vulkan")]
        "vulkan" => Some(Device::vulkan(which.kind())),
        #[cfg(feature = "metal")]
        "metal" => Some(Device::metal(which.kind())),
        #[cfg(feature = "wgpu")]
        "wgpu" => Some(Device::wgpu(which.kind())),
        _ => None,
    }
}

#[cfg(feature = "remote")]
fn remote(address: &str) -> Result<Device> {
    remote::connect(address)
}

#[cfg(not(feature = "remote"))]
fn remote(address: &str) -> Result<Device> {
    Err(Error::config(format!(
        "device `remote:{address}`: this build has no `remote`; build it with `--features remote`"
    )))
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
    let which = |kind: &'static str| {
        let numbered = (0..GPUS).map(move |n| if kind == "flex" { kind.to_owned() } else { format!("{kind}:{n}") });
        let others = ["vulkan", "metal", "wgpu"].contains(&kind).then(|| [kind.to_owned(), format!("{kind}:cpu")]);
        others.into_iter().flatten().chain(numbered)
    };
    #[cfg(feature = "remote")]
    if let Some(name) = remote::name(device) {
        return name;
    }
    let mut known = KINDS.into_iter().flat_map(which).filter(|name| named(name).is_ok_and(|other| *device == other));
    known.next().unwrap_or_else(|| format!("{device:?}"))
}

/// Whether `device`, with or without gradients, is the CPU.
pub fn is_cpu(device: &Device) -> bool {
    built("flex", Which::Default).is_some_and(|cpu| *device == cpu)
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
