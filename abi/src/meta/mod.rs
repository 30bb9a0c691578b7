//! The module data: one block of bytes that tells the loader all there is to know of an artifact.
//!
//! ```text
//!   0              Header                                   fixed size
//!                  tables of records                        located by Header::sections
//!                  value types, trap sites and address maps, strings, segment bytes
//!   image_offset   instance image: vmctx_bytes of initial context, then initial pages of memory 0
//!   blob_bytes
//! ```
//!
//! All of it is little-endian and used in place. Offsets count from the start of the block, which is
//! also what code offsets count from (`code_base`): in an image they are final, in an object each carries a
//! relocation. [`ModuleData::parse`] checks every offset, length, index and number once; the
//! accessors afterwards cannot fail on the bytes that were checked.

mod address_map;
mod bits;
mod builder;
mod check;
mod checksum;
mod code;
mod header;
mod leb;
mod lines;
mod packed;
mod record;
mod records;
mod traps;
mod view;

pub use address_map::AddressMap;
pub use builder::{Builder, CodeOffset, Instructions};
pub(crate) use checksum::checksum_of;
pub use checksum::seal;
pub use code::{CodeRange, CodeRanges};
pub use header::{
    FORMAT_VERSION, Fixed, Header, LAYOUT_HASH, MAGIC, SECTION_COUNT, Section, SectionRef,
};
pub use lines::{LineFrame, LineFrames, LineWriter};
pub use packed::{Numbers, PackedRecord, PackedRecords};
pub use record::Record;
pub use records::{
    BindStyle, Bound, CodeKind, DataSegment, ElemItem, ElemItemKind, ElemSegment, Export,
    ExternKind, Function, FunctionExtent, FunctionImport, Global, Import, LineFunction, Memory,
    NO_MAXIMUM, OtherCode, Str, Table, Type, flags,
};
pub use view::{CodeOrder, LINKED_CODE, MetaError, ModuleData, Records};
