//! A plugin's own tests, without a host: [`TestExpert`] makes an expert and asks it through the C interface, as a host does.
//!
//! ```
//! # use counterpoint_sdk::{Batch, Description, Error, Expert, Score, Setup};
//! # struct Length;
//! # impl Expert for Length {
//! #     const NAME: &'static str = "length";
//! #     fn describe() -> Description { Description::new("") }
//! #     fn create(_: &Setup<'_>) -> Result<Self, Error> { Ok(Self) }
//! #     fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
//! #         batch.each(|item| Ok(Score::Value(item.response().len() as f64)))
//! #     }
//! # }
//! use counterpoint_sdk::testing::{TestExpert, TestItem};
//!
//! let mut expert = TestExpert::<Length>::create(&())?;
//! let scores = expert.score(&[TestItem::new().response("four")])?;
//! assert_eq!(scores, [Score::Value(4.0)]);
//! # Ok::<(), Error>(())
//! ```
#![allow(unsafe_code)]

mod item;

use std::ffi::c_void;
use std::marker::PhantomData;
use std::path::Path;
use std::time::Duration;

use counterpoint_abi::*;
use serde::Serialize;

pub use item::{TestImage, TestItem};

use crate::shim::{self, Entry, Plugin};
use crate::{Error, Expert, Level, Score};

/// A plugin of one expert.
struct Only<E>(PhantomData<E>);

impl<E: Expert> Plugin for Only<E> {
    const NAME: &'static str = E::NAME;
    const VERSION: &'static str = "0";
    const EXPERTS: &'static [Entry] = &[Entry::of::<E>()];
}

/// An instance of `E`, behind the functions of a plugin's table.
pub struct TestExpert<E> {
    instance: *mut c_void,
    outputs: usize,
    log: Vec<(Level, String)>,
    /// What [`Batch::seed`](crate::Batch::seed) says. Default: 0.
    pub seed: u64,
    /// What [`Batch::deadline`](crate::Batch::deadline) says. Default: none.
    pub deadline: Option<Duration>,
    /// What [`Batch::cancelled`](crate::Batch::cancelled) says. Default: `false`.
    pub cancelled: bool,
    expert: PhantomData<E>,
}

impl<E: Expert> TestExpert<E> {
    /// Makes an instance whose base is the working directory. `settings` is what becomes a JSON object, such as
    /// `json!({ "target": 0.5 })`, or `()` for none.
    ///
    /// # Errors
    /// That of [`Expert::create`], or its panic.
    pub fn create(settings: &impl Serialize) -> Result<Self, Error> {
        Self::create_at(settings, Path::new(""))
    }

    /// Makes an instance whose settings have paths relative to `base`.
    ///
    /// # Errors
    /// That of [`Expert::create`], or its panic.
    pub fn create_at(settings: &impl Serialize, base: &Path) -> Result<Self, Error> {
        let settings = match serde_json::to_string(settings)? {
            null if null == "null" => String::new(),
            settings => settings,
        };
        let base = base.to_str().ok_or_else(|| Error::new("expected a base of UTF-8"))?;
        let setup = cpt_setup {
            struct_size: size_of::<cpt_setup>() as u32,
            reserved: 0,
            expert: cpt_str::of(E::NAME),
            settings: cpt_str::of(&settings),
            base: cpt_str::of(base),
        };
        let mut instance = std::ptr::null_mut();
        let mut context = Context::default();
        // SAFETY: the arguments are as the header says, and live until the call returns.
        let code = context.call(|host| unsafe { shim::create::<Only<E>>(host, &setup, &mut instance) });
        context.whole(code)?;
        let outputs = E::describe().outputs.len();
        let log = context.log;
        Ok(Self { instance, outputs, log, seed: 0, deadline: None, cancelled: false, expert: PhantomData })
    }

