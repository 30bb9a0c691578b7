//! The pieces of code: where they are, and what is known of their instructions.
//!
//! ```text
//!   function codes   where those of the functions begin that the module defines, in order; function extents: how long they are
//!   other codes      trampolines and the like
//!   code sites       of each piece, in this order:   wasm offset    LEB128
//!                                                    bytes of traps LEB128
//!                                                    traps          see `traps`
//!                                                    address map    see `address_map`, the rest
//! ```
//!
//! A piece of code's sites end where those of the next begin. Nothing is there if all of it would be 0. They are read only
//! when something trapped or a backtrace is wanted: bytes without sense give no trap sites and no addresses.

use alloc::vec::Vec;

use super::address_map::AddressMap;
use super::header::Section;
use super::leb;
use super::packed::PackedRecords;
use super::records::{CodeKind, FunctionExtent, OtherCode};
use super::traps;
use super::view::{ModuleData, Records};
use crate::trap::TrapKind;

/// A piece of code: a function, a trampoline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeRange {
    /// First byte.
    pub code: i32,
    /// Length in bytes. A function that nothing can call has none, and begins where the next piece of code does.
    pub bytes: u32,
    /// A [`CodeKind`].
    pub kind: u32,
    /// Function index for a function or thunk; type index for a trampoline; builtin number; number of a bound function.
    pub index: u32,
    /// Where its sites begin and end.
    pub(super) sites: (u32, u32),
}

/// All pieces of code.
#[derive(Clone, Copy, Debug)]
pub struct CodeRanges<'a> {
    functions: Records<'a, i32>,
    extents: PackedRecords<'a, FunctionExtent>,
    others: Records<'a, OtherCode>,
    imported: u32,
    sites_bytes: u32,
}

impl<'a> CodeRanges<'a> {
    /// Number of pieces, those without code among them.
    pub fn len(&self) -> usize {
        self.functions.len() + self.others.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Piece `number`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn at(&self, number: u32) -> CodeRange {
        self.get(number).expect("number of a piece of code")
    }

    /// Piece `number`, if there are that many.
    pub fn get(&self, number: u32) -> Option<CodeRange> {
        let sites_end = self.sites_start(number.checked_add(1)?)?;
        let functions = self.functions.len() as u32;
        Some(match number.checked_sub(functions) {
            None => {
                let code = self.functions.at(number);
                let FunctionExtent { bytes, sites_start } = self.extents.at(number);
                let sites = (sites_start, sites_end);
                let (kind, index) = (CodeKind::Function as u32, self.imported + number);
                CodeRange { code, bytes, kind, index, sites }
            }
            Some(other) => {
                let OtherCode { code, bytes, kind, index, sites_start } = self.others.get(other)?;
                let sites = (sites_start, sites_end);
                CodeRange { code, bytes, kind, index, sites }
            }
        })
    }

    /// All in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = CodeRange> + 'a {
        (0..self.len() as u32).map(move |number| self.at(number))
    }

    /// Where the sites of piece `number` begin, or those of the one before the first that is not there end.
    fn sites_start(&self, number: u32) -> Option<u32> {
        let functions = self.functions.len() as u32;
        match number.checked_sub(functions) {
            None => Some(self.extents.at(number).sites_start),
            Some(other) if other == self.others.len() as u32 => Some(self.sites_bytes),
            Some(other) => Some(self.others.get(other)?.sites_start),
        }
    }
}

/// What is known of the instructions of a piece of code.
struct Sites<'a> {
    wasm_offset: u32,
    traps: &'a [u8],
    address_map: &'a [u8],
}

impl<'a> ModuleData<'a> {
    /// Pieces of code.
    pub fn code_ranges(&self) -> CodeRanges<'a> {
        CodeRanges {
            functions: self.records(Section::FunctionCodes),
            extents: self.packed(Section::FunctionExtents),
            others: self.records(Section::OtherCodes),
            imported: self.function_imports().len() as u32,
            sites_bytes: self.section_bytes(Section::CodeSites, 1).len() as u32,
        }
    }

    /// What the trap site at `offset` in `range` traps with, if there is one.
    pub fn trap_at(&self, range: &CodeRange, offset: u32) -> Option<TrapKind> {
        traps::sites(self.sites(range).traps)
            .find(|&(site, _)| site == offset)
            .map(|(_, kind)| kind)
    }

    /// Offset of the body of the function `range` in the wasm file; 0 if it has none.
    pub fn wasm_offset(&self, range: &CodeRange) -> u32 {
        self.sites(range).wasm_offset
    }

    /// The map from `range`'s code offsets to offsets in the wasm file.
    pub fn address_map(&self, range: &CodeRange) -> AddressMap<'a> {
        let sites = self.sites(range);
        AddressMap::new(sites.address_map, sites.wasm_offset)
    }

    /// How many bytes the address map takes, and how many trap sites do, for reports.
    pub fn sites_bytes(&self) -> (usize, usize) {
        let sites = self.code_ranges().iter().map(|range| self.sites(&range));
        sites.fold((0, 0), |(map, traps), it| (map + it.address_map.len(), traps + it.traps.len()))
    }

    fn sites(&self, range: &CodeRange) -> Sites<'a> {
        let bytes = self.section_bytes(Section::CodeSites, 1);
        let mut bytes = bytes.get(range.sites.0 as usize..range.sites.1 as usize).unwrap_or(&[]);
        let wasm_offset = leb::read(&mut bytes).unwrap_or(0);
        let traps = leb::read(&mut bytes).unwrap_or(0) as usize;
        let (traps, address_map) = bytes.split_at_checked(traps).unwrap_or((&[], &[]));
        Sites { wasm_offset, traps, address_map }
    }
}

/// Appends what is known of the instructions of a piece of code whose body is at `wasm_offset`: offsets and kinds of its trap
/// sites, and code offsets with offsets in the wasm file, both ascending.
pub(super) fn encode_sites(
    out: &mut Vec<u8>,
    wasm_offset: u32,
    trap_sites: &[(u32, TrapKind)],
    addresses: &[(u32, u32)],
) {
    if wasm_offset == 0 && trap_sites.is_empty() && addresses.is_empty() {
        return;
    }
    let mut encoded = Vec::new();
    traps::encode(&mut encoded, trap_sites);
    leb::write(out, wasm_offset);
    leb::write(out, encoded.len() as u32);
    out.append(&mut encoded);
    AddressMap::encode(out, wasm_offset, addresses);
}
