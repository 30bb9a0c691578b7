//! What an object consists of, as text: sections, symbols, relocations. Nothing that another instruction would change.

use std::fmt::Write as _;

use anyhow::Result;
use object::read::{Object as _, ObjectSection as _, ObjectSymbol as _};
use object::{BinaryFormat, File, RelocationFlags, RelocationTarget, SectionFlags, SymbolIndex};

/// The listing of an object.
pub(crate) fn listing(bytes: &[u8]) -> Result<String> {
    let file = File::parse(bytes)?;
    let mut text = format!("{:?} {:?}\n", file.format(), file.architecture());
    let mut lines = Vec::new();
    for section in file.sections() {
        let name = section_name(&section)?;
        lines.push(format!("section {name} align {} {}", section.align(), flags(section.flags())));
    }
    for symbol in file.symbols() {
        let scope = if symbol.is_global() { "global" } else { "local" };
        let Some(section) = symbol.section_index() else { continue };
        let section = section_name(&file.section_by_index(section)?)?;
        lines.push(format!("symbol {scope} {:?} in {section}", symbol.name()?));
    }
    for section in file.sections() {
        let place = section_name(&section)?;
        for (_, relocation) in section.relocations() {
            let symbol = |index: SymbolIndex| -> Result<String> {
                Ok(format!("{:?}", file.symbol_by_index(index)?.name()?))
            };
            let mut target = match relocation.target() {
                RelocationTarget::Symbol(index) => symbol(index)?,
                other => format!("{other:?}"),
            };
            if let Some(index) = relocation.subtractor() {
                write!(target, " - {}", symbol(index)?)?;
            }
            let kind = kind(&file, relocation.flags());
            lines.push(format!("relocation in {place}: {kind} {target}"));
        }
    }
    // The same lines, one behind the other, are one.
    let mut lines = lines.into_iter().peekable();
    while let Some(line) = lines.next() {
        let mut count = 1;
        while lines.next_if_eq(&line).is_some() {
            count += 1;
        }
        match count {
            1 => writeln!(text, "{line}")?,
            _ => writeln!(text, "{line} x{count}")?,
        }
    }
    Ok(text)
}

fn section_name(section: &object::Section<'_, '_>) -> Result<String> {
    let name = section.name()?;
    Ok(match section.segment_name()? {
        Some(segment) if !segment.is_empty() => format!("{segment},{name}"),
        _ => name.to_owned(),
    })
}

fn flags(flags: SectionFlags) -> String {
    match flags {
        SectionFlags::Elf { sh_flags } => format!("flags {sh_flags:#x}"),
        SectionFlags::MachO { flags } => format!("flags {flags:#x}"),
        SectionFlags::Coff { characteristics } => format!("characteristics {characteristics:#x}"),
        _ => "flags of another format".to_owned(),
    }
}

/// A relocation's kind as its platform calls it.
fn kind(file: &File<'_>, flags: RelocationFlags) -> String {
    use goblin::mach::constants::cputype::{CPU_TYPE_ARM64, CPU_TYPE_X86_64};
    let is_arm = file.architecture() == object::Architecture::Aarch64;
    match flags {
        RelocationFlags::Elf { r_type } => {
            let machine = if is_arm { object::elf::EM_AARCH64 } else { object::elf::EM_X86_64 };
            goblin::elf::reloc::r_to_str(r_type, machine).to_owned()
        }
        RelocationFlags::MachO { r_type, r_length, .. } => {
            let cpu = if is_arm { CPU_TYPE_ARM64 } else { CPU_TYPE_X86_64 };
            let name = goblin::mach::relocation::reloc_to_str(r_type, cpu);
            format!("{name} of {} bytes", 1 << r_length)
        }
        RelocationFlags::Coff { typ } => {
            const NAMES: [(bool, u16, &str); 5] = [
                (false, object::pe::IMAGE_REL_AMD64_REL32, "IMAGE_REL_AMD64_REL32"),
                (false, object::pe::IMAGE_REL_AMD64_ADDR32NB, "IMAGE_REL_AMD64_ADDR32NB"),
                (true, object::pe::IMAGE_REL_ARM64_REL32, "IMAGE_REL_ARM64_REL32"),
                (true, object::pe::IMAGE_REL_ARM64_ADDR32NB, "IMAGE_REL_ARM64_ADDR32NB"),
                (true, object::pe::IMAGE_REL_ARM64_BRANCH26, "IMAGE_REL_ARM64_BRANCH26"),
            ];
            let named = NAMES.iter().find(|(arm, number, _)| (*arm, *number) == (is_arm, typ));
            named.map_or_else(|| format!("type {typ}"), |(.., name)| (*name).to_owned())
        }
        other => format!("{other:?} in {:?}", BinaryFormat::Elf),
    }
}
