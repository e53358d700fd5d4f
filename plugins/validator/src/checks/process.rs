//! What a plugin leaves as it found it.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr;

use crate::instance::Raw;
use crate::job::pass;
use crate::subject::{Call, Scorer};
use crate::{Job, Outcome};

/// A plugin's life: loaded, and each of its functions called. `look` is called after each step.
fn life(job: &Job, mut look: impl FnMut(&str) -> Result<(), String>) -> Result<(), String> {
    let raw = Raw::open(job)?;
    look("loading it")?;
    let mut instance = raw.instance()?;
    look("create")?;
    // A failed call is another check's business.
    let answer = instance.score(&raw.kit.samples(5), &Call::default());
    look("score")?;
    answer?;
    drop(instance);
    look("destroy")
}

/// `state` is the same during the whole life.
fn stays<T: PartialEq>(job: &Job, state: impl Fn() -> T, differs: impl Fn(&T, &T) -> String) -> Outcome {
    let before = state();
    life(job, |step| {
        let now = state();
        if now == before { Ok(()) } else { Err(format!("{step} changed {}", differs(&before, &now))) }
    })?;
    pass("")
}

pub(super) fn working_directory(job: &Job) -> Outcome {
    let state = || std::env::current_dir().map_err(|e| e.to_string());
    stays(job, state, |before, after| format!("the working directory from {before:?} to {after:?}"))
}

pub(super) fn environment(job: &Job) -> Outcome {
    let state = || {
        let mut all: Vec<_> = std::env::vars_os().collect();
        all.sort();
        all
    };
    stays(job, state, |before, after| {
        let changed = after.iter().find(|x| !before.contains(x)).or_else(|| before.iter().find(|x| !after.contains(x)));
        format!("the environment variable {:?}", changed.map(|(name, _)| name))
    })
}

pub(super) fn umask(job: &Job) -> Outcome {
    let state = || {
        // SAFETY: these change nothing but the mask, which is put back.
        unsafe {
            let mask = libc::umask(0o077);
            libc::umask(mask);
            mask
        }
    };
    stays(job, state, |before, after| format!("the mask from {before:03o} to {after:03o}"))
}

pub(super) fn locale(job: &Job) -> Outcome {
    let state = || {
        // SAFETY: a question; the answer is copied before the locale can change.
        let name = unsafe { libc::setlocale(libc::LC_ALL, ptr::null()) };
        // SAFETY: not null, then a text that ends in NUL.
        (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_owned())
    };
    stays(job, state, |before, after| format!("the locale from {before:?} to {after:?}"))
}

pub(super) fn signals(job: &Job) -> Outcome {
    let state = || (1..32).map(|signal| (handler(signal), is_blocked(signal))).collect::<Vec<_>>();
    stays(job, state, |before, after| {
        let changed = before.iter().zip(after).position(|(a, b)| a != b).map_or(0, |at| at + 1);
        format!("the handler or the mask of signal {changed}")
    })
}

fn handler(signal: i32) -> (usize, i32) {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a question; zeros are a value of the struct if the signal is none.
    let action = unsafe {
        libc::sigaction(signal, ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    (action.sa_sigaction, action.sa_flags)
}

fn is_blocked(signal: i32) -> bool {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: a question, and the set that it fills.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), set.as_mut_ptr());
        libc::sigismember(set.as_ptr(), signal) == 1
    }
}

/// The parent looks at what came out.
pub(super) fn stdout(job: &Job) -> Outcome {
    life(job, |_| Ok(()))?;
    pass("")
}

pub(super) fn floating_point(job: &Job) -> Outcome {
    arithmetic().map_err(|e| format!("before the plugin is loaded: {e}"))?;
    life(job, |step| arithmetic().map_err(|e| format!("after {step}, {e}")))?;
    pass("")
}

/// Numbers that another rounding mode, or subnormals as zeros, make other numbers.
fn arithmetic() -> Result<(), String> {
    let quotient = |a: f64, b: f64| black_box(a) / black_box(b);
    for (b, bits) in [(3.0, 0x3FD5_5555_5555_5555_u64), (10.0, 0x3FB9_9999_9999_999A)] {
        let got = quotient(1.0, b);
        if got.to_bits() != bits {
            return Err(format!("1 / {b} is rounded to {got:?} (the rounding mode changed)"));
        }
    }
    if quotient(f64::MIN_POSITIVE, 2.0) == 0.0 || black_box(f64::from_bits(1)) * black_box(1e300) == 0.0 {
        return Err("subnormal numbers are taken for 0 (flush-to-zero was switched on)".into());
    }
    Ok(())
}
