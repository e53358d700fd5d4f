//! What a plugin may ask of the host while it is called.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::mem::size_of;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use counterpoint_abi::{CPT_ABI_MINOR, CPT_LOG_DEBUG, CPT_LOG_ERROR, CPT_LOG_WARN, CPT_WHOLE_CALL, cpt_host, cpt_str};

/// Most bytes that are kept of a message.
const MESSAGE_LIMIT: usize = 1 << 14;
/// Most messages that are kept of a call besides one for each item.
const SPARE_MESSAGES: usize = 16;

/// What belongs to one call: who is called, when it should end, what it said.
pub(crate) struct Context<'a> {
    /// The expert, for the log.
    expert: &'a str,
    deadline: Option<Instant>,
    cancel: Option<&'a AtomicBool>,
    /// Items of the call.
    items: usize,
    messages: Mutex<Messages>,
}

/// What a plugin said through `fail`, by item.
#[derive(Debug, Default)]
pub(crate) struct Messages(BTreeMap<u64, String>);

impl Messages {
    /// The message about `item`, which is forgotten.
    pub(crate) fn take(&mut self, item: u64) -> Option<String> {
        self.0.remove(&item)
    }

    /// The message about the whole call, or words to put in its place.
    pub(crate) fn whole(&mut self) -> String {
        self.take(CPT_WHOLE_CALL).unwrap_or_else(|| "it gave no reason".to_owned())
    }
}

impl<'a> Context<'a> {
    /// The context of a call of `items` items.
    pub(crate) fn new(
        expert: &'a str,
        items: usize,
        deadline: Option<Instant>,
        cancel: Option<&'a AtomicBool>,
    ) -> Self {
        Self { expert, deadline, cancel, items, messages: Mutex::default() }
    }

    /// The functions, valid as long as `self` is.
    pub(crate) fn host(&self) -> cpt_host {
        cpt_host {
            struct_size: size_of::<cpt_host>() as u32,
            minor: CPT_ABI_MINOR,
            context: std::ptr::from_ref(self).cast_mut().cast(),
            log: Some(log),
            fail: Some(fail),
            cancelled: Some(cancelled),
            extension: Some(extension),
        }
    }

    /// Whether the call should end.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_some_and(|c| c.load(Ordering::Relaxed)) || self.is_late()
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_late(&self) -> bool {
        self.deadline.is_some_and(|d| Instant::now() >= d)
    }

    /// What the plugin said.
    pub(crate) fn messages(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// # Safety
/// `context` is the one of a [`cpt_host`] whose call has not returned.
unsafe fn of<'a>(context: *mut c_void) -> &'a Context<'a> {
    // SAFETY: the caller's; a context is only ever shared, and what changes in it is behind a lock.
    unsafe { &*context.cast::<Context<'a>>() }
}

/// # Safety
/// `text` is what the interface says: null or readable bytes.
unsafe fn copied(text: cpt_str) -> String {
    let size = usize::try_from(text.size).unwrap_or(usize::MAX).min(MESSAGE_LIMIT);
    if text.data.is_null() {
        return String::new();
    }
    // SAFETY: the caller's; not more bytes than there are.
    String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(text.data, size) }).into_owned()
}

unsafe extern "C" fn log(context: *mut c_void, level: i32, message: cpt_str) {
    // SAFETY: the contract of `cpt_host::log`.
    let (expert, message) = unsafe { (of(context).expert, copied(message)) };
    match level {
        CPT_LOG_ERROR => tracing::error!(target: "counterpoint::plugin", expert, "{message}"),
        CPT_LOG_WARN => tracing::warn!(target: "counterpoint::plugin", expert, "{message}"),
        CPT_LOG_DEBUG => tracing::debug!(target: "counterpoint::plugin", expert, "{message}"),
        _ => tracing::info!(target: "counterpoint::plugin", expert, "{message}"),
    }
}

unsafe extern "C" fn fail(context: *mut c_void, item: u64, message: cpt_str) {
    // SAFETY: the contract of `cpt_host::fail`.
    let (context, message) = unsafe { (of(context), copied(message)) };
    let mut messages = context.messages();
    if messages.0.len() < context.items + SPARE_MESSAGES {
        messages.0.insert(item, message);
    }
}

unsafe extern "C" fn cancelled(context: *mut c_void) -> i32 {
    // SAFETY: the contract of `cpt_host::cancelled`.
    i32::from(unsafe { of(context) }.is_cancelled())
}

/// This host has none yet.
unsafe extern "C" fn extension(_context: *mut c_void, _name: cpt_str) -> *const c_void {
    std::ptr::null()
}
