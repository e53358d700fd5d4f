//! What a plugin leaves as it found it.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
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

/// What a process has one of, for all that runs in it: what it is called, and what it is now.
fn state() -> BTreeMap<String, String> {
    // SAFETY: these change nothing but the mask, which is put back.
    let umask = unsafe {
        let mask = libc::umask(0o077);
        libc::umask(mask);
        mask
    };
    // SAFETY: a question; the answer is copied before the locale can change.
    let locale = unsafe { libc::setlocale(libc::LC_ALL, ptr::null()) };
    // SAFETY: not null, then a text that ends in NUL.
    let locale = (!locale.is_null()).then(|| unsafe { CStr::from_ptr(locale) });
    let mut state = BTreeMap::from([
        ("the working directory".to_owned(), format!("{:?}", std::env::current_dir())),
        ("the mask of new files".to_owned(), format!("{umask:03o}")),
        ("the locale".to_owned(), format!("{locale:?}")),
    ]);
    state.extend((1..32).map(|n| (format!("the handler or the mask of signal {n}"), format!("{:?}", signal(n)))));
    state.extend(std::env::vars_os().map(|(name, value)| (format!("the variable {name:?}"), format!("{value:?}"))));
    state
}

pub(super) fn stays(job: &Job) -> Outcome {
    let before = state();
    life(job, |step| {
        let now = state();
        let Some(what) = before.keys().chain(now.keys()).find(|what| before.get(*what) != now.get(*what)) else {
            return Ok(());
        };
        let [before, now] = [&before, &now].map(|state| state.get(what).map_or("none", String::as_str));
        Err(format!("{step} changed {what} from {before} to {now}"))
    })?;
    pass("")
}

/// Handler, flags and whether it is blocked.
fn signal(number: i32) -> (usize, i32, bool) {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    let mut blocked = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: questions, and what they fill; zeros are a value of each struct where there is no answer.
    unsafe {
        libc::sigaction(number, ptr::null(), action.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), blocked.as_mut_ptr());
        let action = action.assume_init();
        (action.sa_sigaction, action.sa_flags, libc::sigismember(blocked.as_ptr(), number) == 1)
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
