//! Makes the plan.

use std::collections::HashMap;

use aotc_abi::builtin::{BUILTIN_COUNT, BUILTINS, Builtin};
use aotc_abi::index::{DefinedFuncIndex, FuncIndex, TypeIndex};
use aotc_abi::meta::{Builder, ExternKind};
use aotc_abi::target::{BoundsStyle, TrapStyle};
use aotc_abi::types::{ValType, can_call_directly, func_type_hash};
use aotc_abi::vmctx::{Counts, VmCtxLayout, ctx, func_ref};

use super::initial::Initial;
use super::{
    ClosedTable, CodeId, CodeKey, DataSegmentPlan, ElemSegmentPlan, FunctionPlan, GlobalPlace,
    GlobalPlan, Growth, MemoryPlace, MemoryPlan, Plan, SigId, SigPlan, StartUpStep, TablePlan,
};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::parse::{ConstOp, FuncType, SegmentMode, WasmModule};

/// Decides everything about `module` that is decided before code is generated.
///
/// # Errors
/// [`Error::Limit`] if an instance's context would take more than 1 GiB.
pub(crate) fn build(module: &WasmModule<'_>, options: &Options) -> Result<Plan> {
    let initial = Initial::new(module, options);
    let exported = Exported::new(module);
    let needs = Needs::new(module, options, &initial, &exported);
    let (sigs, type_sigs) = distinct_types(module);
    let counts = needs.counts(module);
    let page_bytes = options.target.page_bytes();
    let layout = VmCtxLayout::new(&counts, page_bytes)
        .ok_or_else(|| Error::Limit("an instance's context would exceed 1 GiB".to_owned()))?;
    let mut plan = Plan {
        name: module_name(module, options),
        layout,
        codes: Vec::new(),
        sigs,
        type_sigs,
        functions: Vec::new(),
        tables: Vec::new(),
        memories: Vec::new(),
        globals: Vec::new(),
        data_segments: Vec::new(),
        elem_segments: Vec::new(),
        builtins: [None; BUILTIN_COUNT],
        data: Vec::new(),
        data_code: Vec::new(),
        image: Vec::new(),
        memory_start: 0,
        image_code: Vec::new(),
        start_up: initial.steps.clone(),
        start_up_code: None,
    };
    plan.place_functions(module, &needs);
    plan.place_codes(module, &needs, &exported);
    plan.place_bound_types(module);
    plan.place_globals(module, &initial, &exported);
    plan.place_memories(module, options, &exported);
    plan.place_tables(module, &initial, &needs, &exported);
    plan.place_segments(module, &initial, &needs);
    plan.make_image(module, &initial, page_bytes);
    Ok(plan)
}

pub(crate) fn module_name(module: &WasmModule<'_>, options: &Options) -> String {
    let named = module.names.module.filter(|name| !name.is_empty());
    options.name.as_deref().or(named).unwrap_or("module").to_owned()
}

/// The module's types without repetitions, and which of them each type is.
fn distinct_types(module: &WasmModule<'_>) -> (Vec<SigPlan>, Vec<SigId>) {
    let mut sigs = Vec::new();
    let mut known: HashMap<&FuncType, SigId> = HashMap::new();
    let type_sigs = module
        .types
        .iter()
        .enumerate()
        .map(|(index, ty)| {
            *known.entry(ty).or_insert_with(|| {
                let hash = func_type_hash(ty.params.iter().copied(), ty.results.iter().copied());
                let ty = Some(TypeIndex(index as u32));
                sigs.push(SigPlan { ty, hash, entry: None, direct: None, exit: None });
                SigId(sigs.len() as u32 - 1)
            })
        })
        .collect();
    (sigs, type_sigs)
}

/// Which items are exported, by index.
struct Exported {
    functions: Vec<bool>,
    tables: Vec<bool>,
    memories: Vec<bool>,
    globals: Vec<bool>,
}

