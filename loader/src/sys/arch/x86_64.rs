//! x86-64.
//!
//! # Safety
//!
//! [`registers`] and [`resume_at`] are called with the context that the kernel gave to a signal handler.
#![allow(unsafe_code, reason = "signal contexts")]

use super::Registers;

/// The interrupted thread's registers.
///
/// # Safety
/// `context` is what the kernel gave to the running signal handler.
pub(in crate::sys) unsafe fn registers(context: *const libc::ucontext_t) -> Registers {
    // SAFETY: the caller's promise.
    let gregs = unsafe { &(*context).uc_mcontext.gregs };
    Registers {
        pc: gregs[libc::REG_RIP as usize] as u64,
        sp: gregs[libc::REG_RSP as usize] as u64,
        fp: gregs[libc::REG_RBP as usize] as u64,
    }
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
    // SAFETY: the caller's promise; before the first instruction, `push rbp`, the stack pointer is at what the call
    // pushed.
    (offset == 0).then(|| unsafe { (registers(context).sp as *const u64).read() })
}

/// Makes the thread go on at `registers`, with both payload registers 0, when the handler returns.
///
/// # Safety
/// `context` is what the kernel gave to the running signal handler, and the thread can go on there.
pub(in crate::sys) unsafe fn resume_at(context: *mut libc::ucontext_t, registers: Registers) {
    // SAFETY: the caller's promise.
    let gregs = unsafe { &mut (*context).uc_mcontext.gregs };
    gregs[libc::REG_RIP as usize] = registers.pc as i64;
    gregs[libc::REG_RSP as usize] = registers.sp as i64;
    gregs[libc::REG_RBP as usize] = registers.fp as i64;
    gregs[libc::REG_RAX as usize] = 0;
    gregs[libc::REG_RDX as usize] = 0;
}
