//! The header of the module data, its version, and the hash of everything it relies on.

use alloc::vec::Vec;
use core::mem::{offset_of, size_of};

use super::packed::PackedRecord;
use super::record::{Record, record};
use super::records;
use crate::builtin::{AbiResult, AbiType, BUILTINS};
use crate::trap::TRAP_KINDS;
use crate::types::{FNV_OFFSET, fnv1a};
use crate::vmctx;

/// The first bytes of every module's data.
pub const MAGIC: [u8; 8] = *b"aotcmod\0";

/// The version of the format. Raised when the meaning of something changes that [`LAYOUT_HASH`] does not cover.
pub const FORMAT_VERSION: u32 = 2;

/// The parts of the module data that are located through the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Section {
    /// [`records::Type`].
    Types,
    /// Value type numbers, one byte each.
    ValTypes,
    /// [`records::Import`].
    Imports,
    /// [`records::Export`].
    Exports,
    /// `u32` indices of the exports, sorted by the bytes of their names.
    ExportOrder,
    /// [`records::Function`], packed.
    Functions,
    /// [`records::Table`].
    Tables,
    /// [`records::Memory`].
    Memories,
    /// [`records::Global`].
    Globals,
    /// [`records::DataSegment`].
    DataSegments,
    /// [`records::ElemSegment`].
    ElemSegments,
    /// [`records::ElemItem`].
    ElemItems,
    /// [`records::FunctionImport`].
    FunctionImports,
    /// First bytes of the functions that the module defines, `i32` in the order of the index space; in an image, ascending. Of a
    /// function that nothing leads to, that of the next piece of code.
    FunctionCodes,
    /// [`records::FunctionExtent`], packed.
    FunctionExtents,
    /// [`records::OtherCode`].
    OtherCodes,
    /// Trap sites and address map of each piece of code. See [`super::CodeRanges`].
    CodeSites,
    /// [`records::LineFunction`]: one for each function that the module defines, or none.
    LineFunctions,
    /// See [`super::LineFrames`].
    Lines,
    /// [`records::Str`]: names of functions and files in the lines.
    LineStrings,
    /// [`records::Bound`].
    Bound,
    /// UTF-8: the names of the functions, then the others.
    Strings,
}

/// Number of [`Section`]s.
pub const SECTION_COUNT: usize = Section::Strings as usize + 1;

record! {
    /// Where a section is.
    pub struct SectionRef {
        /// Offset from the start of the module data, in bytes.
        pub offset: u32,
        /// Number of records (bytes, for sections of bytes).
        pub count: u32,
    }
}

record! {
    /// The head of the module data, after [`MAGIC`], [`FORMAT_VERSION`] (u32) and the header's size (u32).
    pub struct Fixed {
        /// Checksum over the module data up to the end of the image's context; see [`super::seal`]. Not
        /// set in objects, where a linker changes what it would cover.
        pub checksum: u64,
        /// [`LAYOUT_HASH`] of the compiler.
        pub layout_hash: u64,
        /// Size of the module data, in bytes.
        pub blob_bytes: u64,
        /// [`crate::target::CpuFeatures`] that the code may use.
        pub cpu_features: u64,
        /// Size of the guard behind a reserved memory that the code relies on, in bytes.
        pub guard_bytes: u64,
        /// Offset of the instance image.
        pub image_offset: u64,
        /// Size of the instance image: the context, and pages of memory 0.
        pub image_bytes: u64,
        /// Where in memory 0 the image's pages of it lie, in bytes: before them, as behind them, it is zero.
        pub memory_start: u64,
        /// [`crate::target::Arch`].
        pub arch: u32,
        /// [`crate::target::Os`].
        pub os: u32,
        /// [`crate::target::TrapStyle`].
        pub trap_style: u32,
        /// [`crate::target::BoundsStyle`].
        pub bounds_style: u32,
        /// Page size the module data was laid out for, in bytes.
        pub page_bytes: u32,
        /// Size of what lies below the context, in bytes: a multiple of `page_bytes`.
        pub vmctx_bytes: u32,
        /// The start-up routine (array call, no values) or 0.
        pub start_up: i32,
        /// Entry trampoline for the start-up routine or 0.
        pub start_up_entry: i32,
        /// [`crate::target::Interruption`].
        pub interruption: u32,
        /// Length of the names of the functions in the strings, in bytes.
        pub function_names_bytes: u32,
        /// Name of the module.
        pub name: records::Str,
        /// What made the artifact, for messages.
        pub producer: records::Str,
    }
}

