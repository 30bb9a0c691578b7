//! Reads the module data in place, after checking all of it once.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Range;

use super::header::{FORMAT_VERSION, Header, LAYOUT_HASH, MAGIC, Section};
use super::record::Record;
use super::records::{
    CodeKind, CodeRange, DataSegment, ElemItem, ElemItemKind, ElemSegment, Export, ExternKind,
    Function, Global, Import, Memory, Str, Table, Type, flags,
};
use crate::builtin::BUILTIN_COUNT;
use crate::target::{Arch, BoundsStyle, Os, Target, TrapStyle};
use crate::trap::TrapKind;
use crate::types::{ValType, func_type_hash};
use crate::vmctx;

/// Why bytes are not module data that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetaError {
    /// The magic bytes are not there.
    NotAnArtifact,
    /// Another format version.
    Version {
        /// The version found.
        found: u32,
    },
    /// Another version's layouts.
    LayoutHash {
        /// The hash found.
        found: u64,
    },
    /// The data ends before it should.
    Truncated {
        /// Bytes that should be there.
        expected_bytes: u64,
        /// Bytes that are there.
        found_bytes: u64,
    },
    /// Something in the data contradicts something else.
    Malformed {
        /// What.
        what: &'static str,
        /// Offset from the start of the module data.
        offset: u64,
    },
}

impl fmt::Display for MetaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnArtifact => f.write_str("not an aotc artifact: no module data found"),
            Self::Version { found } => write!(
                f,
                "artifact has format version {found}, this loader reads version {FORMAT_VERSION}; compile the module again with the aotc of this loader"
            ),
            Self::LayoutHash { found } => write!(
                f,
                "artifact has layout hash {found:#018x}, this loader has {LAYOUT_HASH:#018x}; compile the module again with the aotc of this loader"
            ),
            Self::Truncated { expected_bytes, found_bytes } => write!(
                f,
                "artifact is truncated: expected {expected_bytes} bytes of module data, found {found_bytes}"
            ),
            Self::Malformed { what, offset } => {
                write!(f, "artifact is damaged: {what} (at offset {offset:#x} of the module data)")
            }
        }
    }
}

impl core::error::Error for MetaError {}

/// Checked module data.
#[derive(Clone, Debug)]
pub struct ModuleData<'a> {
    bytes: &'a [u8],
    header: Header,
}

/// A section of fixed-width records.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a, R> {
    bytes: &'a [u8],
    record: PhantomData<R>,
}

impl<'a, R: Record> Records<'a, R> {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.bytes.len() / R::BYTES
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Record `index`, if there are that many.
    pub fn get(&self, index: u32) -> Option<R> {
        let start = index as usize * R::BYTES;
        self.bytes.get(start..start + R::BYTES).map(R::decode)
    }

    /// Record `index`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn at(&self, index: u32) -> R {
        self.get(index).expect("record index within its section")
    }

    /// All records in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = R> + 'a
    where
        R: 'a,
    {
        self.bytes.chunks_exact(R::BYTES).map(R::decode)
    }
}

impl<'a> ModuleData<'a> {
    /// Checks `bytes`, which start with the header and may go on behind the data.
    ///
    /// `code` is where code may lie, counted from the start of `bytes`; every code offset must lie
    /// inside it. Pieces of code are required to be sorted and disjoint unless the data was
    /// `linked`, when a linker may have reordered or merged them.
    ///
    /// # Errors
    /// [`MetaError`], never a panic, for whatever bytes.
    pub fn parse(bytes: &'a [u8], code: Range<i64>, order: CodeOrder) -> Result<Self, MetaError> {
        let data = Self::parse_header(bytes)?;
        Checker { data: &data, code, order }.check()?;
        Ok(data)
    }

