//! The module data: what the loader must know of a module, from what the stages before know.

use std::collections::HashMap;

use aotc_abi::index::FuncIndex;
use aotc_abi::meta::{
    Bound, Builder, CodeKind, CodeOffset, DataSegment, ElemItem, ElemItemKind, ElemSegment, Export,
    Fixed, Function, FunctionExtent, FunctionImport, Global, Import, Instructions, LAYOUT_HASH,
    LineFunction, Memory, NO_MAXIMUM, OtherCode, Str, Table, Type, flags,
};
use aotc_abi::target::BoundsStyle;
use aotc_abi::vmctx;

use super::lines::Lines;
use super::{internal, too_large};
use crate::codegen::CompiledFunction;
use crate::error::Result;
use crate::options::{AddressMapStyle, DebugLinesStyle, Options};
use crate::parse::{ConstExpr, ConstOp, WasmModule};
use crate::plan::{CodeId, CodeKey, GlobalPlace, MemoryPlace, Plan, TablePlan};
use crate::translate::GUARD_BYTES;

/// What made the artifact.
const PRODUCER: &str = concat!("aotc ", env!("CARGO_PKG_VERSION"));

/// What goes into the module data; offsets of pieces of code are those of [`CodeId`]s.
///
/// # Errors
/// [`crate::Error::Limit`] if it would take 2 GiB or more.
pub(crate) fn module_data(
    module: &WasmModule<'_>,
    plan: &Plan,
    options: &Options,
    functions: &[CompiledFunction],
) -> Result<Builder> {
    let image_bytes = plan.image.len() as u64 + plan.data.len() as u64;
    if image_bytes >= 1 << 31 {
        return Err(too_large());
    }
    let mut writer = Writer { module, plan, builder: Builder::default(), strings: HashMap::new() };
    writer.functions();
    writer.header(options);
    writer.fixed_places();
    writer.types();
    writer.imports_and_exports();
    writer.tables();
    writer.memories();
    writer.globals();
    writer.segments()?;
    writer.bound();
    writer.codes(options, functions);
    Ok(writer.builder)
}

struct Writer<'a> {
    module: &'a WasmModule<'a>,
    plan: &'a Plan,
    builder: Builder,
    /// Strings that are in the builder.
    strings: HashMap<&'a str, Str>,
}

impl<'a> Writer<'a> {
    fn header(&mut self, options: &Options) {
        let start_up = self.plan.start_up_code;
        self.builder.fixed = Fixed {
            checksum: 0,
            layout_hash: LAYOUT_HASH,
            blob_bytes: 0,
            cpu_features: options.cpu.features.0,
            guard_bytes: match options.bounds_style {
                BoundsStyle::Guard => GUARD_BYTES,
                BoundsStyle::Explicit => 0,
            },
            image_offset: 0,
            image_bytes: 0,
            memory_start: self.plan.memory_start,
            arch: options.target.arch as u32,
            os: options.target.os as u32,
            trap_style: options.trap_style as u32,
            bounds_style: options.bounds_style as u32,
            page_bytes: options.target.page_bytes(),
            vmctx_bytes: self.plan.layout.vmctx_bytes,
            start_up: code(start_up.map(|(routine, _)| routine)),
            start_up_entry: code(start_up.map(|(_, entry)| entry)),
            interruption: options.interruption.bits(),
            function_names_bytes: self.builder.fixed.function_names_bytes,
            name: self.string(&self.plan.name),
            producer: self.string(PRODUCER),
        };
    }

    /// What the plan has already laid out.
    fn fixed_places(&mut self) {
        let offsets = |list: &[(u32, CodeId)]| {
            list.iter().map(|&(at, code)| CodeOffset { at, code: code.0 }).collect()
        };
        self.builder.data = self.plan.data.clone();
        self.builder.data_code = offsets(&self.plan.data_code);
        self.builder.image = self.plan.image.clone();
        self.builder.image_code = offsets(&self.plan.image_code);
    }

    fn types(&mut self) {
        for (ty, &sig) in self.module.types.iter().zip(&self.plan.type_sigs) {
            let sig = &self.plan.sigs[sig.0 as usize];
            self.builder.types.push(Type {
                hash: sig.hash,
                types_start: self.builder.val_types.len() as u32,
                params: ty.params.len() as u32,
                results: ty.results.len() as u32,
                entry: code(sig.entry),
                exit: code(sig.exit),
                direct: code(sig.direct),
            });
            let val_types = ty.params.iter().chain(&ty.results);
            self.builder.val_types.extend(val_types.map(|&ty| ty as u8));
        }
    }

