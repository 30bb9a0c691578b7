//! Writes the module data.

use alloc::vec::Vec;

use super::code;
use super::header::{Fixed, Header, Section, SectionRef};
use super::packed;
use super::record::Record;
use super::records::{
    Bound, DataSegment, ElemItem, ElemSegment, Export, Function, FunctionExtent, FunctionImport,
    Global, Import, LineFunction, Memory, OtherCode, Str, Table, Type,
};
use crate::trap::TrapKind;

/// A 32-bit field of the module data that holds a code offset: distance from the start of the module
/// data to a piece of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeOffset {
    /// Where the field is, in bytes from the start of the module data.
    pub at: u32,
    /// Which piece of code it leads to; the numbering is the caller's.
    pub code: u32,
}

/// What is known of the instructions of a piece of code.
#[derive(Clone, Copy, Debug, Default)]
pub struct Instructions<'a> {
    /// Offset of the function body in the wasm file; 0 if it has none.
    pub wasm_offset: u32,
    /// Offsets and kinds of trap sites, ascending.
    pub traps: &'a [(u32, TrapKind)],
    /// Sites of the address map and offsets in the wasm file, ascending. See [`super::AddressMap`].
    pub addresses: &'a [(u32, u32)],
}

/// Everything that goes into the module data.
///
/// Until [`Builder::finish`], a field that will hold a code offset holds the number of the piece of
/// code plus one ([`Builder::code`]), or 0 for none.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    /// The header's fixed part; sizes and offsets are filled in by [`Builder::finish`].
    pub fixed: Fixed,
    /// What compiled code and segments find at fixed offsets: starts at [`Builder::DATA_START`].
    pub data: Vec<u8>,
    /// Code offsets in `data`, counted from its start.
    pub data_code: Vec<CodeOffset>,
    /// The instance image: `vmctx_bytes` of context, then pages of memory 0 from `fixed.memory_start`.
    pub image: Vec<u8>,
    /// Code offsets in `image`, counted from its start.
    pub image_code: Vec<CodeOffset>,
    /// Types.
    pub types: Vec<Type>,
    /// Value types of the types.
    pub val_types: Vec<u8>,
    /// Imports.
    pub imports: Vec<Import>,
    /// Exports.
    pub exports: Vec<Export>,
    /// Functions.
    pub functions: Vec<Function>,
    /// Tables.
    pub tables: Vec<Table>,
    /// Memories.
    pub memories: Vec<Memory>,
    /// Globals.
    pub globals: Vec<Global>,
    /// Data segments. Their offsets count from the start of the module data.
    pub data_segments: Vec<DataSegment>,
    /// Element segments.
    pub elem_segments: Vec<ElemSegment>,
    /// Items of the element segments.
    pub elem_items: Vec<ElemItem>,
    /// Imported functions.
    pub function_imports: Vec<FunctionImport>,
    /// Where the code begins of the functions that the module defines, in the order of addresses.
    pub function_codes: Vec<i32>,
    /// How far it goes.
    pub function_extents: Vec<FunctionExtent>,
    /// Other pieces of code, in the order of their addresses, behind these.
    pub other_codes: Vec<OtherCode>,
    /// Code sites.
    pub code_sites: Vec<u8>,
    /// Where functions' lines are.
    pub line_functions: Vec<LineFunction>,
    /// Lines.
    pub lines: Vec<u8>,
    /// Names in the lines.
    pub line_strings: Vec<Str>,
    /// Bound functions.
    pub bound: Vec<Bound>,
    /// Strings.
    pub strings: Vec<u8>,
}

impl Builder {
    /// Where [`Builder::data`] starts in the module data, in bytes: fixed, so that code can be
    /// generated before the rest is known.
    pub const DATA_START: u32 = (Header::BYTES as u32).next_multiple_of(16);

    /// What stands for piece of code `code` in a record until the module data is finished.
    pub const fn code(code: u32) -> i32 {
        code as i32 + 1
    }

    /// Adds a string.
    pub fn string(&mut self, text: &str) -> Str {
        let offset = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        Str { offset, bytes: text.len() as u32 }
    }

    /// Adds the name of the next function. No other string was added before the last of them.
    pub fn function_name(&mut self, name: &str) -> Str {
        let name = self.string(name);
        self.fixed.function_names_bytes = self.strings.len() as u32;
        name
    }

    /// Adds what is known of the instructions of the next piece of code, functions first, and gives where it begins.
    pub fn instructions(&mut self, known: &Instructions<'_>) -> u32 {
        let start = self.code_sites.len() as u32;
        let Instructions { wasm_offset, traps, addresses } = *known;
        code::encode_sites(&mut self.code_sites, wasm_offset, traps, addresses);
        start
    }

