//! Reads the module data in place, after checking all of it once.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Range;

use super::builder::Builder;
use super::check::Checker;
use super::code::CodeRange;
use super::header::{FORMAT_VERSION, Header, LAYOUT_HASH, MAGIC, Section};
use super::lines::LineFrames;
use super::packed::{PackedRecord, PackedRecords};
use super::record::Record;
use super::records::{
    Bound, DataSegment, ElemItem, ElemSegment, Export, Function, FunctionExtent, FunctionImport,
    Global, Import, LineFunction, Memory, OtherCode, Str, Table, Type,
};
use crate::target::{Arch, BoundsStyle, Interruption, Os, Target, TrapStyle};
use crate::types::ValType;

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
    pub(super) bytes: &'a [u8],
    pub(super) header: Header,
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
        Checker { data: &data, code, order, strings: None }.check()?;
        Ok(data)
    }

    /// As [`ModuleData::parse`], of `bytes` that a linker put into the program. Only what instantiation goes by is looked at,
    /// which does not grow with the number of functions; the rest is as trusted as the program's code.
    ///
    /// # Errors
    /// As [`ModuleData::parse`].
    pub fn parse_linked(bytes: &'a [u8]) -> Result<Self, MetaError> {
        let data = Self::parse_header(bytes)?;
        let (code, order) = (LINKED_CODE, CodeOrder::Linked);
        Checker { data: &data, code, order, strings: None }.check_linked()?;
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

    /// Whether there is a block of bytes that compiled code reads, which is before all sections.
    pub fn has_block(&self) -> bool {
        self.header.sections[Section::Types as usize].offset > Builder::DATA_START
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

    /// By what the code can be interrupted.
    pub fn interruption(&self) -> Interruption {
        Interruption::from_bits(self.header.fixed.interruption).expect("checked interruption")
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
    pub fn functions(&self) -> PackedRecords<'a, Function> {
        self.packed(Section::Functions)
    }

    /// Imported functions.
    pub fn function_imports(&self) -> Records<'a, FunctionImport> {
        self.records(Section::FunctionImports)
    }

    /// Name of the function `index` from the name section, or empty.
    ///
    /// # Panics
    /// If there are fewer functions.
    pub fn function_name(&self, index: u32) -> &'a str {
        self.str(self.function_name_place(index))
    }

    /// Context offset of the [`crate::vmctx::VmFunctionImport`] of the function `index`; 0 if it is defined in the module,
    /// or nothing leads to it.
    pub fn function_import(&self, index: u32) -> i32 {
        self.function_imports().get(index).map_or(0, |function| function.import)
    }

    /// Wasm-call entry of the function `index`; of an import that is referenced, its thunk; 0 if it has no code.
    pub fn function_code(&self, index: u32) -> i32 {
        let imports = self.function_imports();
        match index.checked_sub(imports.len() as u32) {
            None => imports.at(index).thunk,
            Some(index) => {
                let extents = self.packed::<FunctionExtent>(Section::FunctionExtents);
                let has_code = extents.get(index).is_some_and(|extent| extent.bytes > 0);
                let starts = self.records::<i32>(Section::FunctionCodes);
                if has_code { starts.at(index) } else { 0 }
            }
        }
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

    /// Bound functions.
    pub fn bound(&self) -> Records<'a, Bound> {
        self.records(Section::Bound)
    }

    /// Whether there are lines of the source.
    pub fn has_lines(&self) -> bool {
        self.header.sections[Section::LineFunctions as usize].count > 0
    }

    /// What the source has at `wasm_offset` in the function `range`: the function and those that it is inlined into, the
    /// innermost first. Strings are found with [`ModuleData::line_string`].
    pub fn lines(&self, range: &CodeRange, wasm_offset: u32) -> LineFrames<'a> {
        let functions = self.records::<LineFunction>(Section::LineFunctions);
        let imported = (self.functions().len() as u32).saturating_sub(functions.len() as u32);
        let function = range.index.checked_sub(imported).and_then(|index| functions.get(index));
        let bytes = self.section_bytes(Section::Lines, 1);
        let bytes = function.map_or(&[][..], |at| &bytes[at.start as usize..][..at.bytes as usize]);
        LineFrames::find(bytes, self.wasm_offset(range), wasm_offset)
    }

    /// A name in the lines; `None` if the lines make no sense.
    pub fn line_string(&self, index: u32) -> Option<&'a str> {
        self.records::<Str>(Section::LineStrings).get(index).map(|name| self.str(name))
    }

    /// A string.
    pub fn str(&self, name: Str) -> &'a str {
        self.get_str(name).expect("checked string")
    }

    /// Size of a section, in bytes, for reports.
    pub fn section_size_bytes(&self, section: Section) -> usize {
        let width = match section {
            Section::Functions => return self.packed::<Function>(section).bytes(),
            Section::FunctionExtents => return self.packed::<FunctionExtent>(section).bytes(),
            Section::Types => Type::BYTES,
            Section::ValTypes | Section::CodeSites | Section::Lines | Section::Strings => 1,
            Section::LineFunctions => LineFunction::BYTES,
            Section::LineStrings => Str::BYTES,
            Section::Bound => Bound::BYTES,
            Section::Imports => Import::BYTES,
            Section::Exports => Export::BYTES,
            Section::ExportOrder | Section::FunctionCodes => 4,
            Section::Tables => Table::BYTES,
            Section::Memories => Memory::BYTES,
            Section::Globals => Global::BYTES,
            Section::DataSegments => DataSegment::BYTES,
            Section::ElemSegments => ElemSegment::BYTES,
            Section::ElemItems => ElemItem::BYTES,
            Section::FunctionImports => FunctionImport::BYTES,
            Section::OtherCodes => OtherCode::BYTES,
        };
        self.header.sections[section as usize].count as usize * width
    }

    /// Where the name of the function `index` is.
    pub(super) fn function_name_place(&self, index: u32) -> Str {
        let functions = self.functions();
        let offset = functions.at(index).name_start;
        let end = functions
            .get(index + 1)
            .map_or(self.header.fixed.function_names_bytes, |next| next.name_start);
        Str { offset, bytes: end.saturating_sub(offset) }
    }

    pub(super) fn get_str(&self, name: Str) -> Option<&'a str> {
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

    pub(super) fn records<R: Record>(&self, section: Section) -> Records<'a, R> {
        Records { bytes: self.section_bytes(section, R::BYTES), record: PhantomData }
    }

    pub(super) fn packed<R: PackedRecord>(&self, section: Section) -> PackedRecords<'a, R> {
        self.try_packed(section).expect("checked table")
    }

    pub(super) fn try_packed<R: PackedRecord>(
        &self,
        section: Section,
    ) -> Option<PackedRecords<'a, R>> {
        let place = self.header.sections[section as usize];
        PackedRecords::parse(self.bytes.get(place.offset as usize..)?, place.count)
    }

    pub(super) fn section_bytes(&self, section: Section, width: usize) -> &'a [u8] {
        let place = self.header.sections[section as usize];
        &self.bytes[place.offset as usize..][..place.count as usize * width]
    }
}

/// Where a linker can have put code, counted from the start of the module data: wherever a code offset leads.
pub const LINKED_CODE: Range<i64> = i32::MIN as i64..1 << 31;

/// What order the pieces of code are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeOrder {
    /// As the compiler laid them out: sorted and disjoint.
    Sorted,
    /// As a linker laid them out.
    Linked,
}

fn truncated(expected_bytes: u64, found: usize) -> MetaError {
    MetaError::Truncated { expected_bytes, found_bytes: found as u64 }
}

pub(super) fn malformed(what: &'static str, offset: u64) -> MetaError {
    MetaError::Malformed { what, offset }
}
