//! Writes the merged module.

use std::borrow::Cow;
use std::convert::Infallible;

use aotc_abi::index::FuncIndex;
use aotc_abi::meta::ExternKind;
use aotc_abi::types::ValType;
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, DataCountSection, DataSection, DataSegment, DataSegmentMode, ElementMode,
    ElementSection, ElementSegment, Elements, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, GlobalType, ImportSection, Instruction, MemorySection,
    MemoryType, Module, RefType, StartSection, TableSection, TableType, TypeSection,
};
use wasmparser::FunctionBody;

use super::layout::Layout;
use super::order::{Order, Start};
use super::resolve::{ExternType, Item, Limits, Resolution};
use super::{Part, constant, instantiation_order, names};
use crate::error::Result;
use crate::parse::{ConstOp, FuncType, Origin, SegmentMode};

/// What is to be written.
#[derive(Clone, Copy)]
pub(super) struct Merge<'a> {
    pub(super) parts: &'a [Part<'a>],
    pub(super) resolution: &'a Resolution<'a>,
    pub(super) layout: &'a Layout<'a>,
}

/// The merged module.
pub(super) struct Encoded {
    pub(super) wasm: Vec<u8>,
    /// By defined function: where it comes from.
    pub(super) origins: Vec<Origin>,
}