    /// The module data, and the fields in it that must be given their code offsets (they are 0).
    /// `None` if it would take 2 GiB or more.
    ///
    /// The instance image begins a multiple of `image_align` bytes behind the start.
    pub fn finish(mut self, image_align: u32) -> Option<(Vec<u8>, Vec<CodeOffset>)> {
        let mut out = alloc::vec![0; Self::DATA_START as usize];
        let mut code = Vec::new();
        let data_start = out.len() as u32;
        code.extend(self.data_code.iter().map(|c| CodeOffset { at: c.at + data_start, ..*c }));
        out.extend_from_slice(&self.data);

        let mut header = Header { fixed: self.fixed, ..Header::default() };
        let export_order = self.export_order();
        let mut section =
            |section: Section,
             write: &mut dyn FnMut(&mut Vec<u8>, &mut Vec<CodeOffset>) -> usize| {
                out.resize(out.len().next_multiple_of(8), 0);
                let offset = out.len() as u32;
                let count = write(&mut out, &mut code) as u32;
                header.sections[section as usize] = SectionRef { offset, count };
            };

        section(Section::Types, &mut |out, code| {
            encode(out, &mut self.types, |at, ty| {
                take(code, at + TYPE_ENTRY_AT, &mut ty.entry);
                take(code, at + TYPE_ENTRY_AT + 4, &mut ty.exit);
                take(code, at + TYPE_ENTRY_AT + 8, &mut ty.direct);
            })
        });
        section(Section::ValTypes, &mut |out, _| encode(out, &mut self.val_types, |_, _| ()));
        section(Section::Imports, &mut |out, _| encode(out, &mut self.imports, |_, _| ()));
        section(Section::Exports, &mut |out, _| encode(out, &mut self.exports, |_, _| ()));
        section(Section::ExportOrder, &mut |out, _| {
            encode(out, &mut export_order.clone(), |_, _| ())
        });
        section(Section::Functions, &mut |out, _| {
            packed::encode(out, &self.functions);
            self.functions.len()
        });
        section(Section::Tables, &mut |out, _| encode(out, &mut self.tables, |_, _| ()));
        section(Section::Memories, &mut |out, _| encode(out, &mut self.memories, |_, _| ()));
        section(Section::Globals, &mut |out, _| encode(out, &mut self.globals, |_, _| ()));
        section(Section::DataSegments, &mut |out, _| {
            encode(out, &mut self.data_segments, |_, _| ())
        });
        section(Section::ElemSegments, &mut |out, _| {
            encode(out, &mut self.elem_segments, |_, _| ())
        });
        section(Section::ElemItems, &mut |out, _| encode(out, &mut self.elem_items, |_, _| ()));
        section(Section::FunctionImports, &mut |out, code| {
            encode(out, &mut self.function_imports, |at, import| {
                take(code, at + 4, &mut import.thunk)
            })
        });
        section(Section::FunctionCodes, &mut |out, code| {
            encode(out, &mut self.function_codes, |at, start| take(code, at, start))
        });
        section(Section::FunctionExtents, &mut |out, _| {
            packed::encode(out, &self.function_extents);
            self.function_extents.len()
        });
        section(Section::OtherCodes, &mut |out, code| {
            encode(out, &mut self.other_codes, |at, piece| take(code, at, &mut piece.code))
        });
        section(Section::CodeSites, &mut |out, _| encode(out, &mut self.code_sites, |_, _| ()));
        section(Section::LineFunctions, &mut |out, _| {
            encode(out, &mut self.line_functions, |_, _| ())
        });
        section(Section::Lines, &mut |out, _| encode(out, &mut self.lines, |_, _| ()));
        section(Section::LineStrings, &mut |out, _| encode(out, &mut self.line_strings, |_, _| ()));
        section(Section::Bound, &mut |out, code| {
            encode(out, &mut self.bound, |at, bound| {
                take(code, at + BOUND_TYPE_CODE_AT, &mut bound.type_code)
            })
        });
        section(Section::Strings, &mut |out, _| encode(out, &mut self.strings, |_, _| ()));

        let image_start = out.len().next_multiple_of(image_align as usize);
        out.resize(image_start, 0);
        code.extend(
            self.image_code.iter().map(|c| CodeOffset { at: c.at + image_start as u32, ..*c }),
        );
        out.extend_from_slice(&self.image);
        if out.len() >= 1 << 31 {
            return None;
        }

        let fixed = &mut header.fixed;
        fixed.image_offset = image_start as u64;
        fixed.image_bytes = self.image.len() as u64;
        fixed.blob_bytes = out.len() as u64;
        take(&mut code, Header::START_UP_AT as u32, &mut fixed.start_up);
        take(&mut code, Header::START_UP_ENTRY_AT as u32, &mut fixed.start_up_entry);
        let mut head = Vec::with_capacity(Header::BYTES);
        header.encode(&mut head);
        out[..head.len()].copy_from_slice(&head);
        Some((out, code))
    }

    fn export_order(&self) -> Vec<u32> {
        let name = |index: &u32| {
            let name = self.exports[*index as usize].name;
            &self.strings[name.offset as usize..][..name.bytes as usize]
        };
        let mut order: Vec<u32> = (0..self.exports.len() as u32).collect();
        order.sort_by(|a, b| name(a).cmp(name(b)));
        order
    }
}

/// Where [`Type::entry`] lies in its record; [`Type::exit`] follows.
const TYPE_ENTRY_AT: u32 = 8 + 4 + 4 + 4;

/// Where [`Bound::type_code`] lies in its record.
const BOUND_TYPE_CODE_AT: u32 = Bound::BYTES as u32 - 4;

/// Appends the encodings of `records`, after `adjust` has seen each with its place.
fn encode<R: Record>(
    out: &mut Vec<u8>,
    records: &mut [R],
    mut adjust: impl FnMut(u32, &mut R),
) -> usize {
    out.reserve(records.len() * R::BYTES);
    for record in records.iter_mut() {
        adjust(out.len() as u32, record);
        record.encode(out);
    }
    records.len()
}

/// Turns a placeholder into a [`CodeOffset`] of the field at `at`, and the field into 0.
fn take(code: &mut Vec<CodeOffset>, at: u32, field: &mut i32) {
    if *field != 0 {
        code.push(CodeOffset { at, code: (*field - 1) as u32 });
        *field = 0;
    }
}
