//! What only objects in ELF have: module data and unwind table with relocations that are distances from their field.

use ::object::write::StandardSection;
use ::object::{RelocationEncoding, RelocationFlags, RelocationKind, SectionKind};
use aotc_abi::symbol::MODULE_DATA_SECTION;

use super::object::{Draft, Field};
use super::unwind::EhFrame;
use super::{FinishedData, Parts};
use crate::error::Result;

pub(super) fn add_module_data(
    parts: &Parts<'_>,
    draft: &mut Draft,
    data: FinishedData,
) -> Result<()> {
    let section = draft.object.add_section(
        Vec::new(),
        MODULE_DATA_SECTION.as_bytes().to_vec(),
        SectionKind::ReadOnlyData,
    );
    draft.define_module_data(parts, section, data.bytes);
    for offset in &data.code {
        // A code offset counts from the start of the module data, the relocation from its field.
        let field = Field { section, at: offset.at, addend: offset.at.into() };
        draft.relocate(&field, draft.code[offset.code as usize], DISTANCE)?;
    }
    Ok(())
}

pub(super) fn add_unwind(parts: &Parts<'_>, draft: &mut Draft) -> Result<()> {
    let eh_frame = EhFrame::of_object(parts)?;
    if eh_frame.addresses.is_empty() {
        return Ok(());
    }
    let section = draft.object.section_id(StandardSection::EhFrame);
    draft.object.append_section_data(section, &eh_frame.bytes, 8);
    for address in &eh_frame.addresses {
        let field = Field { section, at: address.at, addend: 0 };
        draft.relocate(&field, draft.code[address.code as usize], DISTANCE)?;
    }
    Ok(())
}

/// The distance from a 32-bit field to a symbol.
const DISTANCE: RelocationFlags = RelocationFlags::Generic {
    kind: RelocationKind::Relative,
    encoding: RelocationEncoding::Generic,
    size: 32,
};
