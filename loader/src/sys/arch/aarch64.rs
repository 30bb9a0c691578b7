//! 64-bit Arm.
//!
//! # Safety
//!
//! As in `x86_64.rs`.
#![allow(unsafe_code, reason = "signal contexts")]

use super::Registers;

/// The interrupted thread's registers.
///
/// # Safety
/// `context` is what the kernel gave to the running signal handler.
pub(in crate::sys) unsafe fn registers(context: *const libc::ucontext_t) -> Registers {
    // SAFETY: the caller's promise.
    let machine = unsafe { &(*context).uc_mcontext };
    Registers { pc: machine.pc, sp: machine.sp, fp: machine.regs[29] }
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
    /// A landing pad or signing, then the store of both registers.
    const BEFORE_FRAME_BYTES: u32 = 8;
    const LINK_REGISTER: usize = 30;
    // SAFETY: the caller's promise.
    let machine = unsafe { &(*context).uc_mcontext };
    (offset < BEFORE_FRAME_BYTES).then_some(machine.regs[LINK_REGISTER])
}

/// Makes the thread go on at `registers`, with both payload registers 0, when the handler returns.
///
/// # Safety
/// `context` is what the kernel gave to the running signal handler, and the thread can go on there.
pub(in crate::sys) unsafe fn resume_at(context: *mut libc::ucontext_t, registers: Registers) {
    // SAFETY: the caller's promise.
    let machine = unsafe { &mut (*context).uc_mcontext };
    machine.pc = registers.pc;
    machine.sp = registers.sp;
    machine.regs[29] = registers.fp;
    machine.regs[0] = 0;
    machine.regs[1] = 0;
}
