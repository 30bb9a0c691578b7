//! What only objects in Mach-O have.
//!
//! Linkers cut sections at symbols (`MH_SUBSECTIONS_VIA_SYMBOLS`): a piece of code is what lies between two, and the module
//! data is one piece. Every relocation names a symbol, never a section. Distances in data are differences of two symbols.
//!
//! ```text
//!   __TEXT,__eh_frame       per piece of code: how to unwind it, exactly
//!   __LD,__compact_unwind   per piece of code: start (64), length (32), encoding (32), personality (64), language data (64)
//! ```
//!
//! The linker makes the table of what it links (`__TEXT,__unwind_info`) from the compact encodings. Code that has none, since
//! its registers are saved in another order or are others, refers to `__eh_frame`.

use ::object::macho::{self, X86_64_RELOC_UNSIGNED};
use ::object::write::{MachOBuildVersion, StandardSection, Symbol, SymbolSection};
use ::object::{RelocationFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope};
use aotc_abi::symbol::{MODULE_DATA_SEGMENT, module_data_section};
use aotc_abi::target::Arch;

use super::object::{Draft, Field};
use super::unwind::EhFrame;
use super::{FinishedData, Parts};
use crate::codegen::{CompiledFunction, Register, Step};
use crate::error::Result;

pub(super) fn add_module_data(
    parts: &Parts<'_>,
    draft: &mut Draft,
    data: FinishedData,
) -> Result<()> {
    let segment = MODULE_DATA_SEGMENT.as_bytes().to_vec();
    let name = module_data_section(parts.target.os).as_bytes().to_vec();
    let section = draft.object.add_section(segment, name, SectionKind::ReadOnlyData);
    let start = draft.define_module_data(parts, section, data.bytes);
    for offset in &data.code {
        let field = Field { section, at: offset.at, addend: 0 };
        let code = draft.code[offset.code as usize];
        draft.relocate_difference(&field, code, start, UNSIGNED_32)?;
    }
    Ok(())
}

pub(super) fn add_unwind(parts: &Parts<'_>, draft: &mut Draft) -> Result<()> {
    let eh_frame = EhFrame::of_object(parts)?;
    if eh_frame.addresses.is_empty() {
        return Ok(());
    }
    add_eh_frame(&eh_frame, draft)?;
    add_compact_unwind(parts, draft)
}

/// What the object is for: without it linkers have to guess.
pub(super) fn add_version(parts: &Parts<'_>, draft: &mut Draft) {
    let mut version = MachOBuildVersion::default();
    version.platform = macho::PLATFORM_MACOS;
    version.minos = match parts.target.arch {
        // 10.12, as for Rust's own objects.
        Arch::X86_64 => 10 << 16 | 12 << 8,
        // 11.0, the first there is.
        Arch::Aarch64 | Arch::Riscv64 => 11 << 16,
    };
    draft.object.set_macho_build_version(version);
}