    /// Checks the header only, and cuts `bytes` to the module data. What this gives is for looking
    /// at the header: a target, required features.
    ///
    /// # Errors
    /// As [`ModuleData::parse`].
    pub fn parse_header(bytes: &'a [u8]) -> Result<Self, MetaError> {
        if bytes.len() < Header::LEAD_BYTES || bytes[..8] != MAGIC {
            return Err(MetaError::NotAnArtifact);
        }
        let version = u32::decode(&bytes[8..]);
        if version != FORMAT_VERSION {
            return Err(MetaError::Version { found: version });
        }
        if bytes.len() < Header::BYTES {
            return Err(truncated(Header::BYTES as u64, bytes.len()));
        }
        let header = Header::decode(bytes);
        if header.fixed.layout_hash != LAYOUT_HASH {
            return Err(MetaError::LayoutHash { found: header.fixed.layout_hash });
        }
        let blob_bytes = header.fixed.blob_bytes;
        if blob_bytes > bytes.len() as u64 {
            return Err(truncated(blob_bytes, bytes.len()));
        }
        if blob_bytes < Header::BYTES as u64 || u32::decode(&bytes[12..]) != Header::BYTES as u32 {
            return Err(malformed("header size", 12));
        }
        Ok(Self { bytes: &bytes[..blob_bytes as usize], header })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All bytes of the module data.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The target. Numbers were checked.
    pub fn target(&self) -> Target {
        let fixed = &self.header.fixed;
        Target {
            arch: Arch::from_u32(fixed.arch).expect("checked architecture"),
            os: Os::from_u32(fixed.os).expect("checked operating system"),
        }
    }

    /// How the code traps.
    pub fn trap_style(&self) -> TrapStyle {
        TrapStyle::from_u32(self.header.fixed.trap_style).expect("checked trap style")
    }

    /// How the code checks bounds.
    pub fn bounds_style(&self) -> BoundsStyle {
        BoundsStyle::from_u32(self.header.fixed.bounds_style).expect("checked bounds style")
    }

    /// The instance image.
    pub fn image(&self) -> &'a [u8] {
        let fixed = &self.header.fixed;
        &self.bytes[fixed.image_offset as usize..][..fixed.image_bytes as usize]
    }

    /// Types.
    pub fn types(&self) -> Records<'a, Type> {
        self.records(Section::Types)
    }

    /// Parameter types of `ty`.
    pub fn params(&self, ty: &Type) -> impl ExactSizeIterator<Item = ValType> + Clone + 'a {
        self.val_types(ty.types_start, ty.params)
    }

    /// Result types of `ty`.
    pub fn results(&self, ty: &Type) -> impl ExactSizeIterator<Item = ValType> + Clone + 'a {
        self.val_types(ty.types_start + ty.params, ty.results)
    }

    /// Imports.
    pub fn imports(&self) -> Records<'a, Import> {
        self.records(Section::Imports)
    }

    /// Exports.
    pub fn exports(&self) -> Records<'a, Export> {
        self.records(Section::Exports)
    }

    /// The export called `name`: its place among the exports, and the record.
    pub fn export(&self, name: &str) -> Option<(u32, Export)> {
        let order = self.records::<u32>(Section::ExportOrder);
        let exports = self.exports();
        let (mut low, mut high) = (0, order.len() as u32);
        while low < high {
            let middle = low + (high - low) / 2;
            let index = order.at(middle);
            let export = exports.at(index);
            match self.str(export.name).as_bytes().cmp(name.as_bytes()) {
                core::cmp::Ordering::Equal => return Some((index, export)),
                core::cmp::Ordering::Less => low = middle + 1,
                core::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Functions.
    pub fn functions(&self) -> Records<'a, Function> {
        self.records(Section::Functions)
    }

    /// Tables.
    pub fn tables(&self) -> Records<'a, Table> {
        self.records(Section::Tables)
    }

    /// Memories.
    pub fn memories(&self) -> Records<'a, Memory> {
        self.records(Section::Memories)
    }

    /// Globals.
    pub fn globals(&self) -> Records<'a, Global> {
        self.records(Section::Globals)
    }

    /// Data segments.
    pub fn data_segments(&self) -> Records<'a, DataSegment> {
        self.records(Section::DataSegments)
    }

    /// Element segments.
    pub fn elem_segments(&self) -> Records<'a, ElemSegment> {
        self.records(Section::ElemSegments)
    }

    /// Items of the element segments.
    pub fn elem_items(&self) -> Records<'a, ElemItem> {
        self.records(Section::ElemItems)
    }

    /// Pieces of code.
    pub fn code_ranges(&self) -> Records<'a, CodeRange> {
        self.records(Section::CodeRanges)
    }

    /// What the trap site at `offset` in `range` traps with, if there is one.
    pub fn trap_at(&self, range: &CodeRange, offset: u32) -> Option<TrapKind> {
        let offsets = self.records::<u32>(Section::TrapOffsets);
        let (mut low, mut high) = (range.traps_start, range.traps_start + range.traps);
        while low < high {
            let middle = low + (high - low) / 2;
            match offsets.at(middle).cmp(&offset) {
                core::cmp::Ordering::Equal => {
                    return TrapKind::from_u8(
                        self.section_bytes(Section::TrapKinds, 1)[middle as usize],
                    );
                }
                core::cmp::Ordering::Less => low = middle + 1,
                core::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The map from `range`'s code offsets to offsets in the wasm file.
    pub fn address_map(&self, range: &CodeRange) -> AddressMap<'a> {
        let map = self.section_bytes(Section::AddressMap, 1);
        AddressMap {
            bytes: &map[range.map_start as usize..][..range.map_bytes as usize],
            code_offset: 0,
            wasm_offset: range.wasm_offset,
        }
    }

    /// A string.
    pub fn str(&self, name: Str) -> &'a str {
        self.get_str(name).expect("checked string")
    }

    /// Size of a section, in bytes, for reports.
    pub fn section_size_bytes(&self, section: Section) -> usize {
        let width = match section {
            Section::Types => Type::BYTES,
            Section::ValTypes | Section::TrapKinds | Section::AddressMap | Section::Strings => 1,
            Section::Imports => Import::BYTES,
            Section::Exports => Export::BYTES,
            Section::ExportOrder | Section::TrapOffsets => 4,
            Section::Functions => Function::BYTES,
            Section::Tables => Table::BYTES,
            Section::Memories => Memory::BYTES,
            Section::Globals => Global::BYTES,
            Section::DataSegments => DataSegment::BYTES,
            Section::ElemSegments => ElemSegment::BYTES,
            Section::ElemItems => ElemItem::BYTES,
            Section::CodeRanges => CodeRange::BYTES,
        };
        self.header.sections[section as usize].count as usize * width
    }

    fn get_str(&self, name: Str) -> Option<&'a str> {
        let strings = self.section_bytes(Section::Strings, 1);
        let end = name.offset.checked_add(name.bytes)?;
        core::str::from_utf8(strings.get(name.offset as usize..end as usize)?).ok()
    }

    fn val_types(
        &self,
        start: u32,
        count: u32,
    ) -> impl ExactSizeIterator<Item = ValType> + Clone + 'a {
        self.section_bytes(Section::ValTypes, 1)[start as usize..][..count as usize]
            .iter()
            .map(|&number| ValType::from_u8(number).expect("checked value type"))
    }

    fn records<R: Record>(&self, section: Section) -> Records<'a, R> {
        Records { bytes: self.section_bytes(section, R::BYTES), record: PhantomData }
    }

    fn section_bytes(&self, section: Section, width: usize) -> &'a [u8] {
        let place = self.header.sections[section as usize];
        &self.bytes[place.offset as usize..][..place.count as usize * width]
    }
}

