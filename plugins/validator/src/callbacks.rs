//! What the host offers a plugin during a call.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::mem::size_of;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use counterpoint_abi::{CPT_WHOLE_CALL, cpt_host, cpt_str};

/// Most bytes that are kept of a message.
const LIMIT: u64 = 2000;

/// What the callbacks read and write.
#[derive(Debug)]
pub struct Callbacks {
    cancelled: bool,
    deadline: Option<Duration>,
    begin: Mutex<Instant>,
    reasons: Mutex<BTreeMap<u64, String>>,
}

impl Callbacks {
    /// Callbacks of a call that is asked to stop from the begin, or when `deadline` has passed.
    pub fn new(cancelled: bool, deadline: Option<Duration>) -> Box<Self> {
        Box::new(Self { cancelled, deadline, begin: Mutex::new(Instant::now()), reasons: Mutex::default() })
    }

    /// The call begins now.
    pub fn begin(&self) {
        *lock(&self.begin) = Instant::now();
    }

    /// The table for a plugin; valid as long as `self` is.
    pub fn table(&self, minor: u32) -> cpt_host {
        cpt_host {
            struct_size: size_of::<cpt_host>() as u32,
            minor,
            context: ptr::from_ref(self).cast_mut().cast(),
            log: Some(log),
            fail: Some(fail),
            cancelled: Some(cancelled),
            extension: Some(extension),
        }
    }

    /// What was said of items.
    pub fn take_reasons(&self) -> BTreeMap<u64, String> {
        std::mem::take(&mut lock(&self.reasons))
    }

    /// What was said of the whole call.
    pub fn take_message(&self) -> String {
        lock(&self.reasons).remove(&CPT_WHOLE_CALL).unwrap_or_else(|| "no reason given".into())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// SAFETY: `context` comes from [`Callbacks::table`], whose callers keep the callbacks until the call is over.
unsafe fn callbacks<'a>(context: *mut c_void) -> &'a Callbacks {
    // SAFETY: see above.
    unsafe { &*context.cast::<Callbacks>() }
}

unsafe fn text(message: cpt_str) -> String {
    if message.data.is_null() || message.size == 0 {
        return String::new();
    }
    // SAFETY: the plugin passes `size` bytes that it may read; no more than a message's worth is looked at.
    let bytes = unsafe { std::slice::from_raw_parts(message.data, message.size.min(LIMIT) as usize) };
    String::from_utf8_lossy(bytes).into_owned()
}

unsafe extern "C" fn log(_: *mut c_void, level: i32, message: cpt_str) {
    // SAFETY: the plugin's promise, see `text`.
    let message = unsafe { text(message) };
    crate::progress::step(&format!("after it logged {message:?} (level {level})"));
}

unsafe extern "C" fn fail(context: *mut c_void, item: u64, message: cpt_str) {
    // SAFETY: the plugin passes the context back, and a message that may be read.
    let (callbacks, message) = unsafe { (callbacks(context), text(message)) };
    lock(&callbacks.reasons).insert(item, message);
}

unsafe extern "C" fn cancelled(context: *mut c_void) -> i32 {
    // SAFETY: the plugin passes the context back.
    let callbacks = unsafe { callbacks(context) };
    let late = callbacks.deadline.is_some_and(|limit| lock(&callbacks.begin).elapsed() >= limit);
    i32::from(callbacks.cancelled || late)
}

unsafe extern "C" fn extension(_: *mut c_void, _: cpt_str) -> *const c_void {
    ptr::null()
}