/// The header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The fixed part.
    pub fixed: Fixed,
    /// Where the sections are, by [`Section`].
    pub sections: [SectionRef; SECTION_COUNT],
}

impl Header {
    /// Size of what stands before [`Fixed`]: magic, version, header size.
    pub const LEAD_BYTES: usize = 16;
    /// Encoded size, in bytes.
    pub const BYTES: usize = Self::LEAD_BYTES + Fixed::BYTES + SECTION_COUNT * SectionRef::BYTES;

    /// What the checksum covers, in bytes.
    pub const fn covered_bytes(&self) -> u64 {
        self.fixed.image_offset.saturating_add(self.fixed.vmctx_bytes as u64)
    }

    /// Where [`Fixed::start_up`] lies in the header: the writer of objects relocates it.
    pub const START_UP_AT: usize = Self::LEAD_BYTES + 8 * 8 + 6 * 4;
    /// Where [`Fixed::start_up_entry`] lies in the header.
    pub const START_UP_ENTRY_AT: usize = Self::START_UP_AT + 4;

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        FORMAT_VERSION.encode(out);
        (Self::BYTES as u32).encode(out);
        self.fixed.encode(out);
        for section in &self.sections {
            section.encode(out);
        }
    }

    /// Decodes a header whose magic and version were checked.
    ///
    /// # Panics
    /// If `bytes` is shorter than [`Header::BYTES`].
    pub fn decode(bytes: &[u8]) -> Self {
        let fixed = Fixed::decode(&bytes[Self::LEAD_BYTES..]);
        let mut sections = [SectionRef::default(); SECTION_COUNT];
        let mut at = Self::LEAD_BYTES + Fixed::BYTES;
        for section in &mut sections {
            *section = SectionRef::decode(&bytes[at..]);
            at += SectionRef::BYTES;
        }
        Self { fixed, sections }
    }
}

/// A hash over every layout, row and number of this crate that compiled code or artifacts embody.
/// An artifact with another hash was made by another version and is refused.
pub const LAYOUT_HASH: u64 = layout_hash();

const fn layout_hash() -> u64 {
    let mut hash = FNV_OFFSET;
    hash = records_hash(hash);
    hash = vmctx_hash(hash);
    let mut i = 0;
    while i < BUILTINS.len() {
        hash = text(hash, BUILTINS[i].name);
        let mut param = 0;
        while param < BUILTINS[i].params.len() {
            hash = number(
                hash,
                match BUILTINS[i].params[param] {
                    AbiType::I32 => 4,
                    AbiType::I64 => 8,
                },
            );
            param += 1;
        }
        hash = number(
            hash,
            match BUILTINS[i].result {
                AbiResult::Nothing => 0,
                AbiResult::Status => 2,
                AbiResult::FallibleValue => 3,
            },
        );
        i += 1;
    }
    let mut i = 0;
    while i < TRAP_KINDS.len() {
        hash = text(hash, TRAP_KINDS[i].message());
        i += 1;
    }
    number(hash, SECTION_COUNT)
}