impl Exported {
    fn new(module: &WasmModule<'_>) -> Self {
        let mut exported = Self {
            functions: vec![false; module.functions.len()],
            tables: vec![false; module.tables.len()],
            memories: vec![false; module.memories.len()],
            globals: vec![false; module.globals.len()],
        };
        for export in &module.exports {
            let items = match export.kind {
                ExternKind::Func => &mut exported.functions,
                ExternKind::Table => &mut exported.tables,
                ExternKind::Memory => &mut exported.memories,
                ExternKind::Global => &mut exported.globals,
            };
            items[export.index as usize] = true;
        }
        exported
    }
}

/// What there must be, found from the facts and from what is left to the start-up routine.
struct Needs {
    /// By table: whether it is read-only data.
    closed: Vec<bool>,
    /// By function: whether it has a reference record.
    func_refs: Vec<bool>,
    /// By function: whether code outside the function index space leads to it.
    thunks: Vec<bool>,
    /// By element segment: whether its length and items must be known at run time.
    elem_lengths: Vec<bool>,
    /// By data segment: whether its length and bytes must be known at run time.
    data_lengths: Vec<bool>,
    builtins: [bool; BUILTIN_COUNT],
    /// Elements of tables below the context.
    table_elements: u64,
}

impl Needs {
    fn new(
        module: &WasmModule<'_>,
        options: &Options,
        initial: &Initial,
        exported: &Exported,
    ) -> Self {
        let facts = &module.facts;
        let mut needs = Self {
            closed: closed_tables(module, initial, exported),
            func_refs: facts.functions_referenced.clone(),
            thunks: vec![false; module.functions.len()],
            elem_lengths: facts.elements_used.clone(),
            data_lengths: facts.data_used.clone(),
            builtins: facts.builtins,
            table_elements: 0,
        };
        needs.builtins[Builtin::Trap as usize] = options.trap_style == TrapStyle::Explicit;
        let has_code = !module.bodies.is_empty();
        needs.builtins[Builtin::OutOfFuel as usize] = options.interruption.fuel && has_code;
        needs.builtins[Builtin::NewEpoch as usize] = options.interruption.epochs && has_code;
        for step in &initial.steps {
            match step {
                StartUpStep::ElementSegment { segment, .. } => {
                    needs.elem_lengths[*segment as usize] = true;
                    needs.builtins[Builtin::TableInit as usize] = true;
                }
                StartUpStep::DataSegment { segment, .. } => {
                    needs.data_lengths[*segment as usize] = true;
                    needs.builtins[Builtin::MemoryCopy as usize] = true;
                }
                StartUpStep::FillTable { .. } => {
                    needs.builtins[Builtin::TableFill as usize] = true;
                }
                StartUpStep::InitGlobal { .. } | StartUpStep::Call(_) => {}
            }
        }
        needs.references(module, initial, exported);
        needs
    }

    /// Which functions can be referenced, and which imports need a thunk for it.
    fn references(&mut self, module: &WasmModule<'_>, initial: &Initial, exported: &Exported) {
        for (referenced, exported) in self.func_refs.iter_mut().zip(&exported.functions) {
            *referenced |= exported;
        }
        for (segment, _) in
            module.elements.iter().zip(&self.elem_lengths).filter(|(_, needed)| **needed)
        {
            for op in segment.items.iter().flat_map(|item| &item.0) {
                if let ConstOp::RefFunc(function) = op {
                    self.func_refs[function.index()] = true;
                }
            }
        }
        for (table, closed) in initial.tables.iter().zip(&self.closed) {
            let Some(elements) = table else { continue };
            let used = if *closed { &mut self.thunks } else { &mut self.func_refs };
            for function in elements.iter().flatten() {
                used[function.index()] = true;
            }
            if !closed {
                self.table_elements += elements.len() as u64;
            }
        }
        for (thunk, referenced) in self.thunks.iter_mut().zip(&self.func_refs) {
            *thunk |= referenced;
        }
    }

