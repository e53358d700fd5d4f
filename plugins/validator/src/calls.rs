//! The plugin's functions, called so that what unwinds out of one ends this process at that call and not somewhere later.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use counterpoint_abi::{cpt_batch, cpt_create, cpt_destroy, cpt_host, cpt_score, cpt_scores, cpt_setup};

use crate::progress::step;

/// Declares how a function of the interface is called.
macro_rules! call {
    ($name:ident: $type:ty, ($($argument:ident: $of:ty),*) $(-> $result:ty)?) => {
        #[doc = concat!("Calls `", stringify!($name), "`. `when` is the step while it runs.")]
        ///
        /// # Safety
        /// The interface's rules for this function.
        pub(crate) unsafe fn $name(function: $type, when: &str $(, $argument: $of)*) $(-> $result)? {
            step(when);
            // SAFETY: the caller's promise.
            let result = catch_unwind(AssertUnwindSafe(|| unsafe { function($($argument),*) }));
            // A C++ exception has ended the process by now; a panic of this very standard library is caught.
            let Ok(result) = result else { std::process::abort() };
            result
        }
    };
}

call!(create: cpt_create, (host: *const cpt_host, setup: *const cpt_setup, instance: *mut *mut c_void) -> i32);
call!(score: cpt_score, (instance: *mut c_void, host: *const cpt_host, batch: *const cpt_batch, scores: *const cpt_scores) -> i32);
call!(destroy: cpt_destroy, (instance: *mut c_void));
