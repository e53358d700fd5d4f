//! Where the chunks of an update are computed.

use std::cell::OnceCell;

use burn::module::Module;
use burn::tensor::Device;
use counterpoint::Error;

/// Devices that compute the chunks of an update side by side, and the frozen reference `M` on each of them. None: where the policy is.
pub struct UpdateDevices<M> {
    devices: Vec<Device>,
    references: OnceCell<Vec<M>>,
}

impl<M> Default for UpdateDevices<M> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl<M> UpdateDevices<M> {
    /// These.
    pub fn new(devices: Vec<Device>) -> Self {
        Self { devices, references: OnceCell::new() }
    }

    /// Forgets the references, of a policy that has another one now.
    pub fn forget(&mut self) {
        self.references.take();
    }
}

impl<M: Module> UpdateDevices<M> {
    /// A device and the reference on it for each replica of a policy whose reference is on `own`, where so many `threads` work side by
    /// side. None for one thread: that replica would be the policy itself.
    pub fn replicas<'a>(
        &'a self,
        own: &'a Device,
        threads: usize,
        reference: Option<&'a M>,
    ) -> Vec<(&'a Device, Option<&'a M>)> {
        if self.devices.is_empty() {
            return vec![(own, reference); if threads > 1 { threads } else { 0 }];
        }
        let Some(reference) = reference else { return self.devices.iter().map(|device| (device, None)).collect() };
        let moved = || self.devices.iter().map(|device| reference.clone().to_device(device)).collect();
        self.devices.iter().zip(self.references.get_or_init(moved).iter().map(Some)).collect()
    }
}

/// What a policy says that was asked for the scores of a reference which it gave back
/// ([`Policy::drop_reference`](counterpoint::Policy::drop_reference)).
pub fn no_reference() -> Error {
    Error::contract(
        "this policy gave its reference back, as the objective of its run had no use for it; make the policy anew for one that has a \
         KL term",
    )
}
