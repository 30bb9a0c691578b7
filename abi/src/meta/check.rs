//! Checks all of the module data once, so that reading it in place cannot fail afterwards.

use core::ops::Range;

use super::checksum::checksum;
use super::header::{Header, SECTION_COUNT, Section};
use super::record::Record;
use super::records::{
    BindStyle, Bound, CodeKind, DataSegment, ElemItem, ElemItemKind, ElemSegment, Export,
    ExternKind, Function, FunctionExtent, FunctionImport, Global, Import, LineFunction, Memory,
    OtherCode, Str, Table, Type, flags,
};
use super::view::{CodeOrder, MetaError, ModuleData, malformed};
use crate::builtin::BUILTIN_COUNT;
use crate::target::{Arch, BoundsStyle, Interruption, Os, TrapStyle};
use crate::types::{ValType, can_call_directly, func_type_hash};
use crate::vmctx;

/// The one place that decides whether bytes are module data.
pub(super) struct Checker<'d, 'a> {
    pub(super) data: &'d ModuleData<'a>,
    pub(super) code: Range<i64>,
    pub(super) order: CodeOrder,
    /// All strings at once, if they are text: then each only has to begin and end between characters.
    pub(super) strings: Option<&'a str>,
}

impl Checker<'_, '_> {
    pub(super) fn check(mut self) -> Result<(), MetaError> {
        self.checksum()?;
        self.sections()?;
        self.strings = core::str::from_utf8(self.data.section_bytes(Section::Strings, 1)).ok();
        self.header()?;
        self.types()?;
        self.imports()?;
        self.import_counts()?;
        self.exports()?;
        self.functions()?;
        self.tables()?;
        self.memories()?;
        self.globals()?;
        self.segments()?;
        self.code()?;
        self.bound()?;
        self.code_offsets()
    }

    /// Only what instantiation goes by, and none of the tables that are as long as the module has functions: what a
    /// linker put into the program is as trusted as the program.
    pub(super) fn check_linked(self) -> Result<(), MetaError> {
        self.sections()?;
        self.header()?;
        self.types()?;
        self.imports()?;
        self.exports()?;
        self.tables()?;
        self.memories()?;
        self.globals()?;
        self.bound()
    }

    fn checksum(&self) -> Result<(), MetaError> {
        if self.order == CodeOrder::Linked {
            return Ok(());
        }
        let at = Header::LEAD_BYTES as u64;
        let covered_bytes = usize::try_from(self.data.header.covered_bytes()).unwrap_or(usize::MAX);
        let covered = self.data.bytes.get(..covered_bytes).filter(|c| c.len() >= Header::BYTES);
        let sum = covered.map(checksum);
        ensure(sum == Some(self.data.header.fixed.checksum), "checksum", at)
    }

    fn sections(&self) -> Result<(), MetaError> {
        let widths: [(Section, usize); SECTION_COUNT - 2] = [
            (Section::Types, Type::BYTES),
            (Section::ValTypes, 1),
            (Section::Imports, Import::BYTES),
            (Section::Exports, Export::BYTES),
            (Section::ExportOrder, 4),
            (Section::Tables, Table::BYTES),
            (Section::Memories, Memory::BYTES),
            (Section::Globals, Global::BYTES),
            (Section::DataSegments, DataSegment::BYTES),
            (Section::ElemSegments, ElemSegment::BYTES),
            (Section::ElemItems, ElemItem::BYTES),
            (Section::FunctionImports, FunctionImport::BYTES),
            (Section::FunctionCodes, i32::BYTES),
            (Section::OtherCodes, OtherCode::BYTES),
            (Section::CodeSites, 1),
            (Section::LineFunctions, LineFunction::BYTES),
            (Section::Lines, 1),
            (Section::LineStrings, Str::BYTES),
            (Section::Bound, Bound::BYTES),
            (Section::Strings, 1),
        ];
        for (section, width) in widths {
            let place = self.data.header.sections[section as usize];
            let end = u64::from(place.offset) + u64::from(place.count) * width as u64;
            if end > self.data.bytes.len() as u64 {
                return Err(malformed("section outside the module data", place.offset.into()));
            }
        }
        let at = self.at(Section::Functions);
        let functions = self.data.try_packed::<Function>(Section::Functions);
        ensure(functions.is_some(), "table of the functions", at)?;
        let at = self.at(Section::FunctionExtents);
        let extents = self.data.try_packed::<FunctionExtent>(Section::FunctionExtents);
        ensure(extents.is_some(), "table of the functions' code", at)?;
        let count = |section: Section| u64::from(self.data.header.sections[section as usize].count);
        let functions = count(Section::FunctionImports) + count(Section::FunctionCodes);
        let at = self.at(Section::Functions);
        ensure(functions == count(Section::Functions), "number of functions", at)?;
        let at = self.at(Section::FunctionExtents);
        let extents = count(Section::FunctionExtents);
        ensure(extents == count(Section::FunctionCodes), "number of functions with code", at)
    }

