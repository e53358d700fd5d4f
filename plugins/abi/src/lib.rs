//! The C interface of reward plugins as Rust types: the mirror of `include/counterpoint_plugin.h`, field by field.
//!
//! The header is the contract; its comments say what each field means, who owns what, and what may be called when. Sizes and
//! offsets are asserted here, in the header, and by a test that compiles the header with the system's C and C++ compilers.
//! A plugin in Rust is written with `counterpoint-sdk`, a program that loads plugins with `counterpoint-host`; neither has to
//! touch these types.
#![allow(non_camel_case_types)]

use std::ffi::c_void;
use std::mem::{offset_of, size_of};

/// The header's text, for programs that write it out or compile against it.
pub const HEADER: &str = include_str!("../include/counterpoint_plugin.h");

/// Name of the one symbol that a plugin exports, a [`cpt_plugin_v1_get`].
pub const SYMBOL: &str = "cpt_plugin_v1_get";
/// The first four bytes of every table.
pub const CPT_MAGIC: u32 = 0x3154_5043;
/// Major version: part of the symbol's name.
pub const CPT_ABI_MAJOR: u32 = 1;
/// Minor version: fields are only ever appended.
pub const CPT_ABI_MINOR: u32 = 1;

/// Done.
pub const CPT_OK: i32 = 0;
/// The call as a whole failed.
pub const CPT_ERROR: i32 = 1;
/// A panic was caught; the instance is poisoned.
pub const CPT_PANIC: i32 = 2;
/// Stopped early because the host asked for it.
pub const CPT_CANCELLED: i32 = 3;

/// Status of an item before the call.
pub const CPT_UNWRITTEN: i32 = -1;
/// Every output of the item has a finite score.
pub const CPT_VALUE: i32 = 0;
/// The expert does not apply to the item.
pub const CPT_ABSTAIN: i32 = 1;
/// The item could not be scored.
pub const CPT_FAIL: i32 = 2;

/// Different instances may be called at the same time.
pub const CPT_CAP_CONCURRENT: u64 = 1;
/// Same settings, items and seed: same scores, to the last bit.
pub const CPT_CAP_DETERMINISTIC: u64 = 2;
/// An item's scores do not depend on the other items of its call.
pub const CPT_CAP_BATCH_INVARIANT: u64 = 4;

/// Three `u8` channels, 0 to 255, sRGB.
pub const CPT_RGB_U8: u32 = 1;
/// Three `f32` channels, 0 to 1, sRGB.
pub const CPT_RGB_F32: u32 = 2;

/// Level of [`cpt_host::log`].
pub const CPT_LOG_ERROR: i32 = 1;
/// Level of [`cpt_host::log`].
pub const CPT_LOG_WARN: i32 = 2;
/// Level of [`cpt_host::log`].
pub const CPT_LOG_INFO: i32 = 3;
/// Level of [`cpt_host::log`].
pub const CPT_LOG_DEBUG: i32 = 4;

/// The item number by which [`cpt_host::fail`] speaks of the whole call.
pub const CPT_WHOLE_CALL: u64 = u64::MAX;

/// Size of [`cpt_image`] in minor version 0: it never changes, nor do the others.
pub const CPT_IMAGE_SIZE_0: u32 = 40;
/// Size of [`cpt_item`] in minor version 0.
pub const CPT_ITEM_SIZE_0: u32 = 96;
/// Size of [`cpt_batch`] in minor version 0.
pub const CPT_BATCH_SIZE_0: u32 = 48;
/// Size of [`cpt_scores`] in minor version 0.
pub const CPT_SCORES_SIZE_0: u32 = 24;
/// Size of [`cpt_host`] in minor version 0.
pub const CPT_HOST_SIZE_0: u32 = 48;
/// Size of [`cpt_setup`] in minor version 0.
pub const CPT_SETUP_SIZE_0: u32 = 56;
/// Size of [`cpt_plugin_v1`] in minor version 0.
pub const CPT_PLUGIN_V1_SIZE_0: u32 = 64;

/// UTF-8 of `size` bytes, no terminating NUL.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct cpt_str {
    /// May be null when `size` is 0.
    pub data: *const u8,
    /// Bytes.
    pub size: u64,
}

impl cpt_str {
    /// Borrows `text`, which has to outlive every use of the result.
    pub const fn of(text: &str) -> Self {
        Self { data: text.as_ptr(), size: text.len() as u64 }
    }
}

/// An image, row by row from the top.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct cpt_image {
    /// The first pixel.
    pub data: *const c_void,
    /// Pixels, 1 or more.
    pub width: u32,
    /// Pixels, 1 or more.
    pub height: u32,
    /// [`CPT_RGB_U8`] or [`CPT_RGB_F32`].
    pub format: u32,
    /// 0.
    pub reserved: u32,
    /// Bytes from a row to the next.
    pub row_stride: u64,
    /// Bytes from a pixel to the next.
    pub pixel_stride: u64,
}

/// One sample to be scored.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct cpt_item {
    /// What the image was generated from.
    pub prompt: cpt_str,
    /// What the policy wrote.
    pub response: cpt_str,
    /// Concept class.
    pub class_name: cpt_str,
    /// The task's parameters, as JSON.
    pub params: cpt_str,
    /// What the policy generated, or null.
    pub image: *const cpt_image,
    /// Images of the concept, [`cpt_batch::image_stride`] bytes apart.
    pub references: *const cpt_image,
    /// How many.
    pub n_references: u64,
    /// Number of the candidate within its group.
    pub candidate: u64,
}

