//! 64-bit RISC-V.
//!
//! # Safety
//!
//! As in `x86_64.rs`.
#![allow(unsafe_code, reason = "signal contexts")]

use super::Registers;

/// Places in the kernel's general registers; place 0 holds the program counter.
const PC: usize = 0;
const RA: usize = 1;
const SP: usize = 2;
const S0: usize = 8;
const A0: usize = 10;
const A1: usize = 11;

/// The interrupted thread's registers.
///
/// # Safety
/// `context` is what the kernel gave to the running signal handler.
pub(in crate::sys) unsafe fn registers(context: *const libc::ucontext_t) -> Registers {
    // SAFETY: the caller's promise.
    let gregs = unsafe { &(*context).uc_mcontext.__gregs };
    Registers { pc: gregs[PC], sp: gregs[SP], fp: gregs[S0] }
}

/// The return address of a function that is interrupted at `offset` bytes, before it has a frame; `None` behind
/// its prologue.
///
/// # Safety
/// `context` is what the kernel gave to the running signal handler, and a function was interrupted.
pub(in crate::sys) unsafe fn return_address_in_prologue(
    context: *const libc::ucontext_t,
    offset: u32,
) -> Option<u64> {
    /// The stack pointer's adjustment and two stores.
    const BEFORE_FRAME_BYTES: u32 = 12;
    // SAFETY: the caller's promise.
    let gregs = unsafe { &(*context).uc_mcontext.__gregs };
    (offset < BEFORE_FRAME_BYTES).then_some(gregs[RA])
}

/// Makes the thread go on at `registers`, with both payload registers 0, when the handler returns.
///
/// # Safety
/// `context` is what the kernel gave to the running signal handler, and the thread can go on there.
pub(in crate::sys) unsafe fn resume_at(context: *mut libc::ucontext_t, registers: Registers) {
    // SAFETY: the caller's promise.
    let gregs = unsafe { &mut (*context).uc_mcontext.__gregs };
    gregs[PC] = registers.pc;
    gregs[SP] = registers.sp;
    gregs[S0] = registers.fp;
    gregs[A0] = 0;
    gregs[A1] = 0;
}
