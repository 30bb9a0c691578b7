//! What only objects in COFF have.
//!
//! ```text
//!   .pdata   per piece of code   x86-64:  start, end, unwind information      AArch64:  start, unwind information
//!                                         (32-bit distances from the start of what is linked)
//!   .xdata   the unwind information; what is the same is there once
//! ```

use std::collections::HashMap;

use ::object::write::{SectionId, SymbolId};
use ::object::{RelocationEncoding, RelocationFlags, RelocationKind, SectionKind};
use aotc_abi::symbol::module_data_section;
use aotc_abi::target::Arch;

use super::object::{Draft, Field};
use super::{FinishedData, Parts, windows_unwind};
use crate::error::Result;

pub(super) fn add_module_data(
    parts: &Parts<'_>,
    draft: &mut Draft,
    data: FinishedData,
) -> Result<()> {
    let name = module_data_section(parts.target.os);
    let section =
        draft.object.add_section(Vec::new(), name.as_bytes().to_vec(), SectionKind::ReadOnlyData);
    draft.define_module_data(parts, section, data.bytes);
    for offset in &data.code {
        // A code offset counts from the start of the module data, the relocation from its field.
        let field = Field { section, at: offset.at, addend: offset.at.into() };
        draft.relocate(&field, draft.code[offset.code as usize], DISTANCE)?;
    }
    Ok(())
}

pub(super) fn add_unwind(parts: &Parts<'_>, draft: &mut Draft) -> Result<()> {
    let mut tables = Tables::new(draft);
    for (code, function) in parts.functions.iter().enumerate() {
        let symbol = draft.code[code];
        match parts.target.arch {
            Arch::X86_64 => {
                if let Some(info) = windows_unwind::x86_64(&function.prologue) {
                    let end = function.code.len() as u32;
                    tables.add(draft, symbol, &[0, end], &info)?;
                }
            }
            Arch::Aarch64 => {
                let bytes = function.code.len() as u32;
                for (start, info) in windows_unwind::aarch64(&function.prologue, bytes) {
                    tables.add(draft, symbol, &[start], &info)?;
                }
            }
            Arch::Riscv64 => unreachable!("there is no such Windows"),
        }
    }
    Ok(())
}

/// `.pdata` and `.xdata`.
struct Tables {
    pdata: SectionId,
    xdata: SectionId,
    xdata_symbol: SymbolId,
    /// Where in `.xdata` each unwind information is.
    places: HashMap<Vec<u8>, u64>,
}

impl Tables {
    fn new(draft: &mut Draft) -> Self {
        let object = &mut draft.object;
        let mut section =
            |name: &[u8]| object.add_section(Vec::new(), name.to_vec(), SectionKind::ReadOnlyData);
        let (pdata, xdata) = (section(b".pdata"), section(b".xdata"));
        let xdata_symbol = object.section_symbol(xdata);
        Self { pdata, xdata, xdata_symbol, places: HashMap::new() }
    }

    /// Adds an entry: places in the code at `symbol`, then the place of `info`.
    fn add(
        &mut self,
        draft: &mut Draft,
        symbol: SymbolId,
        offsets: &[u32],
        info: &[u8],
    ) -> Result<()> {
        let place = match self.places.get(info) {
            Some(&place) => place,
            None => {
                let place = draft.object.append_section_data(self.xdata, info, 4);
                self.places.insert(info.to_vec(), place);
                place
            }
        };
        let entry = vec![0; 4 * (offsets.len() + 1)];
        let mut at = draft.object.append_section_data(self.pdata, &entry, 4) as u32;
        let code = offsets.iter().map(|&offset| (symbol, i64::from(offset)));
        for (symbol, addend) in code.chain([(self.xdata_symbol, place as i64)]) {
            draft.relocate(&Field { section: self.pdata, at, addend }, symbol, FROM_IMAGE)?;
            at += 4;
        }
        Ok(())
    }
}

/// The distance from a 32-bit field to a symbol.
const DISTANCE: RelocationFlags = generic(RelocationKind::Relative);

/// The distance from the start of the linked image to a symbol.
const FROM_IMAGE: RelocationFlags = generic(RelocationKind::ImageOffset);

const fn generic(kind: RelocationKind) -> RelocationFlags {
    RelocationFlags::Generic { kind, encoding: RelocationEncoding::Generic, size: 32 }
}
