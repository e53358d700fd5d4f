//! The host's functions during a call.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::MaybeUninit;

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
    /// When the struct is smaller than in minor version 0; there is nobody to tell then.
    ///
    /// # Safety
    /// `raw` is null, or points to a `cpt_host` of the size that it says, whose functions can be called during `'a`.
    pub(crate) unsafe fn new(raw: *const cpt_host) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        let raw = unsafe { sized(raw, CPT_HOST_SIZE_0, "cpt_host") }?;
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

/// A copy of a struct of the host, which begins with its size: what it has of the fields of `T`, the rest zero.
///
/// # Errors
/// When there is none, or it is smaller than `least`, its size in minor version 0: only its size is read then.
///
/// # Safety
/// `from` is null, or points to as many readable bytes as the four first of them say, at least those four. The rest as of
/// [`known`].
pub(crate) unsafe fn sized<T: Copy>(from: *const T, least: u32, name: &str) -> Result<T, Error> {
    if from.is_null() {
        return Err(Error::new(format!("{name}: expected a struct, got a null pointer")));
    }
    // SAFETY: the four first bytes are there.
    let size = unsafe { from.cast::<u32>().read_unaligned() };
    if size < least {
        return Err(Error::new(format!("{name}: expected a struct_size of {least} or more, got {size}")));
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { known(from, size) })
}

/// A copy of a struct of the host that has `size` bytes: what it has of the fields of `T`, the rest zero.
///
/// # Safety
/// As many bytes can be read at `from`, and zeros are a value of `T`: a struct of integers, pointers and optional functions.
pub(crate) unsafe fn known<T: Copy>(from: *const T, size: u32) -> T {
    if size as usize >= size_of::<T>() {
        // SAFETY: all of `T` is there.
        return unsafe { from.read_unaligned() };
    }
    let mut read = MaybeUninit::<T>::zeroed();
    // SAFETY: `size` bytes are there, and less than `T` has; zeros are a value of the fields behind them.
    unsafe {
        std::ptr::copy_nonoverlapping(from.cast::<u8>(), read.as_mut_ptr().cast::<u8>(), size as usize);
        read.assume_init()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A struct of a later minor version: it has one field more.
    #[repr(C)]
    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Grown<T> {
        first: T,
        later: u64,
    }

    /// A host's memory: its struct, and behind it what is no struct's.
    fn host<T>(first: T) -> Grown<T> {
        Grown { first, later: u64::MAX }
    }

    const BATCH: cpt_batch = cpt_batch {
        struct_size: CPT_BATCH_SIZE_0,
        item_stride: CPT_ITEM_SIZE_0,
        image_stride: CPT_IMAGE_SIZE_0,
        reserved: 0,
        items: std::ptr::null(),
        n_items: 0,
        seed: 7,
        deadline_ns: 9,
    };

    #[test]
    fn a_struct_of_minor_version_0_is_read_after_the_struct_grew() {
        let old = host(BATCH);
        // SAFETY: as many bytes as the struct says; zeros are a value of the number.
        let read = unsafe { sized(&raw const old, CPT_BATCH_SIZE_0, "cpt_batch") }.unwrap();
        assert_eq!((read.first.seed, read.first.deadline_ns, read.later), (7, 9, 0));
    }

    #[test]
    fn a_field_that_is_there_is_read_and_what_is_behind_is_not() {
        let size = size_of::<Grown<cpt_batch>>() as u32;
        let new = host(host(cpt_batch { struct_size: size, ..BATCH }));
        // SAFETY: as above.
        let read = unsafe { sized(&raw const new.first, CPT_BATCH_SIZE_0, "cpt_batch") }.unwrap();
        assert_eq!((read.first.seed, read.later), (7, u64::MAX));
        // SAFETY: as above.
        let read = unsafe { sized(&raw const new.first.first, CPT_BATCH_SIZE_0, "cpt_batch") }.unwrap();
        assert_eq!((read.struct_size, read.deadline_ns), (size, 9));
    }

    #[test]
    fn a_struct_that_minor_version_0_did_not_have_is_refused() {
        let small = host(cpt_batch { struct_size: CPT_BATCH_SIZE_0 - 1, ..BATCH });
        // SAFETY: as above.
        let error = unsafe { sized(&raw const small, CPT_BATCH_SIZE_0, "cpt_batch") }.unwrap_err();
        assert_eq!(error.to_string(), "cpt_batch: expected a struct_size of 48 or more, got 47");
        // SAFETY: null is allowed.
        assert!(unsafe { sized::<cpt_host>(std::ptr::null(), CPT_HOST_SIZE_0, "cpt_host") }.is_err());
    }

    #[test]
    fn elements_of_an_array_are_read_as_far_as_the_stride() {
        let pair = [[1_u64, 2], [3, 4]];
        let at = |i: usize| pair[i].as_ptr().cast::<Grown<Grown<u64>>>();
        // SAFETY: 16 bytes each; zeros are a value.
        let read = [0, 1].map(|i| unsafe { known(at(i), 16) });
        assert_eq!(read.map(|r| (r.first.first, r.first.later, r.later)), [(1, 2, 0), (3, 4, 0)]);
    }
}