    /// Scores `items`.
    ///
    /// # Errors
    /// That of [`Expert::score`], its panic, or a number of scores that is not that of the items.
    pub fn score(&mut self, items: &[TestItem]) -> Result<Vec<Score>, Error> {
        let parts: Vec<item::Parts> = items.iter().map(TestItem::parts).collect();
        let raw: Vec<cpt_item> = items.iter().zip(&parts).map(|(item, parts)| item.raw(parts)).collect();
        let batch = cpt_batch {
            struct_size: size_of::<cpt_batch>() as u32,
            item_stride: size_of::<cpt_item>() as u32,
            image_stride: size_of::<cpt_image>() as u32,
            reserved: 0,
            items: raw.as_ptr(),
            n_items: raw.len() as u64,
            seed: self.seed,
            deadline_ns: self.deadline.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
        };
        let mut values = vec![f64::NAN; items.len() * self.outputs];
        let mut status = vec![CPT_UNWRITTEN; items.len()];
        let scores = cpt_scores {
            struct_size: size_of::<cpt_scores>() as u32,
            n_outputs: self.outputs as u32,
            values: values.as_mut_ptr(),
            status: status.as_mut_ptr(),
        };
        let mut context = Context { cancelled: self.cancelled, ..Context::default() };
        // SAFETY: `create` made the instance; the arguments are as the header says, and live until the call returns.
        let code = context.call(|host| unsafe { shim::score(self.instance, host, &batch, &scores) });
        self.log.append(&mut context.log);
        context.whole(code)?;
        let said = |i| context.failed.iter().find(|(item, _)| *item == i as u64).map(|(_, message)| message.clone());
        let score = |(i, status): (usize, &i32)| match *status {
            CPT_VALUE if self.outputs == 1 => Ok(Score::Value(values[i])),
            CPT_VALUE => Ok(Score::Values(values[i * self.outputs..(i + 1) * self.outputs].to_vec())),
            CPT_ABSTAIN => Ok(Score::Abstain(said(i).unwrap_or_default())),
            CPT_FAIL => Ok(Score::Fail(said(i).unwrap_or_default())),
            other => Err(Error::new(format!("item {i}: expected a status, got {other}"))),
        };
        status.iter().enumerate().map(score).collect()
    }

    /// The lines that the expert wrote into the log so far.
    pub fn log(&self) -> &[(Level, String)] {
        &self.log
    }
}

impl<E> Drop for TestExpert<E> {
    fn drop(&mut self) {
        // SAFETY: `create` made it, and nobody uses it any more.
        unsafe { shim::destroy(self.instance) }
    }
}

/// A host's side of one call.
#[derive(Default)]
struct Context {
    log: Vec<(Level, String)>,
    failed: Vec<(u64, String)>,
    cancelled: bool,
}

impl Context {
    fn call(&mut self, call: impl FnOnce(*const cpt_host) -> i32) -> i32 {
        let host = cpt_host {
            struct_size: size_of::<cpt_host>() as u32,
            minor: CPT_ABI_MINOR,
            context: (&raw mut *self).cast(),
            log: Some(log),
            fail: Some(fail),
            cancelled: Some(cancelled),
            extension: Some(extension),
        };
        call(&host)
    }

    /// How the call ended.
    fn whole(&self, code: i32) -> Result<(), Error> {
        let said = self.failed.iter().find(|(item, _)| *item == CPT_WHOLE_CALL).map(|(_, message)| message.as_str());
        match code {
            CPT_OK => Ok(()),
            CPT_CANCELLED => Err(Error::cancelled()),
            _ => Err(Error::new(said.unwrap_or("no message"))),
        }
    }
}

unsafe extern "C" fn log(context: *mut c_void, level: i32, message: cpt_str) {
    let level = match level {
        CPT_LOG_ERROR => Level::Error,
        CPT_LOG_WARN => Level::Warn,
        CPT_LOG_INFO => Level::Info,
        _ => Level::Debug,
    };
    // SAFETY: the context of `Context::call`, which nothing else uses during the call; the shim passes text.
    unsafe { (*context.cast::<Context>()).log.push((level, owned(message))) }
}

unsafe extern "C" fn fail(context: *mut c_void, item: u64, message: cpt_str) {
    // SAFETY: as in `log`.
    unsafe { (*context.cast::<Context>()).failed.push((item, owned(message))) }
}

unsafe extern "C" fn cancelled(context: *mut c_void) -> i32 {
    // SAFETY: as in `log`.
    i32::from(unsafe { (*context.cast::<Context>()).cancelled })
}

unsafe extern "C" fn extension(_: *mut c_void, _: cpt_str) -> *const c_void {
    std::ptr::null()
}

/// # Safety
/// `text` can be read.
unsafe fn owned(text: cpt_str) -> String {
    // SAFETY: the caller's promise.
    unsafe { crate::raw::text(text, "message") }.unwrap_or_default().to_owned()
}
