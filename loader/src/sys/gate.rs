//! The way into compiled code for calls that are the only ones on their thread, of functions whose values are integers in
//! registers: [`gate`] does what is usual, and leaves to the callee's own functions what is not.
//!
//! ```text
//!   host --call--> gate --wasm call--> function          the callee is this thread's, which makes no other call
//!                   |-- jump --> unusual                 it is not
//!                   '-- jump --> raised                  the function raised
//! ```
//!
//! What a thread does is one 64-bit number, the state: an odd number of its own while it makes no call, the address of the innermost
//! activation while it does, [`UNPREPARED`] before the first. A store has the number of the thread at which it was last called and can
//! be called again with nothing more to prepare (`Outermost::settle`), so that one comparison tells.
//!
//! The state is a variable of this assembly, in the block of thread-local memory whose place the program knows when it starts: Rust
//! has none that assembly could name. Its name is made of the function's, which is the only one.
//!
//! # Safety
//!
//! Whoever calls [`gate`] has a [`DirectCallee`] whose store is alive and lent to it, and passes as many arguments as
//! the function has parameters, at most [`ARGUMENTS_MAX`] integers.
#![allow(unsafe_code, reason = "assembly")]

use core::arch::naked_asm;
use core::cell::Cell;
use core::mem::offset_of;

use aotc_abi::vmctx::{ctx, store};

use crate::call::DirectCallee;
use crate::store::StoreOpaque;

/// As many arguments as there are registers for them, behind the callee's.
const ARGUMENTS_MAX: usize = 5;

/// The state of a thread that has not made a call yet.
pub(super) const UNPREPARED: u64 = 1;

/// Address of the gate for functions that have so many arguments, all integers, and at most one result, an integer: `extern "C"
/// fn(callee: &DirectCallee, arguments: u64...) -> Called`, the bits of a result of 32 bits with anything above them.
pub(crate) fn gate_for(arguments: usize) -> Option<u64> {
    // SAFETY: it has no parameters and only gives an address.
    (arguments <= ARGUMENTS_MAX).then(|| unsafe { aligned_address() })
}

/// Takes from the stack what [`gate`] saved, but for the callee.
macro_rules! restore {
    () => {
        "pop r15\npop r14\npop r13\npop r12\npop rbx\npop rbp"
    };
}

// The wasm call keeps what a C function keeps when it returns; a raise keeps nothing, so all of it is on the stack.
#[unsafe(naked)]
unsafe extern "C" fn gate() {
    naked_asm!(
        ".hidden {gate}.state",
        ".globl {gate}.state",
        ".pushsection .tdata.{gate}.state, \"awT\", @progbits",
        ".p2align 3",
        ".type {gate}.state, @object",
        ".size {gate}.state, 8",
        "{gate}.state: .quad {unprepared}",
        ".popsection",
        // In as few cache lines as it fits in.
        ".p2align 6",
        ".hidden {gate}.aligned",
        ".globl {gate}.aligned",
        "{gate}.aligned:",
        ".cfi_startproc",
        "mov r10, [rdi + {ctx}]",
        "mov r10, [r10 + {store}]",
        "mov rax, [rip + {gate}.state@gottpoff]",
        "mov r11, fs:[rax]",
        "cmp r11, [r10 + {home}]",
        "jne 2f",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        ".cfi_offset rbx, -24",
        ".cfi_offset r12, -32",
        ".cfi_offset r13, -40",
        ".cfi_offset r14, -48",
        ".cfi_offset r15, -56",
        "push rdi",
        "mov rbx, r10",
        "mov r12, r11",
        "lea r11, [r10 + {outermost}]",
        "mov fs:[rax], r11",
        "mov [r10 + {entry_sp}], rsp",
        "mov [r10 + {entry_fp}], rbp",
        "lea r11, [rip + 3f]",
        "mov [r10 + {entry_handler}], r11",
        "mov r11, [rdi + {code}]",
        "mov rdi, [rdi + {ctx}]",
        "call r11",
        "mov rcx, [rip + {gate}.state@gottpoff]",
        "mov fs:[rcx], r12",
        "mov qword ptr [rbx + {entry_fp}], 0",
        "xor edx, edx",
        "add rsp, 8",
        restore!(),
        ".cfi_remember_state",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_restore_state",
        "3:",
        "pop rdi",
        restore!(),
        ".cfi_def_cfa rsp, 8",
        "jmp [rdi + {raised}]",
        "2:",
        "jmp [rdi + {unusual}]",
        ".cfi_endproc",
        gate = sym gate,
        unprepared = const UNPREPARED,
        ctx = const offset_of!(DirectCallee, ctx),
        code = const offset_of!(DirectCallee, code),
        unusual = const offset_of!(DirectCallee, unusual),
        raised = const offset_of!(DirectCallee, raised),
        store = const ctx::STORE.offset,
        home = const offset_of!(StoreOpaque, obstacles.home),
        outermost = const offset_of!(StoreOpaque, outermost),
        entry_sp = const store::ENTRY_SP.offset,
        entry_fp = const store::ENTRY_FP.offset,
        entry_handler = const store::ENTRY_HANDLER.offset,
    )
}

/// Where the code of [`gate`] begins.
#[unsafe(naked)]
unsafe extern "C" fn aligned_address() -> u64 {
    naked_asm!("lea rax, [rip + {gate}.aligned]", "ret", gate = sym gate)
}

/// This thread's state.
#[unsafe(naked)]
unsafe extern "C" fn state_address() -> *const Cell<u64> {
    naked_asm!(
        "mov rax, fs:[0]",
        "add rax, [rip + {gate}.state@gottpoff]",
        "ret",
        gate = sym gate,
    )
}

/// Where this thread's state is, as long as the thread lives.
pub(super) fn state() -> *const Cell<u64> {
    // SAFETY: it has no parameters and only gives an address.
    unsafe { state_address() }
}