/// What order the pieces of code are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeOrder {
    /// As the compiler laid them out: sorted and disjoint.
    Sorted,
    /// As a linker laid them out.
    Linked,
}

/// Steps through the address map of one piece of code: pairs of unsigned and signed LEB128 deltas,
/// code offset and wasm offset, both from the pair before; the first from 0 and from the body's offset.
/// There is a pair for the first byte of every instruction that can trap, and for the last byte of
/// every call: one before its return address.
#[derive(Clone, Debug)]
pub struct AddressMap<'a> {
    bytes: &'a [u8],
    code_offset: u32,
    wasm_offset: u32,
}

impl Iterator for AddressMap<'_> {
    /// Code offset in the piece of code, wasm offset in the file.
    type Item = (u32, u32);

    fn next(&mut self) -> Option<Self::Item> {
        let code = self.leb()?;
        let wasm = self.leb()?;
        // The wasm delta is zigzag-coded: 0, -1, 1, -2, ...
        let wasm = (wasm >> 1) as i32 ^ -((wasm & 1) as i32);
        self.code_offset = self.code_offset.wrapping_add(code);
        self.wasm_offset = self.wasm_offset.wrapping_add(wasm as u32);
        Some((self.code_offset, self.wasm_offset))
    }
}

impl AddressMap<'_> {
    fn leb(&mut self) -> Option<u32> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let (&byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// Appends one pair; the counterpart of [`AddressMap::next`].
    pub fn encode(out: &mut alloc::vec::Vec<u8>, code_delta: u32, wasm_delta: i32) {
        for mut value in [code_delta, (wasm_delta << 1 ^ wasm_delta >> 31) as u32] {
            while value >= 0x80 {
                out.push(value as u8 | 0x80);
                value >>= 7;
            }
            out.push(value as u8);
        }
    }
}