    fn header(&self) -> Result<(), MetaError> {
        let fixed = &self.data.header.fixed;
        let at = Header::LEAD_BYTES as u64;
        ensure(Arch::from_u32(fixed.arch).is_some(), "unknown architecture", at)?;
        ensure(Os::from_u32(fixed.os).is_some(), "unknown operating system", at)?;
        ensure(TrapStyle::from_u32(fixed.trap_style).is_some(), "unknown trap style", at)?;
        ensure(BoundsStyle::from_u32(fixed.bounds_style).is_some(), "unknown bounds style", at)?;
        let interruption = Interruption::from_bits(fixed.interruption);
        ensure(interruption.is_some(), "unknown way of interruption", at)?;
        let page = u64::from(fixed.page_bytes);
        ensure(page == self.data.target().page_bytes().into(), "page size", at)?;
        let vmctx_bytes = u64::from(fixed.vmctx_bytes);
        ensure(
            vmctx_bytes.is_multiple_of(page) && vmctx_bytes >= page && vmctx_bytes <= 1 << 30,
            "context size",
            at,
        )?;
        ensure(
            fixed.image_bytes.is_multiple_of(page)
                && fixed.image_bytes >= vmctx_bytes
                && fixed
                    .image_offset
                    .checked_add(fixed.image_bytes)
                    .is_some_and(|end| end <= self.data.bytes.len() as u64),
            "instance image",
            at,
        )?;
        self.string(fixed.name)?;
        self.string(fixed.producer)?;
        self.code_offset_or_none(fixed.start_up, at)?;
        self.code_offset_or_none(fixed.start_up_entry, at)?;
        ensure(
            fixed.start_up == 0 || fixed.start_up_entry != 0,
            "start-up routine without entry",
            at,
        )
    }

    fn types(&self) -> Result<(), MetaError> {
        let val_types = self.data.section_bytes(Section::ValTypes, 1);
        let at = self.at(Section::ValTypes);
        ensure(
            val_types.iter().all(|&ty| ValType::from_u8(ty).is_some()),
            "unknown value type",
            at,
        )?;
        let at = self.at(Section::Types);
        for ty in self.data.types().iter() {
            let end = u64::from(ty.types_start) + u64::from(ty.params) + u64::from(ty.results);
            ensure(end <= val_types.len() as u64, "type outside the value types", at)?;
            let hash = func_type_hash(self.data.params(&ty), self.data.results(&ty));
            ensure(hash == ty.hash, "type hash", at)?;
            self.code_offset_or_none(ty.entry, at)?;
            self.code_offset_or_none(ty.exit, at)?;
            self.code_offset_or_none(ty.direct, at)?;
        }
        Ok(())
    }

    fn imports(&self) -> Result<(), MetaError> {
        let at = self.at(Section::Imports);
        for import in self.data.imports().iter() {
            self.string(import.module)?;
            self.string(import.name)?;
            self.item(import.kind, import.index, at)?;
        }
        Ok(())
    }