const fn records_hash(mut hash: u64) -> u64 {
    hash = fields(hash, Fixed::FIELDS);
    hash = fields(hash, SectionRef::FIELDS);
    hash = fields(hash, records::Str::FIELDS);
    hash = fields(hash, records::Type::FIELDS);
    hash = fields(hash, records::Import::FIELDS);
    hash = fields(hash, records::Export::FIELDS);
    hash = columns(hash, records::Function::COLUMNS);
    hash = fields(hash, records::Table::FIELDS);
    hash = fields(hash, records::Memory::FIELDS);
    hash = fields(hash, records::Global::FIELDS);
    hash = fields(hash, records::DataSegment::FIELDS);
    hash = fields(hash, records::ElemSegment::FIELDS);
    hash = fields(hash, records::ElemItem::FIELDS);
    hash = fields(hash, records::LineFunction::FIELDS);
    hash = fields(hash, records::Bound::FIELDS);
    hash = fields(hash, records::FunctionImport::FIELDS);
    hash = columns(hash, records::FunctionExtent::COLUMNS);
    fields(hash, records::OtherCode::FIELDS)
}

const fn vmctx_hash(mut hash: u64) -> u64 {
    let numbers = [
        vmctx::ctx::NULL_FUNC_REF as usize,
        vmctx::ctx::INSTANCE.offset as usize,
        vmctx::ctx::BUILTINS.offset as usize,
        vmctx::ctx::MEMORY0 as usize,
        vmctx::ctx::CODE_BASE.offset as usize,
        vmctx::ctx::STORE.offset as usize,
        vmctx::host_func::CALL.offset as usize,
        vmctx::func_ref::TYPE_HASH.offset as usize,
        vmctx::func_ref::CODE_OFFSET.offset as usize,
        vmctx::func_ref::CTX_DELTA.offset as usize,
        vmctx::function_import::CODE.offset as usize,
        vmctx::function_import::CTX.offset as usize,
        offset_of!(vmctx::VmFunctionImport, host),
        offset_of!(vmctx::VmHostFunc, data),
        offset_of!(vmctx::VmHostFunc, caller),
        offset_of!(vmctx::VmHostFunc, array_call),
        vmctx::memory::BASE.offset as usize,
        vmctx::memory::LENGTH_BYTES.offset as usize,
        vmctx::table::BASE.offset as usize,
        vmctx::table::LENGTH.offset as usize,
        vmctx::table::ANCHOR.offset as usize,
        vmctx::store::STACK_LIMIT.offset as usize,
        vmctx::store::ENTRY_SP.offset as usize,
        vmctx::store::ENTRY_FP.offset as usize,
        vmctx::store::ENTRY_HANDLER.offset as usize,
        vmctx::store::EXIT_FP.offset as usize,
        vmctx::store::RAISE.offset as usize,
        vmctx::store::FUEL.offset as usize,
        vmctx::store::EPOCH_DEADLINE.offset as usize,
        vmctx::store::EPOCH.offset as usize,
        size_of::<vmctx::VmFunctionImport>(),
        vmctx::TABLE_INLINE_ELEMENTS_MAX as usize,
    ];
    let mut i = 0;
    while i < numbers.len() {
        hash = number(hash, numbers[i]);
        i += 1;
    }
    hash
}

const fn fields(mut hash: u64, fields: &[(&str, usize)]) -> u64 {
    let mut i = 0;
    while i < fields.len() {
        hash = number(text(hash, fields[i].0), fields[i].1);
        i += 1;
    }
    number(hash, fields.len())
}

const fn columns(mut hash: u64, columns: &[&str]) -> u64 {
    let mut i = 0;
    while i < columns.len() {
        hash = text(hash, columns[i]);
        i += 1;
    }
    number(hash, columns.len())
}

const fn text(mut hash: u64, text: &str) -> u64 {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        hash = fnv1a(hash, bytes[i]);
        i += 1;
    }
    fnv1a(hash, 0)
}

const fn number(mut hash: u64, number: usize) -> u64 {
    let bytes = (number as u64).to_le_bytes();
    let mut i = 0;
    while i < bytes.len() {
        hash = fnv1a(hash, bytes[i]);
        i += 1;
    }
    hash
}