/// The one place that decides whether bytes are module data.
struct Checker<'d, 'a> {
    data: &'d ModuleData<'a>,
    code: Range<i64>,
    order: CodeOrder,
}

impl Checker<'_, '_> {
    fn check(&self) -> Result<(), MetaError> {
        self.sections()?;
        self.header()?;
        self.types()?;
        self.names_and_indices()?;
        self.entities()?;
        self.segments()?;
        self.code()
    }

    fn sections(&self) -> Result<(), MetaError> {
        let widths: [(Section, usize); super::SECTION_COUNT] = [
            (Section::Types, Type::BYTES),
            (Section::ValTypes, 1),
            (Section::Imports, Import::BYTES),
            (Section::Exports, Export::BYTES),
            (Section::ExportOrder, 4),
            (Section::Functions, Function::BYTES),
            (Section::Tables, Table::BYTES),
            (Section::Memories, Memory::BYTES),
            (Section::Globals, Global::BYTES),
            (Section::DataSegments, DataSegment::BYTES),
            (Section::ElemSegments, ElemSegment::BYTES),
            (Section::ElemItems, ElemItem::BYTES),
            (Section::CodeRanges, CodeRange::BYTES),
            (Section::TrapOffsets, 4),
            (Section::TrapKinds, 1),
            (Section::AddressMap, 1),
            (Section::Strings, 1),
        ];
        for (section, width) in widths {
            let place = self.data.header.sections[section as usize];
            let end = u64::from(place.offset) + u64::from(place.count) * width as u64;
            if end > self.data.bytes.len() as u64 {
                return Err(malformed("section outside the module data", place.offset.into()));
            }
        }
        Ok(())
    }

    fn header(&self) -> Result<(), MetaError> {
        let fixed = &self.data.header.fixed;
        let at = Header::LEAD_BYTES as u64;
        ensure(Arch::from_u32(fixed.arch).is_some(), "unknown architecture", at)?;
        ensure(Os::from_u32(fixed.os).is_some(), "unknown operating system", at)?;
        ensure(TrapStyle::from_u32(fixed.trap_style).is_some(), "unknown trap style", at)?;
        ensure(BoundsStyle::from_u32(fixed.bounds_style).is_some(), "unknown bounds style", at)?;
        let page = u64::from(fixed.page_bytes);
        ensure(page == self.data.target().page_bytes().into(), "page size", at)?;
        let vmctx_bytes = u64::from(fixed.vmctx_bytes);
        ensure(
            vmctx_bytes.is_multiple_of(page) && vmctx_bytes >= page && vmctx_bytes <= 1 << 30,
            "context size",
            at,
        )?;
        ensure(
            fixed.image_offset.is_multiple_of(page)
                && fixed.image_bytes.is_multiple_of(page)
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
        }
        Ok(())
    }

