//! The way into compiled code for calls that are the only ones on their thread, of functions of at most five parameters: a gate does
//! what is usual, and leaves to the callee's own functions what is not.
//!
//! ```text
//!   host --call--> gate --wasm call--> function          the callee is this thread's, which makes no other call
//!                   |---- call ------> adapter --jump--> function          and the function has floats among its parameters
//!                   |-- jump --> unusual                 it is not
//!                   '-- jump --> raised                  the function raised
//! ```
//!
//! A gate gets and gives the bits of values in integer registers. There are two, for results of either kind.
//!
//! What a thread does is one 64-bit number, the state: an odd number of its own while it makes no call, the address of the innermost
//! activation while it does, [`UNPREPARED`] before the first. A store has the number of the thread at which it was last called and can
//! be called again with nothing more to prepare (`Outermost::settle`), so that one comparison tells.
//!
//! The state is a variable of this assembly, in the block of thread-local memory whose place the program knows when it starts: Rust
//! has none that assembly could name. Its name is made of that of a function, which is the only one.
//!
//! # Safety
//!
//! Whoever calls a gate has a [`DirectCallee`] that has its address, whose store is alive and lent to it, and passes as many
//! arguments as the function has parameters.
#![allow(unsafe_code, reason = "assembly")]

use core::arch::naked_asm;
use core::cell::Cell;
use core::mem::offset_of;

use aotc_abi::vmctx::{ctx, store};

use super::adapters::{Class, adapter_for};
use crate::call::{DirectCallee, Gate};
use crate::prelude::*;
use crate::store::StoreOpaque;
use crate::types::FuncType;

/// As many arguments as there are registers for them, behind the callee's.
const ARGUMENTS_MAX: usize = 5;

/// The state of a thread that has not made a call yet.
pub(super) const UNPREPARED: u64 = 1;

/// The gate for functions of this type, which has direct calls. `None` if there are more arguments than registers.
pub(crate) fn gate_for(ty: &FuncType) -> Option<Gate> {
    if ty.params().len() > ARGUMENTS_MAX {
        return None;
    }
    let params: Vec<Class> = ty.params().map(Class::of).collect::<Option<_>>()?;
    let result = ty.results().next().map_or(Some(Class::Integer), Class::of)?;
    // SAFETY: they have no parameters and only give an address.
    let address = unsafe {
        match result {
            Class::Integer => gate_address(),
            Class::Float => float_gate_address(),
        }
    };
    let adapter = params.contains(&Class::Float).then(|| adapter_for(&params));
    Some(Gate { address, adapter })
}

/// Takes from the stack what a gate saved, but for the callee.
macro_rules! restore {
    () => {
        "pop r15\npop r14\npop r13\npop r12\npop rbx\npop rbp"
    };
}

/// Defines a gate, and a function that gives the address of its code. `$result` brings a function's result to where a C function has an
/// integer.
// The wasm call keeps what a C function keeps when it returns; a raise keeps nothing, so all of it is on the stack.
macro_rules! gate {
    ($(#[$about:meta])* $gate:ident, $address:ident, $result:literal) => {
        $(#[$about])*
        #[unsafe(naked)]
        unsafe extern "C" fn $gate() {
            naked_asm!(
                // In as few cache lines as it fits in.
                ".p2align 6",
                ".hidden {gate}.aligned",
                ".globl {gate}.aligned",
                "{gate}.aligned:",
                ".cfi_startproc",
                "mov r10, [rdi + {ctx}]",
                "mov r10, [r10 + {store}]",
                "mov rax, [rip + {state}.variable@gottpoff]",
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
                "mov rax, [rdi + {behind_gate}]",
                "mov r11, rdi",
                "mov rdi, [rdi + {ctx}]",
                "call rax",
                $result,
                "mov rcx, [rip + {state}.variable@gottpoff]",
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
                gate = sym $gate,
                state = sym state_address,
                ctx = const offset_of!(DirectCallee, ctx),
                behind_gate = const offset_of!(DirectCallee, behind_gate),
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

        /// Where the code begins.
        #[unsafe(naked)]
        unsafe extern "C" fn $address() -> u64 {
            naked_asm!("lea rax, [rip + {gate}.aligned]", "ret", gate = sym $gate)
        }
    };
}

gate! {
    /// For functions whose result is an integer, or that have none.
    gate, gate_address, ""
}

gate! {
    /// For functions whose result is a float.
    float_gate, float_gate_address, "movq rax, xmm0"
}

/// This thread's state.
#[unsafe(naked)]
unsafe extern "C" fn state_address() -> *const Cell<u64> {
    naked_asm!(
        ".hidden {state}.variable",
        ".globl {state}.variable",
        ".pushsection .tdata.{state}.variable, \"awT\", @progbits",
        ".p2align 3",
        ".type {state}.variable, @object",
        ".size {state}.variable, 8",
        "{state}.variable: .quad {unprepared}",
        ".popsection",
        "mov rax, fs:[0]",
        "add rax, [rip + {state}.variable@gottpoff]",
        "ret",
        state = sym state_address,
        unprepared = const UNPREPARED,
    )
}

/// Where this thread's state is, as long as the thread lives.
pub(super) fn state() -> *const Cell<u64> {
    // SAFETY: it has no parameters and only gives an address.
    unsafe { state_address() }
}
