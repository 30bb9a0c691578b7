//! The stack pointer.
//!
//! # Safety
//!
//! The assembly only reads a register.
#![allow(unsafe_code, reason = "a register that Rust has no name for")]

use core::arch::asm;

/// The stack pointer of the caller, or a little less. Not the address of a local variable: a memory checker may keep those
/// elsewhere.
#[inline(always)]
pub(super) fn stack_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: only reads a register.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "riscv64")]
        asm!("mv {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}