    fn names_and_indices(&self) -> Result<(), MetaError> {
        let at = self.at(Section::Imports);
        let mut next = [0u32; 4];
        for import in self.data.imports().iter() {
            self.string(import.module)?;
            self.string(import.name)?;
            self.item(import.kind, import.index, at)?;
            // Imports come first in each index space, in order.
            let next = &mut next[import.kind as usize];
            ensure(import.index == *next, "import out of order", at)?;
            *next += 1;
        }
        for kind in [ExternKind::Func, ExternKind::Table, ExternKind::Memory, ExternKind::Global] {
            let imported = match kind {
                ExternKind::Func => {
                    self.data.functions().iter().take_while(|f| f.import != 0).count()
                }
                ExternKind::Table => count_imported(self.data.tables().iter().map(|t| t.flags)),
                ExternKind::Memory => count_imported(self.data.memories().iter().map(|m| m.flags)),
                ExternKind::Global => count_imported(self.data.globals().iter().map(|g| g.flags)),
            };
            ensure(imported == next[kind as usize] as usize, "import count", at)?;
        }
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
            let name = self.data.str(exports.at(index).name);
            ensure(previous.is_none_or(|previous| previous < name), "export order", at)?;
            previous = Some(name);
        }
        Ok(())
    }

    fn entities(&self) -> Result<(), MetaError> {
        let at = self.at(Section::Functions);
        let mut defined = false;
        for function in self.data.functions().iter() {
            ensure((function.ty as usize) < self.data.types().len(), "function type", at)?;
            ensure(function.import == 0 || !defined, "import behind a definition", at)?;
            defined |= function.import == 0;
            self.string(function.name)?;
            self.code_offset_or_none(function.code, at)?;
            self.slot_or_none(function.import, 56, at)?;
            self.slot_or_none(function.func_ref, 16, at)?;
        }
        let at = self.at(Section::Tables);
        for table in self.data.tables().iter() {
            let element = u8::try_from(table.element).ok().and_then(ValType::from_u8);
            ensure(element.is_some_and(ValType::is_ref), "table element type", at)?;
            ensure(table.min <= table.max, "table limits", at)?;
            if table.flags & flags::CLOSED != 0 {
                continue;
            }
            let bytes = if table.flags & flags::IMPORTED != 0 { 8 } else { 24 };
            self.slot(table.definition, bytes, at)?;
            if table.elements != 0 {
                ensure(table.min <= vmctx::TABLE_INLINE_ELEMENTS_MAX, "table elements", at)?;
                self.slot(table.elements, table.min * 8, at)?;
            }
        }
        let at = self.at(Section::Memories);
        let fixed = &self.data.header.fixed;
        let memory0_bytes = fixed.image_bytes - u64::from(fixed.vmctx_bytes);
        let mut at_ctx = false;
        for (index, memory) in self.data.memories().iter().enumerate() {
            ensure(memory.min <= memory.max && memory.min <= 1 << 16, "memory limits", at)?;
            let bytes = if memory.flags & flags::IMPORTED != 0 { 8 } else { 16 };
            self.slot(memory.definition, bytes, at)?;
            if memory.flags & flags::AT_CTX != 0 {
                at_ctx = true;
                ensure(
                    index == 0
                        && memory.flags & flags::IMPORTED == 0
                        && memory.definition == vmctx::ctx::MEMORY0
                        && memory0_bytes <= memory.min << 16,
                    "memory 0",
                    at,
                )?;
            }
        }
        ensure(at_ctx || memory0_bytes == 0, "image of an absent memory", at)?;
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

    fn code(&self) -> Result<(), MetaError> {
        let at = self.at(Section::CodeRanges);
        let trap_offsets = self.data.records::<u32>(Section::TrapOffsets).len() as u64;
        let trap_kinds = self.data.section_bytes(Section::TrapKinds, 1).len() as u64;
        let map_bytes = self.data.section_bytes(Section::AddressMap, 1).len() as u64;
        ensure(trap_offsets == trap_kinds, "trap table", at)?;
        let mut previous_end = self.code.start;
        for range in self.data.code_ranges().iter() {
            let start = i64::from(range.code);
            let end = start + i64::from(range.bytes);
            let sorted = self.order == CodeOrder::Linked || start >= previous_end;
            ensure(sorted && start >= self.code.start && end <= self.code.end, "code range", at)?;
            previous_end = end;
            let traps_end = u64::from(range.traps_start) + u64::from(range.traps);
            ensure(traps_end <= trap_offsets, "trap sites", at)?;
            let map_end = u64::from(range.map_start) + u64::from(range.map_bytes);
            ensure(map_end <= map_bytes, "address map", at)?;
            let valid = match CodeKind::from_u32(range.kind) {
                None => false,
                Some(CodeKind::Function | CodeKind::Thunk) => {
                    (range.index as usize) < self.data.functions().len()
                }
                Some(CodeKind::Entry | CodeKind::Exit) => true,
                Some(CodeKind::Builtin) => (range.index as usize) < BUILTIN_COUNT,
                Some(CodeKind::StartUp) => true,
            };
            ensure(valid, "code kind", at)?;
        }
        let kinds = self.data.section_bytes(Section::TrapKinds, 1);
        ensure(kinds.iter().all(|&kind| TrapKind::from_u8(kind).is_some()), "trap kind", at)
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
        ensure(self.data.get_str(name).is_some(), "string", at)
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

fn count_imported(flags: impl Iterator<Item = u32>) -> usize {
    flags.take_while(|flags| flags & flags::IMPORTED != 0).count()
}

fn ensure(holds: bool, what: &'static str, offset: u64) -> Result<(), MetaError> {
    if holds { Ok(()) } else { Err(malformed(what, offset)) }
}

fn malformed(what: &'static str, offset: u64) -> MetaError {
    MetaError::Malformed { what, offset }
}

fn truncated(expected_bytes: u64, found: usize) -> MetaError {
    MetaError::Truncated { expected_bytes, found_bytes: found as u64 }
}