    fn imports_and_exports(&mut self) {
        for import in &self.module.imports {
            let (module, name) = (self.string(import.module), self.string(import.name));
            let (kind, index) = (import.kind as u32, import.index);
            self.builder.imports.push(Import { module, name, kind, index });
        }
        for export in &self.module.exports {
            let name = self.string(export.name);
            let (kind, index) = (export.kind as u32, export.index);
            self.builder.exports.push(Export { name, kind, index });
        }
    }

    fn functions(&mut self) {
        for (index, (ty, plan)) in
            self.module.functions.iter().zip(&self.plan.functions).enumerate()
        {
            let name = match self.module.is_live_function(index) {
                true => self.module.function_name(FuncIndex(index as u32)),
                false => "",
            };
            let place = self.builder.function_name(name);
            self.strings.entry(name).or_insert(place);
            let (func_ref, name_start) = (plan.func_ref.unwrap_or(0), place.offset);
            self.builder.functions.push(Function { ty: ty.0, func_ref, name_start });
        }
        let imported = &self.plan.functions[..self.module.imported_functions as usize];
        self.builder.function_imports.extend(imported.iter().map(|plan| FunctionImport {
            import: plan.import.unwrap_or(0),
            thunk: code(plan.code),
        }));
    }

    fn tables(&mut self) {
        for (table, plan) in self.module.tables.iter().zip(&self.plan.tables) {
            let (flags, definition, elements) = match *plan {
                TablePlan::Imported { definition } => (flags::IMPORTED, definition, None),
                TablePlan::Own { definition, elements, growth: _ } => (0, definition, elements),
                TablePlan::Closed(_) => (flags::CLOSED, 0, None),
            };
            self.builder.tables.push(Table {
                element: table.element as u32,
                flags,
                min: table.min,
                max: table.max.unwrap_or(NO_MAXIMUM),
                definition,
                elements: elements.unwrap_or(0),
            });
        }
    }

    fn memories(&mut self) {
        for (memory, plan) in self.module.memories.iter().zip(&self.plan.memories) {
            let (flags, definition) = match plan.place {
                MemoryPlace::AtCtx => (flags::AT_CTX, vmctx::ctx::MEMORY0),
                MemoryPlace::Own(definition) => (0, definition),
                MemoryPlace::Imported(definition) => (flags::IMPORTED, definition),
            };
            self.builder.memories.push(Memory {
                min: memory.min,
                max: memory.max.unwrap_or(NO_MAXIMUM),
                flags,
                definition,
            });
        }
    }

    fn globals(&mut self) {
        for (global, plan) in self.module.globals.iter().zip(&self.plan.globals) {
            let imported = match plan.place {
                GlobalPlace::Own => 0,
                GlobalPlace::Imported => flags::IMPORTED,
            };
            let mutable = if global.mutable { flags::MUTABLE } else { 0 };
            self.builder.globals.push(Global {
                ty: global.ty as u32,
                flags: imported | mutable,
                slot: plan.slot,
            });
        }
    }

    /// Every segment has a record, so that indices are the module's; what is not needed at run time
    /// is empty.
    fn segments(&mut self) -> Result<()> {
        for plan in &self.plan.data_segments {
            let (offset, bytes) = plan.bytes.unwrap_or((0, 0));
            let length = plan.length.unwrap_or(0);
            self.builder.data_segments.push(DataSegment { offset, bytes, length });
        }
        for (segment, plan) in self.module.elements.iter().zip(&self.plan.elem_segments) {
            let items_start = self.builder.elem_items.len() as u32;
            if plan.length.is_some() {
                for expr in &segment.items {
                    self.builder.elem_items.push(elem_item(expr)?);
                }
            }
            self.builder.elem_segments.push(ElemSegment {
                element: segment.element as u32,
                items_start,
                items: self.builder.elem_items.len() as u32 - items_start,
                length: plan.length.unwrap_or(0),
            });
        }
        Ok(())
    }

    fn bound(&mut self) {
        for (number, bound) in self.module.bound.iter().enumerate() {
            let is_type = |key: &CodeKey| *key == CodeKey::BoundType(number as u32);
            let type_code = self.plan.codes.iter().position(is_type).map(|id| CodeId(id as u32));
            let binding = &bound.binding;
            let record = Bound {
                module: self.string(&binding.module),
                name: self.string(&binding.name),
                symbol: self.string(&binding.symbol),
                style: binding.style as u32,
                function: bound.function.0 + self.module.imported_functions,
                type_code: code(type_code),
            };
            self.builder.bound.push(record);
        }
    }

