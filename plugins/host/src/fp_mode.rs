//! The floating-point mode of the calling thread: a plugin that changes rounding or flushes denormals would change every
//! number that comes after it.
#![allow(unsafe_code)]

/// The mode bits, without the sticky flags of past operations.
#[cfg(target_arch = "x86_64")]
pub(crate) fn get() -> u64 {
    let mut mxcsr = 0_u32;
    // SAFETY: stores the register into a local.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr, options(nostack, preserves_flags)) };
    u64::from(mxcsr & !0x3f)
}

/// Puts the mode bits back.
#[cfg(target_arch = "x86_64")]
pub(crate) fn set(mode: u64) {
    let mxcsr = mode as u32;
    // SAFETY: loads what `get` has read: valid bits.
    unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const mxcsr, options(nostack, readonly, preserves_flags)) };
}

/// The mode bits.
#[cfg(target_arch = "aarch64")]
pub(crate) fn get() -> u64 {
    let fpcr: u64;
    // SAFETY: reads a register.
    unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) fpcr, options(nomem, nostack, preserves_flags)) };
    fpcr
}

/// Puts the mode bits back.
#[cfg(target_arch = "aarch64")]
pub(crate) fn set(mode: u64) {
    // SAFETY: writes what `get` has read: valid bits.
    unsafe { std::arch::asm!("msr fpcr, {}", in(reg) mode, options(nomem, nostack, preserves_flags)) };
}

/// Not looked at on this processor.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn get() -> u64 {
    0
}

/// Not looked at on this processor.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn set(_mode: u64) {}