    /// Imports come first in each index space, in order. Those of functions that nothing calls may have been left out.
    fn import_counts(&self) -> Result<(), MetaError> {
        let at = self.at(Section::Imports);
        let mut next = [0u32; 4];
        for import in self.data.imports().iter() {
            let next = &mut next[import.kind as usize];
            if import.kind == ExternKind::Func as u32 {
                let is_import = |i| self.data.function_import(i) != 0;
                let left_out = (*next..import.index).all(|i| !is_import(i));
                ensure(left_out && is_import(import.index), "import out of order", at)?;
                ensure(import.index >= *next, "import out of order", at)?;
                *next = import.index;
            }
            ensure(import.index == *next, "import out of order", at)?;
            *next += 1;
        }
        for kind in [ExternKind::Func, ExternKind::Table, ExternKind::Memory, ExternKind::Global] {
            let imported = match kind {
                ExternKind::Func => {
                    let imports = self.data.function_imports().iter().enumerate();
                    let kept = imports.filter(|(_, function)| function.import != 0);
                    kept.last().map_or(0, |(last, _)| last + 1)
                }
                ExternKind::Table => count_imported(self.data.tables().iter().map(|t| t.flags)),
                ExternKind::Memory => count_imported(self.data.memories().iter().map(|m| m.flags)),
                ExternKind::Global => count_imported(self.data.globals().iter().map(|g| g.flags)),
            };
            ensure(imported == next[kind as usize] as usize, "import count", at)?;
        }
        Ok(())
    }

    fn exports(&self) -> Result<(), MetaError> {
        let at = self.at(Section::Exports);
        let exports = self.data.exports();
        for export in exports.iter() {
            self.string(export.name)?;
            self.item(export.kind, export.index, at)?;
        }
        let order = self.data.records::<u32>(Section::ExportOrder);
        ensure(order.len() == exports.len(), "export order", at)?;
        let mut previous: Option<&str> = None;
        for index in order.iter() {
            ensure((index as usize) < exports.len(), "export order", at)?;
            let name = self.text(exports.at(index).name).expect("checked string");
            ensure(previous.is_none_or(|previous| previous < name), "export order", at)?;
            previous = Some(name);
        }
        Ok(())
    }

    fn functions(&self) -> Result<(), MetaError> {
        let at = self.at(Section::Functions);
        let types = self.data.types().len();
        let mut name_start = 0;
        for function in self.data.functions().iter() {
            ensure((function.ty as usize) < types, "function type", at)?;
            self.slot_or_none(function.func_ref, record_bytes::<vmctx::VmFuncRef>(), at)?;
            self.function_name(name_start, function.name_start)?;
            name_start = function.name_start;
        }
        self.function_name(name_start, self.data.header.fixed.function_names_bytes)?;
        let at = self.at(Section::FunctionImports);
        for function in self.data.function_imports().iter() {
            self.slot_or_none(function.import, record_bytes::<vmctx::VmFunctionImport>(), at)?;
            self.code_offset_or_none(function.thunk, at)?;
        }
        Ok(())
    }

    /// The strings have a name from `start` to `end`.
    fn function_name(&self, start: u32, end: u32) -> Result<(), MetaError> {
        let at = self.at(Section::Functions);
        ensure(start <= end, "name of a function", at)?;
        self.string(Str { offset: start, bytes: end - start })
    }

    fn tables(&self) -> Result<(), MetaError> {
        let at = self.at(Section::Tables);
        for table in self.data.tables().iter() {
            let element = u8::try_from(table.element).ok().and_then(ValType::from_u8);
            ensure(element.is_some_and(ValType::is_ref), "table element type", at)?;
            ensure(table.min <= table.max, "table limits", at)?;
            if table.flags & flags::CLOSED != 0 {
                continue;
            }
            let bytes = match table.flags & flags::IMPORTED {
                0 => record_bytes::<vmctx::VmTableDefinition>(),
                _ => 8,
            };
            self.slot(table.definition, bytes, at)?;
            if table.elements != 0 {
                ensure(table.min <= vmctx::TABLE_INLINE_ELEMENTS_MAX, "table elements", at)?;
                self.slot(table.elements, table.min * 8, at)?;
            }
        }
        Ok(())
    }