/// Writes the module.
///
/// # Errors
/// [`crate::Error::Limit`] if a constant becomes too long.
pub(super) fn encode(
    parts: &[Part<'_>],
    resolution: &Resolution<'_>,
    layout: &Layout<'_>,
) -> Result<Encoded> {
    let merge = Merge { parts, resolution, layout };
    let order = Order::new(&merge)?;
    let mut module = Module::new();
    let (code, origins) = merge.code(&order);
    module.section(&merge.types());
    module.section(&merge.imports());
    module.section(&merge.functions(&order));
    module.section(&merge.tables()?);
    module.section(&merge.memories());
    module.section(&merge.globals()?);
    module.section(&merge.exports());
    match order.start {
        Start::None => {}
        Start::Of(function_index) => {
            module.section(&StartSection { function_index });
        }
        Start::Made(_) => {
            module.section(&StartSection { function_index: merge.made_start() });
        }
    }
    module.section(&merge.elements(&order)?);
    let data = merge.data(&order)?;
    module.section(&DataCountSection { count: data.len() });
    module.section(&code);
    module.section(&data);
    module.section(&names::names(&merge, &order));
    Ok(Encoded { wasm: module.finish(), origins })
}

impl<'a> Merge<'a> {
    /// What `index` of an index space of `part` means.
    pub(super) fn item(&self, part: usize, kind: ExternKind, index: u32) -> Item {
        self.resolution.item(self.parts, part, kind, index)
    }

    /// The index in the merged module of what is `index` in an index space of `part`.
    pub(super) fn index(&self, part: usize, kind: ExternKind, index: u32) -> u32 {
        self.layout.index_of(self.parts, kind, self.item(part, kind, index))
    }

    /// The index of a start function that is made: the last.
    pub(super) fn made_start(&self) -> u32 {
        self.layout.bound(self.resolution.bound.len())
    }

    fn types(&self) -> TypeSection {
        let mut section = TypeSection::new();
        let mut function = |ty: &FuncType| {
            let [params, results] =
                [&ty.params, &ty.results].map(|types| types.iter().map(val_type));
            section.ty().function(params, results);
        };
        self.layout.types.iter().for_each(|ty| function(ty));
        // The type of a start function that is made; unused otherwise.
        if self.start_type() == self.layout.types.len() as u32 {
            function(&nothing());
        }
        section
    }

    /// The index of the type of a start function.
    fn start_type(&self) -> u32 {
        let known = self.layout.type_index(&nothing());
        known.unwrap_or(self.layout.types.len() as u32)
    }

    fn imports(&self) -> ImportSection {
        let mut section = ImportSection::new();
        for import in &self.resolution.imports {
            let ty = match &import.ty {
                ExternType::Func(ty) => {
                    let index = self.layout.type_index(ty);
                    EntityType::Function(index.expect("it is a type of the part that imports"))
                }
                ExternType::Table { element, limits } => {
                    EntityType::Table(table_type(*element, *limits))
                }
                ExternType::Memory(limits) => EntityType::Memory(memory_type(*limits)),
                ExternType::Global { content, mutable } => {
                    EntityType::Global(global_type(*content, *mutable))
                }
            };
            section.import(import.module, import.name, ty);
        }
        section
    }

    fn functions(&self, order: &Order) -> FunctionSection {
        let mut section = FunctionSection::new();
        for (number, part) in self.parts.iter().enumerate() {
            for ty in &part.module.functions[part.module.imported_functions as usize..] {
                section.function(self.layout.ty(number, ty.0));
            }
        }
        for bound in &self.resolution.bound {
            let ty = self.layout.type_index(&bound.ty);
            section.function(ty.expect("it is a type of the part that imports"));
        }
        if let Start::Made(_) = order.start {
            section.function(self.start_type());
        }
        section
    }

    fn tables(&self) -> Result<TableSection> {
        let mut section = TableSection::new();
        for (number, part) in self.parts.iter().enumerate() {
            for table in &part.module.tables[part.module.imported_tables as usize..] {
                let ty = table_type(table.element, Limits { min: table.min, max: table.max });
                match &table.init {
                    None => section.table(ty),
                    Some(init) => {
                        let init = self.constant(number, init)?;
                        section.table_with_init(ty, &constant::encode(table.element, &init))
                    }
                };
            }
        }
        Ok(section)
    }

    fn memories(&self) -> MemorySection {
        let mut section = MemorySection::new();
        for part in self.parts {
            for memory in &part.module.memories[part.module.imported_memories as usize..] {
                section.memory(memory_type(Limits { min: memory.min, max: memory.max }));
            }
        }
        section
    }

    fn globals(&self) -> Result<GlobalSection> {
        let mut section = GlobalSection::new();
        for (number, part) in self.parts.iter().enumerate() {
            for global in &part.module.globals[part.module.imported_globals as usize..] {
                let init = global.init.as_ref().expect("what is defined has a value");
                let init = constant::encode(global.ty, &self.constant(number, init)?);
                section.global(global_type(global.ty, global.mutable), &init);
            }
        }
        Ok(section)
    }

    fn exports(&self) -> ExportSection {
        let mut section = ExportSection::new();
        for export in &self.parts[0].module.exports {
            let kind = match export.kind {
                ExternKind::Func => ExportKind::Func,
                ExternKind::Table => ExportKind::Table,
                ExternKind::Memory => ExportKind::Memory,
                ExternKind::Global => ExportKind::Global,
            };
            section.export(export.name, kind, self.index(0, export.kind, export.index));
        }
        section
    }

    fn elements(&self, order: &Order) -> Result<ElementSection> {
        let mut section = ElementSection::new();
        for part in instantiation_order(self.parts.len()) {
            let segments = self.parts[part].module.elements.iter();
            for (segment, &deferred) in segments.zip(&order.elements_deferred[part]) {
                let items: Vec<_> = segment
                    .items
                    .iter()
                    .map(|item| self.constant(part, item))
                    .collect::<Result<_>>()?;
                let functions = items.iter().map(|item| match item.0[..] {
                    [ConstOp::RefFunc(FuncIndex(index))] => Some(index),
                    _ => None,
                });
                let elements = match functions.collect::<Option<Vec<_>>>() {
                    Some(functions) if segment.element == ValType::FuncRef => {
                        Elements::Functions(functions.into())
                    }
                    _ => {
                        let items =
                            items.iter().map(|item| constant::encode(segment.element, item));
                        let items: Cow<'_, [_]> = items.collect();
                        Elements::Expressions(ref_type(segment.element), items)
                    }
                };
                match &segment.mode {
                    SegmentMode::Active { target, offset } if !deferred => {
                        let table = self.index(part, ExternKind::Table, target.0);
                        let offset = constant::encode(ValType::I32, &self.constant(part, offset)?);
                        let mode = ElementMode::Active { table: Some(table), offset: &offset };
                        section.segment(ElementSegment { mode, elements })
                    }
                    SegmentMode::Active { .. } | SegmentMode::Passive => section.passive(elements),
                    SegmentMode::Declared => section.declared(elements),
                };
            }
        }
        // What a module exports, its code may reference; exported it is no more.
        let referenced = self.referenced_exports();
        if !referenced.is_empty() {
            section.declared(Elements::Functions(referenced.into()));
        }
        Ok(section)
    }

    /// Functions that code references, and that a module but the main one exports.
    fn referenced_exports(&self) -> Vec<u32> {
        let mut functions: Vec<u32> = Vec::new();
        for (number, part) in self.parts.iter().enumerate().skip(1) {
            let exports = part.module.exports.iter();
            for export in exports.filter(|export| export.kind == ExternKind::Func) {
                if part.module.facts.functions_referenced[export.index as usize] {
                    functions.push(self.index(number, ExternKind::Func, export.index));
                }
            }
        }
        functions.sort_unstable();
        functions.dedup();
        functions
    }

    fn data(&self, order: &Order) -> Result<DataSection> {
        let mut section = DataSection::new();
        for part in instantiation_order(self.parts.len()) {
            let segments = self.parts[part].module.data.iter();
            for (segment, &deferred) in segments.zip(&order.data_deferred[part]) {
                let data = segment.bytes.iter().copied();
                match &segment.mode {
                    SegmentMode::Active { target, offset } if !deferred => {
                        let memory_index = self.index(part, ExternKind::Memory, target.0);
                        let offset = constant::encode(ValType::I32, &self.constant(part, offset)?);
                        let mode = DataSegmentMode::Active { memory_index, offset: &offset };
                        section.segment(DataSegment { mode, data });
                    }
                    SegmentMode::Active { .. } | SegmentMode::Passive | SegmentMode::Declared => {
                        section.passive(data);
                    }
                }
            }
        }
        Ok(section)
    }

    /// The bodies, and where each comes from.
    fn code(&self, order: &Order) -> (CodeSection, Vec<Origin>) {
        let mut section = CodeSection::new();
        let mut origins = Vec::new();
        for (number, part) in self.parts.iter().enumerate() {
            for body in &part.module.bodies {
                let mut renumber = Renumber { merge: *self, part: number };
                // What was validated can be read, and has an encoding.
                let (function, places) = renumber.body(body).expect("the body is valid");
                section.function(&function);
                origins.push(Origin { source: Some(number as u32), places });
            }
        }
        for _ in &self.resolution.bound {
            let mut function = Function::new([]);
            function.instruction(&Instruction::Unreachable).instruction(&Instruction::End);
            section.function(&function);
            origins.push(Origin::default());
        }
        if let Start::Made(function) = &order.start {
            section.function(function);
            origins.push(Origin::default());
        }
        (section, origins)
    }
}

/// Writes code of a part with the indices of the merged module.
struct Renumber<'a> {
    merge: Merge<'a>,
    part: usize,
}