    fn counts(&self, module: &WasmModule<'_>) -> Counts {
        let defined_globals = &module.globals[module.imported_globals as usize..];
        let globals16 = defined_globals.iter().filter(|global| global.ty == ValType::V128).count();
        let defined_tables = &self.closed[module.imported_tables as usize..];
        let count = |flags: &[bool]| flags.iter().filter(|flag| **flag).count() as u32;
        Counts {
            globals8: (module.globals.len() - globals16) as u32,
            globals16: globals16 as u32,
            function_imports: (0..module.imported_functions as usize)
                .filter(|&index| module.is_live_function(index))
                .count() as u32,
            tables: defined_tables.iter().filter(|closed| !**closed).count() as u32,
            table_imports: module.imported_tables,
            memories: module.memories.len() as u32 - module.imported_memories,
            memory_imports: module.imported_memories,
            segments: count(&self.elem_lengths) + count(&self.data_lengths),
            func_refs: count(&self.func_refs),
            table_elements: u32::try_from(self.table_elements).unwrap_or(u32::MAX),
        }
    }
}

/// A table is closed if only `call_indirect` ever looks at it and its contents are known.
fn closed_tables(module: &WasmModule<'_>, initial: &Initial, exported: &Exported) -> Vec<bool> {
    let mut closed: Vec<bool> = (0..module.tables.len())
        .map(|table| {
            initial.tables[table].is_some()
                && module.tables[table].element == ValType::FuncRef
                && !module.facts.tables_accessed[table]
                && !exported.tables[table]
                || !module.is_live_table(table)
        })
        .collect();
    for step in &initial.steps {
        if let StartUpStep::ElementSegment { table, .. } = step {
            closed[*table as usize] = false;
        }
    }
    closed
}

impl Plan {
    fn place_functions(&mut self, module: &WasmModule<'_>, needs: &Needs) {
        let import_bytes = size_of::<aotc_abi::vmctx::VmFunctionImport>() as i32;
        let record_bytes = size_of::<aotc_abi::vmctx::VmFuncRef>() as i32;
        let mut next_record = self.layout.func_refs;
        let mut next_import = self.layout.function_imports;
        for index in 0..module.functions.len() {
            let is_import = index < module.imported_functions as usize;
            let import = (is_import && module.is_live_function(index)).then(|| {
                next_import += import_bytes;
                next_import - import_bytes
            });
            let func_ref = needs.func_refs[index].then(|| {
                next_record += record_bytes;
                next_record - record_bytes
            });
            self.functions.push(FunctionPlan { code: None, import, func_ref });
        }
    }

