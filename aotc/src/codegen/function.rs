//! A compiled piece of code, as the writers of artifacts need it.

use aotc_abi::trap::TrapKind;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::isa::unwind::UnwindInfo;

use super::prologue::Prologue;
use crate::plan::CodeId;

/// Machine code of one function or trampoline, and what must be known about it.
#[derive(Debug)]
pub(crate) struct CompiledFunction {
    /// Machine code, constants included.
    pub(crate) code: Vec<u8>,
    /// Alignment it needs, in bytes.
    pub(crate) align: u32,
    /// Calls of other pieces of code.
    pub(crate) calls: Vec<CallSite>,
    /// Uses of symbols that a linker resolves.
    pub(crate) symbols: Vec<SymbolSite>,
    /// Sites that trap by an instruction made for it, by ascending offset. Memory accesses are not
    /// among them.
    pub(crate) traps: Vec<(u32, TrapKind)>,
    /// Code offset and offset in the wasm file, by ascending code offset: of the last bytes of calls
    /// and of instructions that can trap.
    pub(crate) addresses: Vec<(u32, u32)>,
    /// How to unwind it, by DWARF's rules; always [`UnwindInfo::SystemV`].
    pub(crate) unwind: Option<UnwindInfo>,
    /// What its prologue does, for unwind information by other rules.
    pub(crate) prologue: Prologue,
    /// Machine code as text, if it was asked for.
    pub(crate) listing: Option<String>,
}

/// A call of a symbol, or a load of its address from a table of the linker's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SymbolSite {
    /// Where the relocated field is, from the start of the code.
    pub(crate) offset: u32,
    /// What kind of field.
    pub(crate) kind: Reloc,
    /// Which: a place in [`crate::bind::symbols`].
    pub(crate) symbol: u32,
    /// Added to the address.
    pub(crate) addend: i64,
}

/// A direct call or a taking of an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallSite {
    /// Where the relocated field is, from the start of the code.
    pub(crate) offset: u32,
    /// What kind of field.
    pub(crate) kind: Reloc,
    /// What it leads to.
    pub(crate) target: CodeId,
    /// Added to the target's address.
    pub(crate) addend: i64,
}