fn add_eh_frame(eh_frame: &EhFrame, draft: &mut Draft) -> Result<()> {
    let section = draft.object.section_id(StandardSection::EhFrame);
    draft.object.append_section_data(section, &eh_frame.bytes, 8);
    let start = draft.object.add_symbol(Symbol {
        name: b"EH_frame".to_vec(),
        value: 0,
        size: 0,
        kind: SymbolKind::Data,
        scope: SymbolScope::Compilation,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    for address in &eh_frame.addresses {
        // The field counts from itself.
        let field = Field { section, at: address.at, addend: -i64::from(address.at) };
        let code = draft.code[address.code as usize];
        draft.relocate_difference(&field, code, start, UNSIGNED_64)?;
    }
    Ok(())
}

/// Size of an entry of `__compact_unwind`, in bytes.
const COMPACT_ENTRY_BYTES: usize = 32;

fn add_compact_unwind(parts: &Parts<'_>, draft: &mut Draft) -> Result<()> {
    let (segment, name) = (b"__LD".to_vec(), b"__compact_unwind".to_vec());
    let section = draft.object.add_section(segment, name, SectionKind::Debug);
    for (&code, function) in draft.code.clone().iter().zip(parts.functions) {
        let mut entry = Vec::with_capacity(COMPACT_ENTRY_BYTES);
        entry.extend([0; 8]);
        entry.extend((function.code.len() as u32).to_le_bytes());
        entry.extend(compact_encoding(parts.target.arch, function).to_le_bytes());
        entry.resize(COMPACT_ENTRY_BYTES, 0);
        let at = draft.object.append_section_data(section, &entry, 8) as u32;
        draft.relocate(&Field { section, at, addend: 0 }, code, UNSIGNED_64)?;
    }
    Ok(())
}

/// The compact encoding, by Apple's `mach-o/compact_unwind_encoding.h`.
fn compact_encoding(arch: Arch, function: &CompiledFunction) -> u32 {
    let has_frame = function.prologue.iter().any(|(_, step)| *step == Step::PushFrame);
    let frame = || if has_frame { saved_registers(arch, &function.prologue) } else { None };
    match arch {
        Arch::X86_64 => frame().map_or(0x0400_0000, |saved| 0x0100_0000 | saved),
        Arch::Aarch64 | Arch::Riscv64 => frame().map_or(0x0300_0000, |saved| 0x0400_0000 | saved),
    }
}

/// What a prologue with a frame saves: on x86-64 up to five registers that lie one above the other, with the distance
/// of the first below the frame pointer. `None` if it cannot be encoded.
///
/// AArch64 encodes only pairs with the second below the first, and code stores them the other way round.
fn saved_registers(arch: Arch, prologue: &[(u32, Step)]) -> Option<u32> {
    let (mut encoded, mut count) = (0, 0);
    let mut first_below = 0;
    for (_, step) in prologue {
        match *step {
            Step::SetFrame { saved_bytes } => first_below = saved_bytes / 8,
            Step::Save { register: Register::Int(number), at } if arch == Arch::X86_64 => {
                const ENCODED: [u8; 5] = [3, 12, 13, 14, 15];
                let place = ENCODED.iter().position(|&encoded| encoded == number)?;
                if count == ENCODED.len() as u32 || at != 8 * count {
                    return None;
                }
                encoded |= (place as u32 + 1) << (3 * count);
                count += 1;
            }
            Step::Save { .. } => return None,
            Step::PushFrame | Step::Allocate { .. } => {}
        }
    }
    match first_below {
        _ if count == 0 => Some(0),
        below if below <= 0xff => Some(below << 16 | encoded),
        _ => None,
    }
}

const UNSIGNED_32: RelocationFlags = unsigned(2);
const UNSIGNED_64: RelocationFlags = unsigned(3);

/// A field of `1 << r_length` bytes with an address, or the difference of two. Its number is 0 on both architectures.
const fn unsigned(r_length: u8) -> RelocationFlags {
    const { assert!(X86_64_RELOC_UNSIGNED == macho::ARM64_RELOC_UNSIGNED) };
    RelocationFlags::MachO { r_type: X86_64_RELOC_UNSIGNED, r_pcrel: false, r_length }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saves_on_x86_64_have_a_compact_encoding() {
        let frame = |saved_bytes| vec![(1, Step::PushFrame), (4, Step::SetFrame { saved_bytes })];
        let save = |number, at| (9, Step::Save { register: Register::Int(number), at });
        assert_eq!(saved_registers(Arch::X86_64, &frame(0)), Some(0));
        let mut prologue = frame(32);
        prologue.extend([save(12, 0), save(13, 8), save(15, 16)]);
        assert_eq!(saved_registers(Arch::X86_64, &prologue), Some(4 << 16 | 0b101_011_010));
        assert_eq!(saved_registers(Arch::Aarch64, &prologue), None);
        prologue.push(save(0, 24));
        assert_eq!(saved_registers(Arch::X86_64, &prologue), None);
    }
}