    fn codes(&mut self, options: &Options, functions: &[CompiledFunction]) {
        let mut lines = match options.debug_lines {
            DebugLinesStyle::Keep => Lines::new(self.module),
            DebugLinesStyle::Omit => None,
        };
        for (id, (&key, function)) in self.plan.codes.iter().zip(functions).enumerate() {
            let (kind, index, wasm_offset) = self.code_kind(key);
            let code = Builder::code(id as u32);
            let bytes = function.code.len() as u32;
            let addresses: &[_] = match options.address_map {
                AddressMapStyle::Keep => &function.addresses,
                AddressMapStyle::Omit => &[],
            };
            let traps = &function.traps;
            let known = Instructions { wasm_offset, traps, addresses };
            if let CodeKey::Function(index) = key {
                self.no_code_up_to(index.index(), code);
                if let Some(lines) = &mut lines {
                    self.no_lines_up_to(index.index());
                    let source = self.module.source_of(index);
                    let places = function.addresses.iter().map(|&(_, at)| at);
                    lines.function(&mut self.builder, source, wasm_offset, places);
                }
                let sites_start = self.builder.instructions(&known);
                self.builder.function_codes.push(code);
                self.builder.function_extents.push(FunctionExtent { bytes, sites_start });
            } else {
                self.no_code_up_to(self.module.bodies.len(), code);
                let sites_start = self.builder.instructions(&known);
                let piece = OtherCode { code, bytes, kind: kind as u32, index, sites_start };
                self.builder.other_codes.push(piece);
            }
        }
        let last = functions.len().checked_sub(1).map(|id| CodeId(id as u32));
        self.no_code_up_to(self.module.bodies.len(), code(last));
        if lines.is_some() {
            self.no_lines_up_to(self.module.bodies.len());
        }
    }

    /// Functions that nothing leads to have a record, which leads to the piece of code that is next.
    fn no_code_up_to(&mut self, functions: usize, code: i32) {
        let sites_start = self.builder.code_sites.len() as u32;
        self.builder.function_codes.resize(functions, code);
        self.builder.function_extents.resize(functions, FunctionExtent { bytes: 0, sites_start });
    }

    /// Functions without code have no lines, but a record.
    fn no_lines_up_to(&mut self, functions: usize) {
        let start = self.builder.lines.len() as u32;
        self.builder.line_functions.resize_with(functions, || LineFunction { start, bytes: 0 });
    }

    /// Kind, index and offset in the wasm file of a piece of code.
    fn code_kind(&self, key: CodeKey) -> (CodeKind, u32, u32) {
        // The type of the start-up routine need not be among the module's.
        let ty =
            |sig: crate::plan::SigId| self.plan.sigs[sig.0 as usize].ty.map_or(u32::MAX, |ty| ty.0);
        match key {
            CodeKey::Function(index) => {
                let start = self.module.bodies[index.index()].range().start;
                let offset = self.module.file_offset(index, start).unwrap_or(0);
                (CodeKind::Function, index.0 + self.module.imported_functions, offset)
            }
            CodeKey::Thunk(index) => (CodeKind::Thunk, index.0, 0),
            CodeKey::Entry(sig) => (CodeKind::Entry, ty(sig), 0),
            CodeKey::DirectEntry(sig) => (CodeKind::DirectEntry, ty(sig), 0),
            CodeKey::Exit(sig) => (CodeKind::Exit, ty(sig), 0),
            CodeKey::Builtin(builtin) => (CodeKind::Builtin, builtin as u32, 0),
            CodeKey::StartUp => (CodeKind::StartUp, 0, 0),
            CodeKey::BoundType(bound) => (CodeKind::BoundType, bound, 0),
        }
    }

    fn string(&mut self, text: &'a str) -> Str {
        let builder = &mut self.builder;
        *self.strings.entry(text).or_insert_with(|| builder.string(text))
    }
}

/// The field for the offset of a piece of code.
fn code(id: Option<CodeId>) -> i32 {
    id.map_or(0, |id| Builder::code(id.0))
}

fn elem_item(expr: &ConstExpr) -> Result<ElemItem> {
    let (kind, index) = match expr.0[..] {
        [ConstOp::RefNull] => (ElemItemKind::Null, 0),
        [ConstOp::RefFunc(function)] => (ElemItemKind::Func, function.0),
        [ConstOp::GlobalGet(global)] => (ElemItemKind::Global, global.0),
        _ => {
            let message = format!("item of an element segment is not a reference: {expr:?}");
            return Err(internal("the module data", message));
        }
    };
    Ok(ElemItem { kind: kind as u32, index })
}
