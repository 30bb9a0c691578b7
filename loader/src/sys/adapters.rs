//! Between the gate and functions with floats among their parameters. The gate has all arguments in integer registers, in order;
//! a function has its integers in these, in order, and its floats in others, in order. For each order of five of the two there is an
//! adapter that moves them and jumps to the function.
//!
//! ```text
//!   adapters   +0    integer, integer, integer, integer, integer
//!              +32   float,   integer, integer, integer, integer      (f64, i32): xmm0 <- rsi,  rsi <- rdx,  rdx <- ...
//!              +64   integer, float,   integer, integer, integer
//!              +96   float,   float,   integer, integer, integer
//!              ...
//! ```
//!
//! Behind a function's last parameter nothing matters; integers are moved there, which costs least. An adapter has no frame, and the
//! function returns to the gate, so that raises and traces never meet one.
//!
//! # Safety
//!
//! Only a gate goes to an adapter, with the address of the [`DirectCallee`] in `r11`.
#![allow(unsafe_code, reason = "assembly")]

use core::arch::naked_asm;
use core::mem::offset_of;

use crate::call::DirectCallee;
use crate::types::ValType;

/// Where a function has an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Integer,
    Float,
}

impl Class {
    /// `None` for vectors.
    pub(super) fn of(ty: ValType) -> Option<Self> {
        match ty {
            ValType::I32 | ValType::I64 | ValType::Ref(_) => Some(Self::Integer),
            ValType::F32 | ValType::F64 => Some(Self::Float),
            ValType::V128 => None,
        }
    }
}

/// From an adapter to the next: none is longer, or in two cache lines.
const ADAPTER_BYTES: usize = 32;

/// As many orders as there are of five parameters.
const ADAPTERS: usize = 32;

/// Address of the adapter for parameters of these classes, at most five. It finds the address of the [`DirectCallee`] in `r11`, and keeps
/// what is in `rdi`.
pub(super) fn adapter_for(params: &[Class]) -> u64 {
    let ordinal = params.iter().rev().fold(0, |ordinal, class| match class {
        Class::Integer => 2 * ordinal,
        Class::Float => 2 * ordinal + 1,
    });
    // SAFETY: it has no parameters and only gives an address.
    unsafe { adapters_address() + ordinal * ADAPTER_BYTES as u64 }
}

/// Moves arguments to where a function has parameters of these classes: given are the classes, the registers in which the
/// arguments are, and those that the next integers and floats go to.
macro_rules! moves {
    // Before the first float, integers are where they should be.
    ([Integer $($class:ident)*] $register:literal $($registers:literal)*) => {
        moves!([$($class)*] $($registers)*)
    };
    ([$($class:ident)*] $($register:literal)*) => {
        moves!([$($class)*] [$($register)*] [$($register)*] ["xmm0" "xmm1" "xmm2" "xmm3" "xmm4"])
    };
    ([] [] $integers:tt $floats:tt) => { "" };
    (
        [Integer $($class:ident)*] [$from:literal $($others:literal)*]
        [$to:literal $($integers:literal)*] $floats:tt
    ) => {
        concat!(
            "mov ", $to, ", ", $from, "\n",
            moves!([$($class)*] [$($others)*] [$($integers)*] $floats)
        )
    };
    (
        [Float $($class:ident)*] [$from:literal $($others:literal)*]
        $integers:tt [$to:literal $($floats:literal)*]
    ) => {
        concat!(
            "movq ", $to, ", ", $from, "\n",
            moves!([$($class)*] [$($others)*] $integers [$($floats)*])
        )
    };
}

/// The adapters for parameters of either class, one for each number, and then these classes.
macro_rules! adapters {
    ([$($class:ident)*]) => {
        concat!(
            ".balign {adapter_bytes}\n",
            moves!([$($class)*] "rsi" "rdx" "rcx" "r8" "r9"),
            "jmp [r11 + {code}]\n"
        )
    };
    ([$($class:ident)*] $number:literal $($others:literal)*) => {
        concat!(
            adapters!([Integer $($class)*] $($others)*),
            adapters!([Float $($class)*] $($others)*)
        )
    };
}

#[unsafe(naked)]
unsafe extern "C" fn adapters() {
    naked_asm!(
        ".balign {adapter_bytes}",
        ".hidden {adapters}.first",
        ".globl {adapters}.first",
        "{adapters}.first:",
        ".cfi_startproc",
        adapters!([] 1 2 3 4 5),
        // Does not assemble if one is longer.
        ".org {adapters}.first + {adapters_bytes}",
        ".cfi_endproc",
        adapters = sym adapters,
        adapter_bytes = const ADAPTER_BYTES,
        adapters_bytes = const ADAPTERS * ADAPTER_BYTES,
        code = const offset_of!(DirectCallee, code),
    )
}

/// Where the adapters begin.
#[unsafe(naked)]
unsafe extern "C" fn adapters_address() -> u64 {
    naked_asm!("lea rax, [rip + {adapters}.first]", "ret", adapters = sym adapters)
}