    fn place_codes(&mut self, module: &WasmModule<'_>, needs: &Needs, exported: &Exported) {
        let imported = module.imported_functions as usize;
        for index in (imported..module.functions.len()).filter(|&i| module.is_live_function(i)) {
            let key = CodeKey::Function(DefinedFuncIndex((index - imported) as u32));
            self.functions[index].code = Some(self.add_code(key));
        }
        for index in (0..imported).filter(|&index| needs.thunks[index]) {
            let key = CodeKey::Thunk(FuncIndex(index as u32));
            self.functions[index].code = Some(self.add_code(key));
        }
        let start_up_sig = (!self.start_up.is_empty()).then(|| self.start_up_sig(module));
        let mut entries = vec![false; self.sigs.len()];
        let mut directs = vec![false; self.sigs.len()];
        let mut exits = vec![false; self.sigs.len()];
        for (index, ty) in module.functions.iter().enumerate() {
            let sig = self.type_sigs[ty.index()].0 as usize;
            entries[sig] |= needs.func_refs[index];
            let ty = &module.types[ty.index()];
            directs[sig] |= exported.functions[index]
                && can_call_directly(ty.params.iter().copied(), ty.results.iter().copied());
            exits[sig] |= index < imported && module.is_live_function(index);
        }
        let any_open = needs.closed.iter().any(|closed| !closed);
        for (ty, called) in module.facts.types_called.iter().enumerate() {
            exits[self.type_sigs[ty].0 as usize] |= *called && any_open;
        }
        if let Some(sig) = start_up_sig {
            entries[sig.0 as usize] = true;
        }
        for sig in (0..self.sigs.len()).filter(|&sig| entries[sig]) {
            self.sigs[sig].entry = Some(self.add_code(CodeKey::Entry(SigId(sig as u32))));
        }
        for sig in (0..self.sigs.len()).filter(|&sig| directs[sig]) {
            let code = self.add_code(CodeKey::DirectEntry(SigId(sig as u32)));
            self.sigs[sig].direct = Some(code);
        }
        for sig in (0..self.sigs.len()).filter(|&sig| exits[sig]) {
            self.sigs[sig].exit = Some(self.add_code(CodeKey::Exit(SigId(sig as u32))));
        }
        for row in BUILTINS.iter().filter(|row| needs.builtins[row.builtin as usize]) {
            let code = self.add_code(CodeKey::Builtin(row.builtin));
            self.builtins[row.builtin as usize] = Some(code);
        }
        if let Some(sig) = start_up_sig {
            let code = self.add_code(CodeKey::StartUp);
            let entry = self.sigs[sig.0 as usize].entry.expect("made above");
            self.start_up_code = Some((code, entry));
        }
    }

    fn place_bound_types(&mut self, module: &WasmModule<'_>) {
        for bound in 0..module.bound.len() as u32 {
            self.add_code(CodeKey::BoundType(bound));
        }
    }

    fn add_code(&mut self, key: CodeKey) -> CodeId {
        self.codes.push(key);
        CodeId(self.codes.len() as u32 - 1)
    }

    /// The type `[] -> []`, which the module may lack.
    fn start_up_sig(&mut self, module: &WasmModule<'_>) -> SigId {
        let is_empty = |ty: &FuncType| ty.params.is_empty() && ty.results.is_empty();
        match module.types.iter().position(is_empty) {
            Some(ty) => self.type_sigs[ty],
            None => {
                let hash = func_type_hash([], []);
                self.sigs.push(SigPlan { ty: None, hash, entry: None, direct: None, exit: None });
                SigId(self.sigs.len() as u32 - 1)
            }
        }
    }

    fn place_globals(&mut self, module: &WasmModule<'_>, initial: &Initial, exported: &Exported) {
        let imported = module.imported_globals as usize;
        let defined8 =
            module.globals[imported..].iter().filter(|global| global.ty != ValType::V128).count();
        let mut next8 = self.layout.globals8;
        let mut next16 = self.layout.globals16;
        // Defined globals come first: they are used without going through an address.
        let mut next_import = self.layout.globals8 - defined8 as i32 * 8;
        for (index, global) in module.globals.iter().enumerate() {
            let (next, step, place) = match (index < imported, global.ty) {
                (true, _) => (&mut next_import, -8, GlobalPlace::Imported),
                (false, ValType::V128) => (&mut next16, 16, GlobalPlace::Own),
                (false, _) => (&mut next8, -8, GlobalPlace::Own),
            };
            let slot = *next;
            *next += step;
            let changes =
                global.mutable && (module.facts.globals_set[index] || exported.globals[index]);
            let constant = initial.globals[index].filter(|_| !changes);
            self.globals.push(GlobalPlan { slot, place, constant });
        }
    }

    fn place_memories(&mut self, module: &WasmModule<'_>, options: &Options, exported: &Exported) {
        let definition_bytes = size_of::<aotc_abi::vmctx::VmMemoryDefinition>() as i32;
        let imported = module.imported_memories as usize;
        for (index, memory) in module.memories.iter().enumerate() {
            let place = if index < imported {
                MemoryPlace::Imported(self.layout.memory_imports + index as i32 * 8)
            } else if index == 0 && options.bounds_style == BoundsStyle::Guard {
                MemoryPlace::AtCtx
            } else {
                let index = (index - imported) as i32;
                MemoryPlace::Own(self.layout.memories + index * definition_bytes)
            };
            let outside = index < imported || exported.memories[index];
            let grows = outside || module.facts.memories_grown[index];
            let growth = growth(grows && memory.max != Some(memory.min) || index < imported);
            self.memories.push(MemoryPlan { place, growth });
        }
    }

