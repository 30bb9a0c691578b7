//! Wasm bytes to a valid module.

mod facts;
mod module;
mod names;
mod origin;

use std::num::NonZero;

use aotc_abi::index::{FuncIndex, GlobalIndex, MemoryIndex, TableIndex, TypeIndex};
use aotc_abi::meta::ExternKind;
use aotc_abi::types::ValType;
use wasmparser::{
    DataKind, ElementItems, ElementKind, ExternalKind, FuncToValidate, FunctionBody, Operator,
    Parser, Payload, TableInit, TypeRef, ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

use crate::error::{Error, Result};
use crate::options::Features;
pub(crate) use module::{
    ConstExpr, ConstOp, DataSegment, ElementSegment, Export, FuncType, Global, Import, Live,
    Memory, SegmentMode, Table, WasmModule,
};
pub(crate) use origin::{Origin, Source};

impl WasmModule<'_> {
    /// Finds the facts anew, of the code that is reached.
    pub(crate) fn collect_facts_of_live(&mut self) -> Result<()> {
        self.facts = facts::of_live(self)?;
        Ok(())
    }
}

/// The validator's name of a set of features.
fn wasm_features(features: Features) -> WasmFeatures {
    match features {
        Features::Wasm2 => WasmFeatures::WASM2,
        Features::All => {
            WasmFeatures::WASM2 | WasmFeatures::EXTENDED_CONST | WasmFeatures::MULTI_MEMORY
        }
    }
}

/// Parses and validates a module in the binary format.
///
/// # Errors
/// [`Error::Invalid`] with the offset of what is wrong.
pub(crate) fn parse(
    wasm: &[u8],
    features: Features,
    threads: NonZero<usize>,
) -> Result<WasmModule<'_>> {
    let features = wasm_features(features);
    let mut validator = Validator::new_with_features(features);
    let mut module = WasmModule { sources: vec![Source::default()], ..WasmModule::default() };
    let mut bodies = Vec::new();
    let mut parser = Parser::new(0);
    // Some encodings are read in another way with other features.
    parser.set_features(features);
    for payload in parser.parse_all(wasm) {
        let payload = payload?;
        if let ValidPayload::Func(to_validate, body) = validator.payload(&payload)? {
            bodies.push((to_validate, body));
            continue;
        }
        section(&mut module, payload)?;
    }
    (module.bodies, module.facts) = facts::collect(&module, bodies, threads)?;
    Ok(module)
}

type Body<'a> = (FuncToValidate<ValidatorResources>, FunctionBody<'a>);

fn section<'a>(module: &mut WasmModule<'a>, payload: Payload<'a>) -> Result<()> {
    match payload {
        Payload::TypeSection(reader) => {
            for group in reader {
                for ty in group?.into_types() {
                    module.types.push(func_type(ty.unwrap_func())?);
                }
            }
        }
        Payload::ImportSection(reader) => {
            for import in reader.into_imports() {
                self::import(module, import?)?;
            }
        }
        Payload::FunctionSection(reader) => {
            for ty in reader {
                module.functions.push(TypeIndex(ty?));
            }
        }
        Payload::TableSection(reader) => {
            for table in reader {
                let table = table?;
                let init = match &table.init {
                    TableInit::RefNull => None,
                    TableInit::Expr(expr) => Some(const_expr(expr)?),
                };
                module.tables.push(self::table(table.ty, init)?);
            }
        }
        Payload::MemorySection(reader) => {
            for memory in reader {
                module.memories.push(self::memory(memory?));
            }
        }
        Payload::GlobalSection(reader) => {
            for global in reader {
                let global = global?;
                let init = Some(const_expr(&global.init_expr)?);
                module.globals.push(self::global(global.ty, init)?);
            }
        }
        Payload::ExportSection(reader) => {
            for export in reader {
                let export = export?;
                let kind = match export.kind {
                    ExternalKind::Func | ExternalKind::FuncExact => ExternKind::Func,
                    ExternalKind::Table => ExternKind::Table,
                    ExternalKind::Memory => ExternKind::Memory,
                    ExternalKind::Global => ExternKind::Global,
                    ExternalKind::Tag => unreachable!("tags are not enabled"),
                };
                module.exports.push(Export { name: export.name, kind, index: export.index });
            }
        }
        Payload::StartSection { func, .. } => module.start = Some(FuncIndex(func)),
        Payload::ElementSection(reader) => {
            for element in reader {
                module.elements.push(element_segment(element?)?);
            }
        }
        Payload::DataSection(reader) => {
            for data in reader {
                let data = data?;
                let mode = match data.kind {
                    DataKind::Passive => SegmentMode::Passive,
                    DataKind::Active { memory_index, offset_expr } => SegmentMode::Active {
                        target: MemoryIndex(memory_index),
                        offset: const_expr(&offset_expr)?,
                    },
                };
                module.data.push(DataSegment { mode, bytes: data.data });
            }
        }
        Payload::CodeSectionStart { unchecked_range, .. } => {
            module.sources[0].code_start = unchecked_range.start as u32;
        }
        Payload::CustomSection(reader) => {
            if let wasmparser::KnownCustom::Name(reader) = reader.as_known() {
                // A broken name section is not an error: it has no meaning.
                module.names = names::read(reader);
            } else if reader.name().starts_with(".debug_") {
                module.sources[0].dwarf.push((reader.name(), reader.data()));
            }
        }
        _ => {}
    }
    Ok(())
}