    fn memories(&self) -> Result<(), MetaError> {
        let at = self.at(Section::Memories);
        let fixed = &self.data.header.fixed;
        let memory0_bytes = fixed.image_bytes - u64::from(fixed.vmctx_bytes);
        let memory0_end = fixed.memory_start.checked_add(memory0_bytes);
        let page = u64::from(fixed.page_bytes);
        ensure(fixed.memory_start.is_multiple_of(page), "start of the image of memory 0", at)?;
        let mut at_ctx = false;
        for (index, memory) in self.data.memories().iter().enumerate() {
            ensure(
                memory.min <= memory.max && memory.min <= vmctx::MEMORY_PAGES_MAX,
                "memory limits",
                at,
            )?;
            let bytes = match memory.flags & flags::IMPORTED {
                0 => record_bytes::<vmctx::VmMemoryDefinition>(),
                _ => 8,
            };
            self.slot(memory.definition, bytes, at)?;
            if memory.flags & flags::AT_CTX != 0 {
                at_ctx = true;
                ensure(
                    index == 0
                        && memory.flags & flags::IMPORTED == 0
                        && memory.definition == vmctx::ctx::MEMORY0
                        && memory0_end
                            .is_some_and(|end| end <= memory.min << vmctx::MEMORY_PAGE_BITS),
                    "memory 0",
                    at,
                )?;
            }
        }
        ensure(at_ctx || memory0_end == Some(0), "image of an absent memory", at)
    }

    fn globals(&self) -> Result<(), MetaError> {
        let at = self.at(Section::Globals);
        for global in self.data.globals().iter() {
            let ty = u8::try_from(global.ty).ok().and_then(ValType::from_u8);
            let imported = global.flags & flags::IMPORTED != 0;
            let Some(ty) = ty else { return Err(malformed("global type", at)) };
            self.slot(global.slot, if imported { 8 } else { ty.slot_bytes().into() }, at)?;
        }
        Ok(())
    }

    fn segments(&self) -> Result<(), MetaError> {
        let at = self.at(Section::DataSegments);
        for segment in self.data.data_segments().iter() {
            let end = u64::from(segment.offset) + u64::from(segment.bytes);
            ensure(end <= self.data.bytes.len() as u64, "data segment", at)?;
            self.slot_or_none(segment.length, 8, at)?;
        }
        let at = self.at(Section::ElemSegments);
        let items = self.data.elem_items();
        for segment in self.data.elem_segments().iter() {
            let element = u8::try_from(segment.element).ok().and_then(ValType::from_u8);
            ensure(element.is_some_and(ValType::is_ref), "segment element type", at)?;
            let end = u64::from(segment.items_start) + u64::from(segment.items);
            ensure(end <= items.len() as u64, "element segment", at)?;
            ensure(segment.items == 0 || segment.length != 0, "element segment", at)?;
            self.slot_or_none(segment.length, 8, at)?;
            for index in segment.items_start..segment.items_start + segment.items {
                let item = items.at(index);
                let valid = match ElemItemKind::from_u32(item.kind) {
                    None => false,
                    Some(ElemItemKind::Null) => true,
                    Some(ElemItemKind::Func) => {
                        segment.element == ValType::FuncRef as u32
                            && self
                                .data
                                .functions()
                                .get(item.index)
                                .is_some_and(|f| f.func_ref != 0)
                    }
                    Some(ElemItemKind::Global) => {
                        self.data.globals().get(item.index).is_some_and(|g| g.ty == segment.element)
                    }
                };
                ensure(valid, "element segment item", at)?;
            }
        }
        Ok(())
    }

