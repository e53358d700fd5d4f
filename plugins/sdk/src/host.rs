//! The host's functions during a call.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use counterpoint_abi::*;

use crate::Error;

/// Importance of a line in the host's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Level {
    /// Something failed.
    Error = CPT_LOG_ERROR,
    /// Something looks wrong.
    Warn = CPT_LOG_WARN,
    /// What a user may want to know.
    Info = CPT_LOG_INFO,
    /// What the author of the plugin may want to know.
    Debug = CPT_LOG_DEBUG,
}

/// The host, for the length of a call and on its thread alone.
#[derive(Clone, Copy)]
pub(crate) struct Host<'a> {
    raw: cpt_host,
    call: PhantomData<&'a cpt_host>,
}

impl<'a> Host<'a> {
    /// # Errors
    /// When the struct is smaller than it is in this version; there is nobody to tell then.
    ///
    /// # Safety
    /// `raw` is null, or points to a `cpt_host` of the size that it says, whose functions can be called during `'a`.
    pub(crate) unsafe fn new(raw: *const cpt_host) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        let raw = unsafe { sized(raw, "cpt_host") }?;
        Ok(Self { raw, call: PhantomData })
    }

    pub(crate) fn log(&self, level: Level, message: &str) {
        if let Some(log) = self.raw.log {
            // SAFETY: the function and its context are the host's, within the call; the text is borrowed for this line.
            unsafe { log(self.raw.context, level as i32, cpt_str::of(message)) }
        }
    }

    pub(crate) fn fail(&self, item: u64, message: &str) {
        if let Some(fail) = self.raw.fail {
            // SAFETY: as in `log`.
            unsafe { fail(self.raw.context, item, cpt_str::of(message)) }
        }
    }

    pub(crate) fn cancelled(&self) -> bool {
        // SAFETY: as in `log`.
        self.raw.cancelled.is_some_and(|cancelled| unsafe { cancelled(self.raw.context) } != 0)
    }
}

/// A copy of a struct of the host, which begins with its size.
///
/// # Errors
/// When there is none, or it is smaller than `T`: only its size is read then.
///
/// # Safety
/// `from` is null, or points to as many readable bytes as the four first of them say, at least those four.
pub(crate) unsafe fn sized<T: Copy>(from: *const T, name: &str) -> Result<T, Error> {
    if from.is_null() {
        return Err(Error::new(format!("{name}: expected a struct, got a null pointer")));
    }
    // SAFETY: the four first bytes are there.
    let size = unsafe { from.cast::<u32>().read_unaligned() } as usize;
    if size < size_of::<T>() {
        return Err(Error::new(format!("{name}: expected a struct_size of {} or more, got {size}", size_of::<T>())));
    }
    // SAFETY: it is as large as `T`, a struct of integers and pointers.
    Ok(unsafe { from.read_unaligned() })
}