fn import<'a>(module: &mut WasmModule<'a>, import: wasmparser::Import<'a>) -> Result<()> {
    let (kind, index) = match import.ty {
        TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
            module.functions.push(TypeIndex(ty));
            module.imported_functions += 1;
            (ExternKind::Func, module.functions.len())
        }
        TypeRef::Table(ty) => {
            module.tables.push(table(ty, None)?);
            module.imported_tables += 1;
            (ExternKind::Table, module.tables.len())
        }
        TypeRef::Memory(ty) => {
            module.memories.push(memory(ty));
            module.imported_memories += 1;
            (ExternKind::Memory, module.memories.len())
        }
        TypeRef::Global(ty) => {
            module.globals.push(global(ty, None)?);
            module.imported_globals += 1;
            (ExternKind::Global, module.globals.len())
        }
        TypeRef::Tag(_) => unreachable!("tags are not enabled"),
    };
    let index = index as u32 - 1;
    module.imports.push(Import { module: import.module, name: import.name, kind, index });
    Ok(())
}

fn func_type(ty: &wasmparser::FuncType) -> Result<FuncType> {
    let convert = |tys: &[wasmparser::ValType]| -> Result<Box<[ValType]>> {
        tys.iter().map(|&ty| val_type(ty, 0)).collect()
    };
    Ok(FuncType { params: convert(ty.params())?, results: convert(ty.results())? })
}

fn table(ty: wasmparser::TableType, init: Option<ConstExpr>) -> Result<Table> {
    let element = val_type(wasmparser::ValType::Ref(ty.element_type), 0)?;
    Ok(Table { element, min: ty.initial, max: ty.maximum, init })
}

fn memory(ty: wasmparser::MemoryType) -> Memory {
    Memory { min: ty.initial, max: ty.maximum }
}

fn global(ty: wasmparser::GlobalType, init: Option<ConstExpr>) -> Result<Global> {
    Ok(Global { ty: val_type(ty.content_type, 0)?, mutable: ty.mutable, init })
}

fn element_segment(element: wasmparser::Element<'_>) -> Result<ElementSegment> {
    let mode = match element.kind {
        ElementKind::Passive => SegmentMode::Passive,
        ElementKind::Declared => SegmentMode::Declared,
        ElementKind::Active { table_index, offset_expr } => SegmentMode::Active {
            target: TableIndex(table_index.unwrap_or(0)),
            offset: const_expr(&offset_expr)?,
        },
    };
    let (element, items) = match element.items {
        ElementItems::Functions(reader) => {
            let items: Result<_> = reader
                .into_iter()
                .map(|index| Ok(ConstExpr(vec![ConstOp::RefFunc(FuncIndex(index?))])))
                .collect();
            (ValType::FuncRef, items?)
        }
        ElementItems::Expressions(ty, reader) => {
            let items: Result<_> = reader.into_iter().map(|expr| const_expr(&expr?)).collect();
            (val_type(wasmparser::ValType::Ref(ty), 0)?, items?)
        }
    };
    Ok(ElementSegment { mode, element, items })
}

/// Our name of a value type.
pub(crate) fn val_type(ty: wasmparser::ValType, offset: u64) -> Result<ValType> {
    Ok(match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(ty) if ty == wasmparser::RefType::FUNCREF => ValType::FuncRef,
        wasmparser::ValType::Ref(ty) if ty == wasmparser::RefType::EXTERNREF => ValType::ExternRef,
        wasmparser::ValType::Ref(ty) => {
            return Err(Error::Unsupported { what: format!("type {ty}"), offset });
        }
    })
}

fn const_expr(expr: &wasmparser::ConstExpr<'_>) -> Result<ConstExpr> {
    use Operator as O;
    let mut ops = Vec::new();
    let mut reader = expr.get_operators_reader();
    while !reader.eof() {
        let (operator, offset) = reader.read_with_offset()?;
        ops.push(match operator {
            O::End => break,
            O::I32Const { value } => ConstOp::I32(value),
            O::I64Const { value } => ConstOp::I64(value),
            O::F32Const { value } => ConstOp::F32(value.bits()),
            O::F64Const { value } => ConstOp::F64(value.bits()),
            O::V128Const { value } => ConstOp::V128(u128::from_le_bytes(*value.bytes())),
            O::RefNull { .. } => ConstOp::RefNull,
            O::RefFunc { function_index } => ConstOp::RefFunc(FuncIndex(function_index)),
            O::GlobalGet { global_index } => ConstOp::GlobalGet(GlobalIndex(global_index)),
            O::I32Add => ConstOp::I32Add,
            O::I32Sub => ConstOp::I32Sub,
            O::I32Mul => ConstOp::I32Mul,
            O::I64Add => ConstOp::I64Add,
            O::I64Sub => ConstOp::I64Sub,
            O::I64Mul => ConstOp::I64Mul,
            other => {
                return Err(Error::Unsupported {
                    what: format!("constant instruction {other:?}"),
                    offset,
                });
            }
        });
    }
    Ok(ConstExpr(ops))
}
