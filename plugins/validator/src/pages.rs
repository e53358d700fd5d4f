//! Memory in pages of its own, between pages that nobody may touch.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::mem::size_of;
use std::ptr;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use rustix::param::page_size;

/// Pages on either side that nobody may touch.
const GUARD: usize = 16;

/// Where the bytes lie within their pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// With a page of zeros before and after them: a step too far does no harm and is not seen.
    Loose,
    /// The first byte after them may not be touched.
    BeforeGuard,
    /// The last byte before them may not be touched.
    AfterGuard,
}

/// Some bytes in pages of their own.
#[derive(Debug)]
pub struct Pages {
    whole: *mut u8,
    whole_size: usize,
    start: usize,
    size: usize,
}

impl Pages {
    /// `size` bytes of zeros.
    ///
    /// # Errors
    /// The system's, when it has no memory to give.
    pub fn new(size: usize, place: Place) -> io::Result<Self> {
        let page = page_size();
        let slack = if place == Place::Loose { page } else { 0 };
        let body = size.max(1).next_multiple_of(page) + 2 * slack;
        let guard = GUARD * page;
        let whole_size = body + 2 * guard;
        // SAFETY: a new private mapping at an address that the system chooses touches no memory that is in use.
        let whole = unsafe { mmap_anonymous(ptr::null_mut(), whole_size, ProtFlags::empty(), MapFlags::PRIVATE)? };
        let start = match place {
            Place::Loose => guard + slack,
            Place::BeforeGuard => guard + body - size,
            Place::AfterGuard => guard,
        };
        let pages = Self { whole: whole.cast(), whole_size, start, size };
        pages.permit(guard, body, MprotectFlags::READ | MprotectFlags::WRITE)?;
        Ok(pages)
    }

    /// From now on these pages can only be read.
    ///
    /// # Errors
    /// The system's.
    pub fn protect(&self) -> io::Result<()> {
        let guard = GUARD * page_size();
        self.permit(guard, self.whole_size - 2 * guard, MprotectFlags::READ)
    }

    fn permit(&self, from: usize, size: usize, flags: MprotectFlags) -> io::Result<()> {
        // SAFETY: `from` and `size` are whole pages inside this mapping, which no Rust reference points into.
        unsafe { Ok(mprotect(self.whole.add(from).cast::<c_void>(), size, flags)?) }
    }

    /// The first byte.
    pub fn as_ptr(&self) -> *mut u8 {
        // SAFETY: `start` lies within the mapping.
        unsafe { self.whole.add(self.start) }
    }

    /// Writes `value` at `offset`.
    ///
    /// # Panics
    /// When it does not fit.
    pub fn write<T: Copy>(&mut self, offset: usize, value: T) {
        assert!(offset + size_of::<T>() <= self.size, "{} bytes at {offset} of {}", size_of::<T>(), self.size);
        // SAFETY: the bytes are inside this mapping, whose only owner is `self`.
        unsafe { self.as_ptr().add(offset).cast::<T>().write_unaligned(value) }
    }

    /// Writes `bytes` at `offset`.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn fill(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.size, "{} bytes at {offset} of {}", bytes.len(), self.size);
        // SAFETY: as in `write`.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.as_ptr().add(offset), bytes.len()) }
    }

    /// What is at `offset`: the plugin may have written it.
    ///
    /// # Panics
    /// When it would lie outside.
    pub fn read<T: Plain>(&self, offset: usize) -> T {
        assert!(offset + size_of::<T>() <= self.size, "{} bytes at {offset} of {}", size_of::<T>(), self.size);
        // SAFETY: inside this mapping, and any bits are a `T`.
        unsafe { self.as_ptr().add(offset).cast::<T>().read_unaligned() }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: this mapping is `self`'s own, and nothing is borrowed from it.
        let _ = unsafe { munmap(self.whole.cast(), self.whole_size) };
    }
}

/// Numbers for which every pattern of bits is a value.
pub trait Plain: Copy {}
impl Plain for f64 {}
impl Plain for i32 {}
