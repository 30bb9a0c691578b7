//! The registers of an interrupted thread.
//!
//! Each file defines [`Registers`]' two functions and what is known in a prologue for its processor.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "riscv64")]
mod riscv64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as current;
#[cfg(target_arch = "riscv64")]
use riscv64 as current;
#[cfg(target_arch = "x86_64")]
use x86_64 as current;

pub(super) use current::{registers, resume_at, return_address_in_prologue};

/// The registers by which a thread is interrupted and resumed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registers {
    /// Program counter.
    pub(super) pc: u64,
    /// Stack pointer.
    pub(super) sp: u64,
    /// Frame pointer.
    pub(super) fp: u64,
}
