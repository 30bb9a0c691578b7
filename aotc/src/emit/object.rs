//! Relocatable objects, through `cranelift-object`.
//!
//! ```text
//!   .text.*          one section per piece of code, calls relocated      local symbols
//!   .rodata.aotc     module data; each code offset relocated             aotc_module_<name>, exported
//!   .eh_frame        each frame description entry relocated
//! ```
//!
//! The module data refers to the code, so a linker that collects garbage keeps both or neither. All
//! of these relocations are distances to local symbols: what is linked from them has neither
//! text relocations nor dynamic ones.

use std::borrow::Cow;

use ::object::write::{Object, Relocation, SectionId, StandardSection, Symbol, SymbolSection};
use ::object::{
    RelocationEncoding, RelocationFlags, RelocationKind, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};
use aotc_abi::symbol::{MODULE_DATA_SECTION, descriptor_symbol};
use cranelift_codegen::ir::Signature;
use cranelift_codegen::isa::{self, CallConv, OwnedTargetIsa, TargetIsa};
use cranelift_module::{FuncId, FuncOrDataId, Module, ModuleReloc, default_libcall_names};
use cranelift_object::{ObjectBuilder, ObjectModule, ObjectProduct};

use super::{Parts, internal};
use crate::error::Result;

/// The object with these parts.
pub(super) fn write(mut parts: Parts<'_>) -> Result<Vec<u8>> {
    let (mut product, functions) = define_functions(&parts)?;
    for (&id, symbol) in functions.iter().zip(&parts.symbols) {
        let symbol_id = product.function_symbol(id);
        product.object.symbol_mut(symbol_id).name = symbol.clone().into_bytes();
    }
    add_module_data(&mut parts, &mut product, &functions)?;
    add_eh_frame(&parts, &mut product, &functions)?;
    product.object.write().map_err(|error| internal("the object", error))
}

/// An object with the code; the function of each piece of it.
fn define_functions(parts: &Parts<'_>) -> Result<(ObjectProduct, Vec<FuncId>)> {
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
    for ((function, symbol), &id) in parts.functions.iter().zip(&parts.symbols).zip(&functions) {
        let relocs: Vec<_> = (function.calls.iter())
            .map(|call| ModuleReloc {
                offset: call.offset,
                kind: call.kind,
                name: FuncOrDataId::Func(functions[call.target.0 as usize]).into(),
                addend: call.addend,
            })
            .collect();
        module
            .define_function_bytes(id, parts.code_align(function).into(), &function.code, &relocs)
            .map_err(|error| internal(symbol, error))?;
    }
    Ok((module.finish(), functions))
}

/// An ISA that can be shared: `cranelift-object` asks it for the triple and what follows from it.
fn same_triple(isa: &dyn TargetIsa) -> Result<OwnedTargetIsa> {
    let builder =
        isa::lookup(isa.triple().clone()).map_err(|error| internal("the object", error))?;
    builder.finish(isa.flags().clone()).map_err(|error| internal("the object", error))
}

fn add_module_data(
    parts: &mut Parts<'_>,
    product: &mut ObjectProduct,
    functions: &[FuncId],
) -> Result<()> {
    let data = std::mem::take(&mut parts.data);
    let data_bytes = data.len() as u64;
    let object = &mut product.object;
    let section = object.add_section(
        Vec::new(),
        MODULE_DATA_SECTION.as_bytes().to_vec(),
        SectionKind::ReadOnlyData,
    );
    object.set_section_data(section, Cow::Owned(data), parts.target.page_bytes().into());
    object.add_symbol(Symbol {
        name: descriptor_symbol(&parts.name).into_bytes(),
        value: 0,
        size: data_bytes,
        kind: SymbolKind::Data,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    for offset in &parts.data_code {
        // A code offset counts from the start of the module data, a relocation from its field.
        let place = Place { section, at: offset.at.into(), addend: offset.at.into() };
        relocate(product, place, functions[offset.code as usize])?;
    }
    Ok(())
}

fn add_eh_frame(
    parts: &Parts<'_>,
    product: &mut ObjectProduct,
    functions: &[FuncId],
) -> Result<()> {
    if parts.eh_frame.addresses.is_empty() {
        return Ok(());
    }
    let section = product.object.section_id(StandardSection::EhFrame);
    product.object.append_section_data(section, &parts.eh_frame.bytes, 8);
    for address in &parts.eh_frame.addresses {
        let place = Place { section, at: address.at.into(), addend: 0 };
        relocate(product, place, functions[address.code as usize])?;
    }
    Ok(())
}

/// A 32-bit field that holds the distance to a symbol plus `addend`.
struct Place {
    section: SectionId,
    at: u64,
    addend: i64,
}

fn relocate(product: &mut ObjectProduct, place: Place, function: FuncId) -> Result<()> {
    let symbol = product.function_symbol(function);
    let object: &mut Object<'_> = &mut product.object;
    let relocation = Relocation {
        offset: place.at,
        symbol,
        addend: place.addend,
        flags: RelocationFlags::Generic {
            kind: RelocationKind::Relative,
            encoding: RelocationEncoding::Generic,
            size: 32,
        },
    };
    object.add_relocation(place.section, relocation).map_err(|error| internal("the object", error))
}