    /// Trap sites and address maps are not looked at: whoever reads them takes them as they are.
    fn code(&self) -> Result<(), MetaError> {
        self.lines()?;
        let at = self.at(Section::FunctionCodes);
        let functions = self.data.functions().len();
        let ranges = self.data.code_ranges();
        let (mut previous_start, mut previous_end) = (self.code.start, self.code.start);
        for range in ranges.iter() {
            let start = i64::from(range.code);
            let end = start + i64::from(range.bytes);
            let sorted = match range.bytes {
                _ if self.order == CodeOrder::Linked => true,
                // Nothing is there that could overlap.
                0 => start >= previous_start,
                _ => start >= previous_end,
            };
            let inside = start >= self.code.start && end <= self.code.end;
            // A function without code where there is no code at all.
            ensure(sorted && inside || range.bytes == 0 && start == 0, "code range", at)?;
            (previous_start, previous_end) = (start, previous_end.max(end));
            let valid = match CodeKind::from_u32(range.kind) {
                None => false,
                Some(CodeKind::Function | CodeKind::Thunk) => (range.index as usize) < functions,
                Some(CodeKind::Entry | CodeKind::Exit | CodeKind::DirectEntry) => true,
                Some(CodeKind::Builtin) => (range.index as usize) < BUILTIN_COUNT,
                Some(CodeKind::StartUp) => true,
                Some(CodeKind::BoundType) => (range.index as usize) < self.data.bound().len(),
            };
            ensure(valid, "code kind", at)?;
            ensure(range.sites.0 <= range.sites.1, "code sites", self.at(Section::CodeSites))?;
        }
        Ok(())
    }

    fn lines(&self) -> Result<(), MetaError> {
        let at = self.at(Section::LineFunctions);
        let line_bytes = self.data.section_bytes(Section::Lines, 1).len() as u64;
        let line_functions = self.data.records::<LineFunction>(Section::LineFunctions);
        ensure(line_functions.len() <= self.data.functions().len(), "lines", at)?;
        for function in line_functions.iter() {
            let end = u64::from(function.start) + u64::from(function.bytes);
            ensure(end <= line_bytes, "lines", at)?;
        }
        for name in self.data.records::<Str>(Section::LineStrings).iter() {
            self.string(name)?;
        }
        Ok(())
    }

    fn bound(&self) -> Result<(), MetaError> {
        let at = self.at(Section::Bound);
        let functions = self.data.functions();
        for bound in self.data.bound().iter() {
            // An image has no relocations, so it can lead to no symbol.
            ensure(self.order == CodeOrder::Linked, "bound function of an image", at)?;
            self.string(bound.module)?;
            self.string(bound.name)?;
            self.string(bound.symbol)?;
            ensure(BindStyle::from_u32(bound.style).is_some(), "style of a bound function", at)?;
            let function = functions.get(bound.function);
            let types = self.data.types().len();
            let defined = bound.function as usize >= self.data.function_imports().len();
            let fits = |it: Function| defined && (it.ty as usize) < types;
            ensure(function.is_some_and(fits), "index of a bound function", at)?;
            self.code_offset_or_none(bound.type_code, at)?;
        }
        Ok(())
    }

    /// Whatever is called lies where a piece of code for it begins. Code that a linker laid out is not
    /// looked up: its pieces are in no order, and it is part of a program that is trusted.
    fn code_offsets(&self) -> Result<(), MetaError> {
        if self.order == CodeOrder::Linked {
            return Ok(());
        }
        let (data, fixed) = (self.data, &self.data.header.fixed);
        let at = Header::LEAD_BYTES as u64;
        self.begins(fixed.start_up, at, |kind, _| kind == CodeKind::StartUp)?;
        // The type of the start-up routine need not be among the module's.
        let no_values =
            |index| data.types().get(index).is_none_or(|ty| ty.params + ty.results == 0);
        self.begins(fixed.start_up_entry, at, |kind, index| {
            kind == CodeKind::Entry && no_values(index)
        })?;
        let at = self.at(Section::Types);
        for ty in data.types().iter() {
            let same = |index| data.types().get(index).is_some_and(|other| other.hash == ty.hash);
            self.begins(ty.entry, at, |kind, index| kind == CodeKind::Entry && same(index))?;
            self.begins(ty.exit, at, |kind, index| kind == CodeKind::Exit && same(index))?;
            self.begins(ty.direct, at, |kind, index| kind == CodeKind::DirectEntry && same(index))?;
            let can = can_call_directly(data.params(&ty), data.results(&ty));
            ensure(ty.direct == 0 || can, "direct entry", at)?;
        }
        let at = self.at(Section::FunctionImports);
        for (own, function) in (0..).zip(data.function_imports().iter()) {
            self.begins(function.thunk, at, |kind, index| kind == CodeKind::Thunk && index == own)?;
        }
        Ok(())
    }

