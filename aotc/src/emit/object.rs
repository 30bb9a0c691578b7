//! Relocatable objects, through `cranelift-object`: what all formats have.
//!
//! ```text
//!                    ELF               COFF            Mach-O
//!   code, a piece    .text.*           .text$*         a symbol in __TEXT,__text      local symbols
//!   module data      .rodata.aotc      .rdata$aotc     __TEXT,__aotc                  aotc_module_<name>, exported
//!   unwinding        .eh_frame         .pdata .xdata   __TEXT,__eh_frame  __LD,__compact_unwind
//! ```
//!
//! Calls, code offsets in the module data, and the places of code in the unwind tables each carry a relocation. The module
//! data refers to the code, so a linker that collects garbage keeps both or neither. All relocations of code and module
//! data are distances to symbols of the object: what is linked from them has neither text relocations nor dynamic ones.

use std::borrow::Cow;

use ::object::write::{Object, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use ::object::{RelocationFlags, SymbolFlags, SymbolKind, SymbolScope};
use aotc_abi::symbol::descriptor_symbol;
use cranelift_codegen::ir::Signature;
use cranelift_codegen::isa::{self, CallConv, OwnedTargetIsa, TargetIsa};
use cranelift_module::{FuncOrDataId, Module, ModuleReloc, default_libcall_names};
use cranelift_object::{ObjectBuilder, ObjectModule};

use super::{FinishedData, Format, Parts, bound, coff_object, elf_object, internal, mach_o_object};
use crate::error::Result;

/// The object with these parts.
pub(super) fn write(mut parts: Parts<'_>) -> Result<Vec<u8>> {
    let mut draft = Draft::with_code(&parts)?;
    let data = std::mem::take(&mut parts.data);
    let data = FinishedData::finish(data, parts.target.page_bytes())?;
    match parts.format {
        Format::Elf => {
            elf_object::add_module_data(&parts, &mut draft, data)?;
            elf_object::add_unwind(&parts, &mut draft)?;
        }
        Format::MachO => {
            mach_o_object::add_module_data(&parts, &mut draft, data)?;
            mach_o_object::add_unwind(&parts, &mut draft)?;
            mach_o_object::add_version(&parts, &mut draft);
        }
        Format::Coff => {
            coff_object::add_module_data(&parts, &mut draft, data)?;
            coff_object::add_unwind(&parts, &mut draft)?;
        }
    }
    draft.object.write().map_err(|error| internal("the object", error))
}

/// An object that is being made.
pub(super) struct Draft {
    pub(super) object: Object<'static>,
    /// The symbol of each piece of code.
    pub(super) code: Vec<SymbolId>,
}

/// A field that a linker fills in.
pub(super) struct Field {
    pub(super) section: SectionId,
    /// Where it is, in bytes from the start of the section.
    pub(super) at: u32,
    /// Added to what it refers to.
    pub(super) addend: i64,
}

impl Draft {
    /// An object with the code.
    fn with_code(parts: &Parts<'_>) -> Result<Self> {
        let isa = same_triple(parts.isa)?;
        let mut builder = ObjectBuilder::new(isa, parts.name.as_bytes(), default_libcall_names())
            .map_err(|error| internal("the object", error))?;
        builder.per_function_section(true);
        let mut module = ObjectModule::new(builder);
        // Nothing in the object depends on the signature. Names come later: here they had to be distinct.
        let signature = Signature::new(CallConv::Tail);
        let declare = |symbol: &String| {
            module.declare_anonymous_function(&signature).map_err(|error| internal(symbol, error))
        };
        let functions = parts.symbols.iter().map(declare).collect::<Result<Vec<_>>>()?;
        let external = bound::declare(parts, &mut module)?;
        for ((function, symbol), &id) in parts.functions.iter().zip(&parts.symbols).zip(&functions)
        {
            let relocs: Vec<_> = (function.calls.iter())
                .map(|call| ModuleReloc {
                    offset: call.offset,
                    kind: call.kind,
                    name: FuncOrDataId::Func(functions[call.target.0 as usize]).into(),
                    addend: call.addend,
                })
                .chain(bound::relocations(parts, function, &external))
                .collect();
            module
                .define_function_bytes(
                    id,
                    parts.code_align(function).into(),
                    &function.code,
                    &relocs,
                )
                .map_err(|error| internal(symbol, error))?;
        }
        let mut product = module.finish();
        let external: Vec<_> = external.iter().map(|&id| product.function_symbol(id)).collect();
        let code: Vec<_> = functions.iter().map(|&id| product.function_symbol(id)).collect();
        for (&id, symbol) in code.iter().zip(&parts.symbols) {
            let prefix = match parts.format {
                Format::MachO => "_",
                Format::Elf | Format::Coff => "",
            };
            // One program may have several modules.
            let name = format!("{prefix}{}::{symbol}", parts.name);
            product.object.symbol_mut(id).name = name.into_bytes();
        }
        let mut draft = Self { object: product.object, code };
        bound::weaken(parts, &mut draft, &external);
        bound::add_page_relocations(parts, &mut draft, &external)?;
        Ok(draft)
    }

    /// Fills `section` with the module data, and gives back its exported symbol.
    pub(super) fn define_module_data(
        &mut self,
        parts: &Parts<'_>,
        section: SectionId,
        data: Vec<u8>,
    ) -> SymbolId {
        let size = data.len() as u64;
        let page_bytes = parts.target.page_bytes();
        self.object.set_section_data(section, Cow::Owned(data), page_bytes.into());
        self.object.add_symbol(Symbol {
            name: descriptor_symbol(&parts.name).into_bytes(),
            value: 0,
            size,
            kind: SymbolKind::Data,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        })
    }

    /// Has the linker put something about `symbol` into `field`.
    pub(super) fn relocate(
        &mut self,
        field: &Field,
        symbol: SymbolId,
        flags: RelocationFlags,
    ) -> Result<()> {
        let relocation = relocation(field, symbol, flags);
        let added = self.object.add_relocation(field.section, relocation);
        added.map_err(|error| internal("the object", error))
    }

    /// Has the linker put the distance from `start` to `symbol` into `field`; only Mach-O has such relocations.
    pub(super) fn relocate_difference(
        &mut self,
        field: &Field,
        symbol: SymbolId,
        start: SymbolId,
        flags: RelocationFlags,
    ) -> Result<()> {
        let relocation = relocation(field, symbol, flags);
        self.object
            .add_relocation_with_subtractor(field.section, relocation, Some(start))
            .map_err(|error| internal("the object", error))
    }
}

fn relocation(field: &Field, symbol: SymbolId, flags: RelocationFlags) -> Relocation {
    Relocation { offset: field.at.into(), symbol, addend: field.addend, flags }
}

/// An ISA that can be shared: `cranelift-object` asks it for the triple and what follows from it.
fn same_triple(isa: &dyn TargetIsa) -> Result<OwnedTargetIsa> {
    let builder =
        isa::lookup(isa.triple().clone()).map_err(|error| internal("the object", error))?;
    builder.finish(isa.flags().clone()).map_err(|error| internal("the object", error))
}
