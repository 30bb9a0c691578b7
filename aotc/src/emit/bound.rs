//! Symbols that a linker resolves, in objects: the C functions that imports are bound to, and their recorded types.
//!
//! A function is called, through something of the linker's if it is far away or in another library; the address of a type
//! is loaded from the linker's table of addresses, where it is 0 if nothing defines the symbol. Both work in position
//! independent programs, static ones and libraries, and neither is a relocation of the text that is left to load time.

use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::Signature;
use cranelift_codegen::isa::CallConv;
use cranelift_module::{FuncId, FuncOrDataId, Linkage, Module, ModuleReloc};
use cranelift_object::{ObjectModule, ObjectProduct};

use super::{Parts, internal};
use crate::bind::{ExternalSymbol, SymbolBinding};
use crate::codegen::CompiledFunction;
use crate::error::Result;

/// Declares the symbols, in their order.
pub(super) fn declare(parts: &Parts<'_>, module: &mut ObjectModule) -> Result<Vec<FuncId>> {
    // Nothing in the object depends on it.
    let signature = Signature::new(CallConv::Tail);
    let declare = |symbol: &ExternalSymbol| {
        module
            .declare_function(&symbol.name, Linkage::Import, &signature)
            .map_err(|error| internal(&symbol.name, error))
    };
    parts.external.iter().map(declare).collect()
}

/// The relocations of a function's uses of symbols.
pub(super) fn relocations(
    function: &CompiledFunction,
    external: &[FuncId],
) -> impl Iterator<Item = ModuleReloc> {
    function.symbols.iter().map(move |site| ModuleReloc {
        offset: site.offset,
        kind: match site.kind {
            // The function may be in a library.
            Reloc::X86CallPCRel4 => Reloc::X86CallPLTRel4,
            kind => kind,
        },
        name: FuncOrDataId::Func(external[site.symbol as usize]).into(),
        addend: site.addend,
    })
}

/// Makes weak what may be absent.
pub(super) fn weaken(parts: &Parts<'_>, product: &mut ObjectProduct, external: &[FuncId]) {
    for (symbol, &id) in parts.external.iter().zip(external) {
        if symbol.binding == SymbolBinding::Weak {
            let symbol = product.function_symbol(id);
            product.object.symbol_mut(symbol).weak = true;
        }
    }
}
