//! A host of its own: raw calls of the table that this test program exports.
#![allow(unsafe_code, dead_code)]

use std::ffi::c_void;

use counterpoint_abi::*;

unsafe extern "C" {
    fn cpt_plugin_v1_get() -> *const cpt_plugin_v1;
}

pub fn table() -> &'static cpt_plugin_v1 {
    // SAFETY: `export_rewards!` in this program defines it.
    unsafe { cpt_plugin_v1_get().as_ref() }.expect("a table")
}

/// What the plugin said during a call.
#[derive(Default)]
pub struct Said {
    pub failed: Vec<(u64, String)>,
    pub cancelled: bool,
}

impl Said {
    pub fn of(&self, item: u64) -> &str {
        self.failed.iter().find(|(i, _)| *i == item).map_or("", |(_, message)| message)
    }

    pub fn call(&self) -> &str {
        self.of(CPT_WHOLE_CALL)
    }
}

unsafe extern "C" fn log(_: *mut c_void, _: i32, _: cpt_str) {}

unsafe extern "C" fn fail(context: *mut c_void, item: u64, message: cpt_str) {
    // SAFETY: the context of `host`, alone in use; a plugin's text is readable during the call.
    unsafe {
        let text = std::slice::from_raw_parts(message.data, message.size as usize);
        (*context.cast::<Said>()).failed.push((item, std::str::from_utf8(text).expect("UTF-8").to_owned()));
    }
}

unsafe extern "C" fn cancelled(context: *mut c_void) -> i32 {
    // SAFETY: as in `fail`.
    i32::from(unsafe { (*context.cast::<Said>()).cancelled })
}

/// A host that writes into `said`.
pub fn host(said: &mut Said) -> cpt_host {
    cpt_host {
        struct_size: size_of::<cpt_host>() as u32,
        minor: CPT_ABI_MINOR,
        context: (&raw mut *said).cast(),
        log: Some(log),
        fail: Some(fail),
        cancelled: Some(cancelled),
        extension: None,
    }
}

pub fn setup(expert: &str, settings: &str) -> cpt_setup {
    cpt_setup {
        struct_size: size_of::<cpt_setup>() as u32,
        reserved: 0,
        expert: cpt_str::of(expert),
        settings: cpt_str { data: settings.as_ptr(), size: settings.len() as u64 },
        base: cpt_str::of(""),
    }
}

/// The instance that `setup` makes, or the code and what was said.
pub fn try_create(setup: &cpt_setup) -> Result<*mut c_void, (i32, String)> {
    let (mut said, mut instance) = (Said::default(), std::ptr::null_mut());
    let host = host(&mut said);
    // SAFETY: the arguments are as the header says.
    let code = unsafe { table().create.expect("create")(&host, setup, &mut instance) };
    if code == CPT_OK { Ok(instance) } else { Err((code, said.call().to_owned())) }
}

pub fn create(expert: &str, settings: &str) -> *mut c_void {
    try_create(&setup(expert, settings)).expect("an instance")
}

pub fn destroy(instance: *mut c_void) {
    // SAFETY: made by `create`.
    unsafe { table().destroy.expect("destroy")(instance) }
}

pub const EMPTY: cpt_str = cpt_str { data: std::ptr::null(), size: 0 };

/// An item without anything.
pub const ITEM: cpt_item = cpt_item {
    prompt: EMPTY,
    response: EMPTY,
    class_name: EMPTY,
    params: EMPTY,
    image: std::ptr::null(),
    references: std::ptr::null(),
    n_references: 0,
    candidate: 0,
};

pub fn text(bytes: &[u8]) -> cpt_str {
    cpt_str { data: bytes.as_ptr(), size: bytes.len() as u64 }
}

pub fn batch(items: &[cpt_item]) -> cpt_batch {
    cpt_batch {
        struct_size: size_of::<cpt_batch>() as u32,
        item_stride: size_of::<cpt_item>() as u32,
        image_stride: size_of::<cpt_image>() as u32,
        reserved: 0,
        items: items.as_ptr(),
        n_items: items.len() as u64,
        seed: 0,
        deadline_ns: 0,
    }
}

/// How a call ended.
pub struct Answer {
    pub code: i32,
    pub values: Vec<f64>,
    pub status: Vec<i32>,
    pub said: Said,
}

impl Answer {
    /// Whether nothing was written.
    pub fn is_untouched(&self) -> bool {
        self.values.iter().all(|v| v.is_nan()) && self.status.iter().all(|s| *s == CPT_UNWRITTEN)
    }
}

/// Calls `score` of an expert with one output; `change` may spoil the arguments.
pub fn score_with(
    instance: *mut c_void,
    batch: &cpt_batch,
    change: impl FnOnce(&mut cpt_host, &mut cpt_scores),
) -> Answer {
    let n = batch.n_items as usize;
    let (mut said, mut values, mut status) = (Said::default(), vec![f64::NAN; n], vec![CPT_UNWRITTEN; n]);
    let mut host = host(&mut said);
    let mut scores = cpt_scores {
        struct_size: size_of::<cpt_scores>() as u32,
        n_outputs: 1,
        values: values.as_mut_ptr(),
        status: status.as_mut_ptr(),
    };
    change(&mut host, &mut scores);
    // SAFETY: the arguments are as the header says, but for what a test spoils on purpose.
    let code = unsafe { table().score.expect("score")(instance, &host, batch, &scores) };
    Answer { code, values, status, said }
}

pub fn score(instance: *mut c_void, items: &[cpt_item]) -> Answer {
    score_with(instance, &batch(items), |_, _| ())
}
