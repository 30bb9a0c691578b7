//! Symbols that a linker resolves, in objects: the C functions that imports are bound to, and their recorded types.
//!
//! ```text
//!                           ELF                         Mach-O               COFF
//!   call of a function      PLT32     CALL26            BRANCH   BRANCH26    REL32   BRANCH26
//!   address of a type       a load from the linker's    the distance to it, which code adds up
//!                           table of addresses
//!   type nobody records     a weak symbol, which is     a weak definition, which is
//!                           undefined here: 0           here: an empty string
//! ```
//!
//! A function is called through something of the linker's if it is far away or in another library. All of this works in
//! position independent programs, static ones and libraries, and none of it is a relocation of the text that is left to load
//! time. Linkers for Mach-O refuse symbols that nobody defines, weak or not, and those for COFF have no table of addresses.

use ::object::write::{StandardSection, SymbolId, SymbolSection};
use ::object::{RelocationFlags, SymbolKind, SymbolScope, pe};
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::Signature;
use cranelift_codegen::isa::CallConv;
use cranelift_module::{FuncId, FuncOrDataId, Linkage, Module, ModuleReloc};
use cranelift_object::ObjectModule;

use super::object::{Draft, Field};
use super::{Format, Parts, internal};
use crate::bind::{ExternalKind, ExternalSymbol};
use crate::codegen::{CompiledFunction, SymbolSite};
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

/// The relocations of a function's uses of symbols, but for those that [`add_page_relocations`] adds.
pub(super) fn relocations(
    parts: &Parts<'_>,
    function: &CompiledFunction,
    external: &[FuncId],
) -> impl Iterator<Item = ModuleReloc> {
    let sites = function.symbols.iter();
    let sites = sites.filter(|site| page_relocation(parts.format, site.kind).is_none());
    sites.map(|site| ModuleReloc {
        offset: site.offset,
        kind: match (parts.external[site.symbol as usize].kind, site.kind) {
            // The function may be in a library.
            (ExternalKind::Function, Reloc::X86CallPCRel4) => Reloc::X86CallPLTRel4,
            (ExternalKind::Type, Reloc::X86CallPCRel4) => Reloc::X86PCRel4,
            (ExternalKind::Function | ExternalKind::Type, kind) => kind,
        },
        name: FuncOrDataId::Func(external[site.symbol as usize]).into(),
        addend: site.addend,
    })
}

/// Lets types be absent.
pub(super) fn weaken(parts: &Parts<'_>, draft: &mut Draft, external: &[SymbolId]) {
    for (symbol, &id) in parts.external.iter().zip(external) {
        if symbol.kind != ExternalKind::Type {
            continue;
        }
        draft.object.symbol_mut(id).weak = true;
        match parts.format {
            Format::Elf => {}
            Format::MachO | Format::Coff => define_empty(draft, id),
        }
    }
}

/// Defines a symbol as an empty string, unless another object does better.
fn define_empty(draft: &mut Draft, id: SymbolId) {
    let section = draft.object.section_id(StandardSection::ReadOnlyData);
    let value = draft.object.append_section_data(section, &[0], 1);
    let symbol = draft.object.symbol_mut(id);
    symbol.section = SymbolSection::Section(section);
    (symbol.value, symbol.size) = (value, 1);
    (symbol.kind, symbol.scope) = (SymbolKind::Data, SymbolScope::Linkage);
}

/// Adds the relocations that `cranelift-object` has not.
pub(super) fn add_page_relocations(
    parts: &Parts<'_>,
    draft: &mut Draft,
    external: &[SymbolId],
) -> Result<()> {
    for (index, function) in parts.functions.iter().enumerate() {
        for &SymbolSite { offset, kind, symbol, addend } in &function.symbols {
            let Some(typ) = page_relocation(parts.format, kind) else { continue };
            let code = draft.object.symbol(draft.code[index]);
            let section = code.section.id().expect("code is in a section");
            let field = Field { section, at: code.value as u32 + offset, addend };
            draft.relocate(&field, external[symbol as usize], RelocationFlags::Coff { typ })?;
        }
    }
    Ok(())
}

/// The number in COFF of the relocation of an instruction that has a part of an address on AArch64: its page, or its place
/// in the page.
fn page_relocation(format: Format, kind: Reloc) -> Option<u16> {
    match (format, kind) {
        (Format::Coff, Reloc::Aarch64AdrPrelPgHi21) => Some(pe::IMAGE_REL_ARM64_PAGEBASE_REL21),
        (Format::Coff, Reloc::Aarch64AddAbsLo12Nc) => Some(pe::IMAGE_REL_ARM64_PAGEOFFSET_12A),
        _ => None,
    }
}