    fn place_tables(
        &mut self,
        module: &WasmModule<'_>,
        initial: &Initial,
        needs: &Needs,
        exported: &Exported,
    ) {
        let definition_bytes = size_of::<aotc_abi::vmctx::VmTableDefinition>() as i32;
        let mut next_definition = self.layout.tables;
        let mut next_elements = self.layout.table_elements;
        for (index, table) in module.tables.iter().enumerate() {
            if index < module.imported_tables as usize {
                let definition = self.layout.table_imports + index as i32 * 8;
                self.tables.push(TablePlan::Imported { definition });
                continue;
            }
            if needs.closed[index] {
                let elements = initial.tables[index].as_ref().expect("closed tables are known");
                let closed = self.closed_table(module, elements);
                self.tables.push(TablePlan::Closed(closed));
                continue;
            }
            let definition = next_definition;
            next_definition += definition_bytes;
            let elements = initial.tables[index].as_ref().map(|elements| {
                let first = next_elements;
                next_elements += elements.len() as i32 * 8;
                first
            });
            // An empty table has nowhere to be; the loader decides.
            let elements = elements.filter(|_| table.min > 0);
            let grows = module.facts.tables_grown[index] || exported.tables[index];
            let growth = growth(grows && table.max != Some(table.min));
            self.tables.push(TablePlan::Own { definition, elements, growth });
        }
    }

    /// Writes a closed table into the module data.
    fn closed_table(
        &mut self,
        module: &WasmModule<'_>,
        elements: &[Option<FuncIndex>],
    ) -> ClosedTable {
        let sig_of = |function: &Option<FuncIndex>| {
            function.map(|function| self.type_sigs[module.functions[function.index()].index()])
        };
        let first = elements.first().and_then(sig_of);
        let sig = first.filter(|_| elements.iter().all(|function| sig_of(function) == first));
        let sigs: Vec<u32> =
            elements.iter().map(|f| sig_of(f).map_or(u32::MAX, |sig| sig.0)).collect();
        self.align_data(8);
        let start = self.data.len() as u32;
        for (function, element_sig) in elements.iter().zip(sigs) {
            if let Some(function) = function {
                let code = self.functions[function.index()].code;
                let code = code.expect("a function in a table has code");
                self.data_code.push((self.data.len() as u32, code));
            }
            self.data.extend_from_slice(&[0; 4]);
            if sig.is_none() {
                self.data.extend_from_slice(&element_sig.to_le_bytes());
            }
        }
        let length = elements.len() as u32;
        ClosedTable { offset: Builder::DATA_START + start, length, sig }
    }

    fn place_segments(&mut self, module: &WasmModule<'_>, initial: &Initial, needs: &Needs) {
        let mut next_length = self.layout.segments;
        let mut length_slot = |needed: bool| {
            needed.then(|| {
                next_length += 8;
                next_length - 8
            })
        };
        for index in 0..module.elements.len() {
            let length = length_slot(needs.elem_lengths[index]);
            self.elem_segments.push(ElemSegmentPlan { length });
        }
        let lengths: Vec<_> =
            needs.data_lengths.iter().map(|&needed| length_slot(needed)).collect();
        for (index, segment) in module.data.iter().enumerate() {
            let used = needs.data_lengths[index];
            let bytes = used.then(|| {
                // Once applied, the segment has length 0.
                let bytes = if initial.data_applied[index] { &[] } else { segment.bytes };
                self.align_data(16);
                let offset = Builder::DATA_START + self.data.len() as u32;
                self.data.extend_from_slice(bytes);
                (offset, bytes.len() as u32)
            });
            self.data_segments.push(DataSegmentPlan { bytes, length: lengths[index] });
        }
    }