/// What `score` is asked.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct cpt_batch {
    /// Size of this struct.
    pub struct_size: u32,
    /// Bytes of an item, and from an item to the next.
    pub item_stride: u32,
    /// Bytes of an image, and from a reference image to the next.
    pub image_stride: u32,
    /// 0.
    pub reserved: u32,
    /// The items, `item_stride` bytes apart.
    pub items: *const cpt_item,
    /// How many; may be 0.
    pub n_items: u64,
    /// Of everything random in this call.
    pub seed: u64,
    /// Nanoseconds that the call may take; 0 means no limit.
    pub deadline_ns: u64,
}

/// What `score` answers.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct cpt_scores {
    /// Size of this struct.
    pub struct_size: u32,
    /// Outputs of an item.
    pub n_outputs: u32,
    /// `n_items * n_outputs`, NaN before the call.
    pub values: *mut f64,
    /// `n_items`, [`CPT_UNWRITTEN`] before the call.
    pub status: *mut i32,
}

/// What the host offers during a call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct cpt_host {
    /// Size of this struct.
    pub struct_size: u32,
    /// The host's minor version.
    pub minor: u32,
    /// To be passed back to each function.
    pub context: *mut c_void,
    /// Writes a line into the host's log.
    pub log: Option<unsafe extern "C" fn(context: *mut c_void, level: i32, message: cpt_str)>,
    /// Says why an item has no score, or why the call failed. The text is copied.
    pub fail: Option<unsafe extern "C" fn(context: *mut c_void, item: u64, message: cpt_str)>,
    /// Not 0 when the call should return soon.
    pub cancelled: Option<unsafe extern "C" fn(context: *mut c_void) -> i32>,
    /// An optional part by name and revision, or null.
    pub extension: Option<unsafe extern "C" fn(context: *mut c_void, name: cpt_str) -> *const c_void>,
}

/// What `create` is given.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct cpt_setup {
    /// Size of this struct.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Which of the manifest's experts.
    pub expert: cpt_str,
    /// JSON object from the run's config.
    pub settings: cpt_str,
    /// Folder that relative paths in the settings are relative to.
    pub base: cpt_str,
}

// A plugin must let nothing unwind. The types say that it may, so that a C++ exception ends the process where it enters Rust
// instead of being undefined behaviour.

/// Makes an instance of an expert.
pub type cpt_create =
    unsafe extern "C-unwind" fn(host: *const cpt_host, setup: *const cpt_setup, instance: *mut *mut c_void) -> i32;
/// Scores a batch.
pub type cpt_score = unsafe extern "C-unwind" fn(
    instance: *mut c_void,
    host: *const cpt_host,
    batch: *const cpt_batch,
    scores: *const cpt_scores,
) -> i32;
/// Frees an instance.
pub type cpt_destroy = unsafe extern "C-unwind" fn(instance: *mut c_void);
/// An optional part of a plugin by name and revision, or null.
pub type cpt_extension = unsafe extern "C-unwind" fn(name: cpt_str) -> *const c_void;
/// The type of the symbol [`SYMBOL`].
pub type cpt_plugin_v1_get = unsafe extern "C-unwind" fn() -> *const cpt_plugin_v1;

/// The table that a plugin exports.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct cpt_plugin_v1 {
    /// [`CPT_MAGIC`]. Frozen for ever, as are the next three.
    pub magic: u32,
    /// [`CPT_ABI_MAJOR`].
    pub major: u32,
    /// The [`CPT_ABI_MINOR`] that the plugin was built with.
    pub minor: u32,
    /// Size of this struct that the plugin was built with.
    pub struct_size: u32,
    /// `CPT_CAP_*`.
    pub capabilities: u64,
    /// JSON.
    pub manifest: cpt_str,
    /// Makes an instance.
    pub create: Option<cpt_create>,
    /// Scores a batch.
    pub score: Option<cpt_score>,
    /// Frees an instance.
    pub destroy: Option<cpt_destroy>,
    /// Minor version 1: an optional part by name; may be absent.
    pub extension: Option<cpt_extension>,
}

// SAFETY: a table is constant data that lives as long as its library.
unsafe impl Send for cpt_plugin_v1 {}
// SAFETY: as above.
unsafe impl Sync for cpt_plugin_v1 {}

const _: () = {
    assert!(size_of::<usize>() == 8, "64-bit targets only");
    assert!(size_of::<cpt_str>() == 16);
    assert!(size_of::<cpt_image>() == 40);
    assert!(size_of::<cpt_item>() == 96);
    assert!(size_of::<cpt_batch>() == 48);
    assert!(size_of::<cpt_scores>() == 24);
    assert!(size_of::<cpt_host>() == 48);
    assert!(size_of::<cpt_setup>() == 56);
    assert!(size_of::<cpt_plugin_v1>() == 72);
    assert!(offset_of!(cpt_plugin_v1, struct_size) == 12);
    // Where the last field of minor version 0 ends.
    assert!(offset_of!(cpt_image, pixel_stride) + 8 == CPT_IMAGE_SIZE_0 as usize);
    assert!(offset_of!(cpt_item, candidate) + 8 == CPT_ITEM_SIZE_0 as usize);
    assert!(offset_of!(cpt_batch, deadline_ns) + 8 == CPT_BATCH_SIZE_0 as usize);
    assert!(offset_of!(cpt_scores, status) + 8 == CPT_SCORES_SIZE_0 as usize);
    assert!(offset_of!(cpt_host, extension) + 8 == CPT_HOST_SIZE_0 as usize);
    assert!(offset_of!(cpt_setup, base) + 16 == CPT_SETUP_SIZE_0 as usize);
    assert!(offset_of!(cpt_plugin_v1, destroy) + 8 == CPT_PLUGIN_V1_SIZE_0 as usize);
};