type Reencoded<T> = std::result::Result<T, reencode::Error<Infallible>>;

impl Renumber<'_> {
    fn index(&self, kind: ExternKind, index: u32) -> Reencoded<u32> {
        Ok(self.merge.index(self.part, kind, index))
    }

    /// A body, and the [`Origin::places`] of what is in it.
    fn body(&mut self, body: &FunctionBody<'_>) -> Reencoded<(Function, Vec<(u32, u32)>)> {
        let mut function = self.new_function_with_parsed_locals(body)?;
        let mut places = vec![(0, body.range().start as u32)];
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let (operator, place) = operators.read_with_offset()?;
            let (offset, place) = (function.byte_len() as u32, place as u32);
            let (last_offset, last_place) = *places.last().expect("it starts with one");
            if place - last_place != offset - last_offset {
                places.push((offset, place));
            }
            function.instruction(&self.instruction(operator)?);
        }
        Ok((function, places))
    }
}

impl Reencode for Renumber<'_> {
    type Error = Infallible;

    fn type_index(&mut self, index: u32) -> Reencoded<u32> {
        Ok(self.merge.layout.ty(self.part, index))
    }

    fn function_index(&mut self, index: u32) -> Reencoded<u32> {
        self.index(ExternKind::Func, index)
    }

    fn table_index(&mut self, index: u32) -> Reencoded<u32> {
        self.index(ExternKind::Table, index)
    }

    fn memory_index(&mut self, index: u32) -> Reencoded<u32> {
        self.index(ExternKind::Memory, index)
    }

    fn global_index(&mut self, index: u32) -> Reencoded<u32> {
        self.index(ExternKind::Global, index)
    }

    fn element_index(&mut self, index: u32) -> Reencoded<u32> {
        Ok(self.merge.layout.element(self.part, index))
    }

    fn data_index(&mut self, index: u32) -> Reencoded<u32> {
        Ok(self.merge.layout.data(self.part, index))
    }
}

/// The type of a start function.
fn nothing() -> FuncType {
    FuncType { params: Box::default(), results: Box::default() }
}

fn val_type(ty: &ValType) -> wasm_encoder::ValType {
    match ty {
        ValType::I32 => wasm_encoder::ValType::I32,
        ValType::I64 => wasm_encoder::ValType::I64,
        ValType::F32 => wasm_encoder::ValType::F32,
        ValType::F64 => wasm_encoder::ValType::F64,
        ValType::V128 => wasm_encoder::ValType::V128,
        ValType::FuncRef => wasm_encoder::ValType::FUNCREF,
        ValType::ExternRef => wasm_encoder::ValType::EXTERNREF,
    }
}

fn ref_type(ty: ValType) -> RefType {
    match ty {
        ValType::ExternRef => RefType::EXTERNREF,
        ValType::FuncRef
        | ValType::I32
        | ValType::I64
        | ValType::F32
        | ValType::F64
        | ValType::V128 => RefType::FUNCREF,
    }
}

fn table_type(element: ValType, limits: Limits) -> TableType {
    TableType {
        element_type: ref_type(element),
        table64: false,
        minimum: limits.min,
        maximum: limits.max,
        shared: false,
    }
}

fn memory_type(limits: Limits) -> MemoryType {
    MemoryType {
        minimum: limits.min,
        maximum: limits.max,
        memory64: false,
        shared: false,
        page_size_log2: None,
    }
}

fn global_type(content: ValType, mutable: bool) -> GlobalType {
    GlobalType { val_type: val_type(&content), mutable, shared: false }
}