    /// A piece of code with this kind and index, which is no function of the module, begins at `offset`, unless that is 0.
    fn begins(
        &self,
        offset: i32,
        at: u64,
        is_it: impl FnOnce(CodeKind, u32) -> bool,
    ) -> Result<(), MetaError> {
        if offset == 0 {
            return Ok(());
        }
        let pieces = self.data.records::<OtherCode>(Section::OtherCodes);
        let (mut low, mut high) = (0, pieces.len() as u32);
        while low < high {
            let middle = low + (high - low) / 2;
            if pieces.at(middle).code < offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let found = pieces.get(low).filter(|piece| piece.code == offset && piece.bytes > 0);
        let found = found.and_then(|piece| Some((CodeKind::from_u32(piece.kind)?, piece.index)));
        ensure(found.is_some_and(|(kind, index)| is_it(kind, index)), "code offset", at)
    }

    fn item(&self, kind: u32, index: u32, at: u64) -> Result<(), MetaError> {
        let count = match ExternKind::from_u32(kind) {
            Some(ExternKind::Func) => self.data.functions().len(),
            Some(ExternKind::Table) => self.data.tables().len(),
            Some(ExternKind::Memory) => self.data.memories().len(),
            Some(ExternKind::Global) => self.data.globals().len(),
            None => return Err(malformed("unknown kind of import or export", at)),
        };
        ensure((index as usize) < count, "import or export index", at)
    }

    fn string(&self, name: Str) -> Result<(), MetaError> {
        let at = self.at(Section::Strings) + u64::from(name.offset);
        ensure(self.text(name).is_some(), "string", at)
    }

    /// As [`ModuleData::get_str`], without looking at every byte again.
    fn text(&self, name: Str) -> Option<&str> {
        match self.strings {
            Some(strings) => {
                let end = name.offset.checked_add(name.bytes)?;
                strings.get(name.offset as usize..end as usize)
            }
            None => self.data.get_str(name),
        }
    }

    fn code_offset_or_none(&self, offset: i32, at: u64) -> Result<(), MetaError> {
        let inside = offset == 0 || self.code.contains(&i64::from(offset));
        ensure(inside, "code offset outside the code", at)
    }

    fn slot_or_none(&self, offset: i32, bytes: u64, at: u64) -> Result<(), MetaError> {
        if offset == 0 { Ok(()) } else { self.slot(offset, bytes, at) }
    }

    /// `bytes` at context offset `offset` lie below the context, and are aligned to 8.
    fn slot(&self, offset: i32, bytes: u64, at: u64) -> Result<(), MetaError> {
        let lowest = -i64::from(self.data.header.fixed.vmctx_bytes);
        let start = i64::from(offset);
        let inside = start >= lowest
            && i64::try_from(bytes).is_ok_and(|bytes| start + bytes <= 0)
            && start % 8 == 0;
        ensure(inside, "context offset", at)
    }

    fn at(&self, section: Section) -> u64 {
        self.data.header.sections[section as usize].offset.into()
    }
}

/// Size of a record below the context, in bytes.
const fn record_bytes<T>() -> u64 {
    size_of::<T>() as u64
}

fn count_imported(flags: impl Iterator<Item = u32>) -> usize {
    flags.take_while(|flags| flags & flags::IMPORTED != 0).count()
}

fn ensure(holds: bool, what: &'static str, offset: u64) -> Result<(), MetaError> {
    if holds { Ok(()) } else { Err(malformed(what, offset)) }
}