    fn align_data(&mut self, align_bytes: usize) {
        // The data starts at a multiple of 16 in the module data.
        self.data.resize(self.data.len().next_multiple_of(align_bytes), 0);
    }

    /// Writes the initial instance.
    fn make_image(&mut self, module: &WasmModule<'_>, initial: &Initial, page_bytes: u32) {
        let page_bytes = page_bytes as usize;
        self.image = vec![0; self.layout.vmctx_bytes as usize];
        if !initial.memory.is_empty() {
            // Compilers like to put the stack first, which is zero.
            let in_page = (initial.memory_start % page_bytes as u64) as usize;
            self.memory_start = initial.memory_start - in_page as u64;
            self.image.resize(self.image.len() + in_page, 0);
            self.image.extend_from_slice(&initial.memory);
            self.image.resize(self.image.len().next_multiple_of(page_bytes), 0);
        }
        for (index, value) in initial.globals.iter().enumerate() {
            if let Some(value) = value {
                let bytes = value.bits.to_le_bytes();
                let slot = self.globals[index].slot;
                self.write_image(slot, &bytes[..value.ty.slot_bytes() as usize]);
            }
        }
        for index in 0..module.functions.len() {
            self.image_func_ref(module, index);
        }
        for (index, elements) in initial.tables.iter().enumerate() {
            let TablePlan::Own { elements: Some(first), .. } = self.tables[index] else { continue };
            for (place, function) in elements.iter().flatten().enumerate() {
                let Some(function) = function else { continue };
                let record = self.functions[function.index()].func_ref;
                let record = record.expect("a function in an open table has a record");
                let element = i64::from(record - ctx::NULL_FUNC_REF);
                self.write_image(first + place as i32 * 8, &element.to_le_bytes());
            }
        }
        for index in 0..self.elem_segments.len() {
            let segment = &module.elements[index];
            let dropped = match segment.mode {
                SegmentMode::Passive => false,
                SegmentMode::Declared => true,
                SegmentMode::Active { .. } => index < initial.elements_applied,
            };
            let length = if dropped { 0 } else { segment.items.len() as u64 };
            if let Some(slot) = self.elem_segments[index].length {
                self.write_image(slot, &length.to_le_bytes());
            }
        }
        for index in 0..self.data_segments.len() {
            let plan = &self.data_segments[index];
            if let (Some(slot), Some((_, length))) = (plan.length, plan.bytes) {
                self.write_image(slot, &u64::from(length).to_le_bytes());
            }
        }
    }

    fn image_func_ref(&mut self, module: &WasmModule<'_>, index: usize) {
        let Some(record) = self.functions[index].func_ref else { return };
        let sig = self.type_sigs[module.functions[index].index()];
        let hash = self.sigs[sig.0 as usize].hash;
        let code = self.functions[index].code.expect("a referenced function has code");
        self.write_image(record + func_ref::TYPE_HASH.offset, &hash.to_le_bytes());
        let delta = -record;
        self.write_image(record + func_ref::CTX_DELTA.offset, &delta.to_le_bytes());
        let place = self.image_place(record + func_ref::CODE_OFFSET.offset);
        self.image_code.push((place as u32, code));
    }

    fn write_image(&mut self, ctx_offset: i32, bytes: &[u8]) {
        let place = self.image_place(ctx_offset);
        self.image[place..place + bytes.len()].copy_from_slice(bytes);
    }

    /// Where a context offset is in the image.
    fn image_place(&self, ctx_offset: i32) -> usize {
        (i64::from(self.layout.vmctx_bytes) + i64::from(ctx_offset)) as usize
    }
}

fn growth(possible: bool) -> Growth {
    if possible { Growth::Possible } else { Growth::Never }
}
