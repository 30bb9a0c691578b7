//! Leaving wasm: sets stack pointer, frame pointer and program counter to those of the innermost entry.
//!
//! # Safety
//!
//! [`raise`] is only called by trampolines of compiled code, when an entry is active: then the entry fields of
//! the store lead to a frame that is still on the stack.
#![allow(unsafe_code, reason = "assembly")]

use core::arch::naked_asm;

use aotc_abi::vmctx::{VmStoreCtx, store};

/// Resumes at the handler of the innermost entry, with both payload registers 0.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn raise(store: *mut VmStoreCtx) -> ! {
    naked_asm!(
        "mov rcx, [rdi + {handler}]",
        "mov rsp, [rdi + {sp}]",
        "mov rbp, [rdi + {fp}]",
        "xor eax, eax",
        "xor edx, edx",
        "jmp rcx",
        handler = const store::ENTRY_HANDLER.offset,
        sp = const store::ENTRY_SP.offset,
        fp = const store::ENTRY_FP.offset,
    )
}

/// Resumes at the handler of the innermost entry, with both payload registers 0.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn raise(store: *mut VmStoreCtx) -> ! {
    naked_asm!(
        "ldr x9, [x0, {handler}]",
        "ldr x10, [x0, {sp}]",
        "ldr x29, [x0, {fp}]",
        "mov sp, x10",
        "mov x0, #0",
        "mov x1, #0",
        "br x9",
        handler = const store::ENTRY_HANDLER.offset,
        sp = const store::ENTRY_SP.offset,
        fp = const store::ENTRY_FP.offset,
    )
}

/// Resumes at the handler of the innermost entry, with both payload registers 0.
#[cfg(target_arch = "riscv64")]
#[unsafe(naked)]
unsafe extern "C" fn raise(store: *mut VmStoreCtx) -> ! {
    naked_asm!(
        "ld t0, {handler}(a0)",
        "ld sp, {sp}(a0)",
        "ld s0, {fp}(a0)",
        "li a0, 0",
        "li a1, 0",
        "jr t0",
        handler = const store::ENTRY_HANDLER.offset,
        sp = const store::ENTRY_SP.offset,
        fp = const store::ENTRY_FP.offset,
    )
}

/// Address of `extern "C" fn raise(store: *mut VmStoreCtx) -> !`: resumes at the handler of the innermost entry.
pub(crate) fn raise_address() -> u64 {
    raise as *const () as u64
}
