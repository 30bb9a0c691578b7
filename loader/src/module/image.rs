//! Images: ELF files that need no linker.
//!
//! Only the file's header, the program headers, one note and the dynamic section are looked at and read, and
//! nothing is believed: whatever the bytes, the answer is a layout inside the file or an error.

use alloc::borrow::Cow;
use core::ops::Range;
use std::io;

use aotc_abi::symbol::{NOTE_NAME, NOTE_TYPE};
use aotc_abi::target::{Arch, Os, Target};
use goblin::container::{Container, Ctx, Endian};
use goblin::elf::Elf;
use goblin::elf::dynamic::{
    DT_FINI, DT_FINI_ARRAY, DT_INIT, DT_INIT_ARRAY, DT_JMPREL, DT_REL, DT_RELA, DT_TEXTREL,
};
use goblin::elf::header::{EM_AARCH64, EM_RISCV, EM_X86_64, ET_DYN, Header};
use goblin::elf::program_header::{
    PF_R, PF_W, PF_X, PT_DYNAMIC, PT_LOAD, PT_NOTE, PT_TLS, ProgramHeader,
};

use crate::error::LoadError;
use crate::prelude::*;
use crate::sys;

/// Where things lie, as offsets in the file, which are addresses relative to the base at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The module data, and what follows it in its segment.
    pub(super) data: Range<u64>,
    /// The executable segment.
    pub(super) text: Range<u64>,
}

impl Layout {
    /// The module data as a range of the file's bytes.
    pub(super) fn data_range(&self) -> Range<usize> {
        self.data.start as usize..self.data.end as usize
    }
}

/// How much of a file is looked at first, in bytes: the header and all program headers lie there.
pub(super) const HEAD_BYTES: usize = 4096;
/// Largest note segment or dynamic section, in bytes.
const PART_BYTES_MAX: u64 = 64 << 10;

/// A file to look into.
pub(super) trait Input {
    /// Its size, in bytes.
    fn bytes(&self) -> u64;
    /// Its first bytes: [`HEAD_BYTES`] at least, or all if there are fewer.
    fn head(&self) -> &[u8];
    /// The bytes of a range that lies inside.
    fn read(&self, range: &Range<u64>) -> io::Result<Cow<'_, [u8]>>;
}

impl Input for &[u8] {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }

    fn head(&self) -> &[u8] {
        &self[..self.len().min(HEAD_BYTES)]
    }

    fn read(&self, range: &Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(&self[range.start as usize..range.end as usize]))
    }
}

/// Packed relative relocations, which goblin has no name for.
const DT_RELR: u64 = 36;
/// Size of a dynamic entry, in bytes.
const DYN_BYTES: u64 = 16;

/// Finds the parts of an image, and refuses whatever would need a linker or could be written.
pub(super) fn parse(file: &impl Input) -> Result<Layout, LoadError> {
    let header = header(file.head())?;
    check_machine(&header)?;
    let headers = program_headers(file.head(), &header)?;
    let mut text = None;
    let mut note = None;
    let (mut loaded_end, mut pages_end) = (0, 0);
    let mut readable = Vec::new();
    let mut writable = None;
    let mut dynamic = None;
    for header in &headers {
        let range = header.p_offset
            ..header
                .p_offset
                .checked_add(header.p_filesz)
                .filter(|&end| end <= file.bytes())
                .ok_or_else(|| LoadError::image("a segment lies outside the file"))?;
        match header.p_type {
            PT_LOAD => {
                check_loaded(header)?;
                // Neither in the file nor, in whole pages, where a dynamic linker puts them.
                let pages = pages(header);
                if range.start < loaded_end || pages.start < pages_end || pages.end < pages.start {
                    return Err(LoadError::image("segments overlap or are not in order"));
                }
                (loaded_end, pages_end) = (range.end, pages.end);
                if header.p_flags & PF_W != 0 {
                    let writes = (range, header.p_vaddr);
                    if header.p_flags & PF_X != 0 || writable.replace(writes).is_some() {
                        return Err(LoadError::image(
                            "writable code, or several writable segments",
                        ));
                    }
                } else if header.p_flags & PF_X == 0 {
                    readable.push(range);
                } else if text.replace(range).is_some() {
                    return Err(LoadError::image("more than one executable segment"));
                }
            }
            PT_NOTE if note.is_none() => note = find_note(&part(file, &range)?),
            PT_DYNAMIC => {
                check_dynamic(&part(file, &range)?)?;
                dynamic = Some((range, header.p_vaddr));
            }
            PT_TLS => return Err(LoadError::image("it has thread-local storage")),
            _ => {}
        }
    }
    // Old dynamic linkers write to the dynamic section, and only to that; this loader does not map it
    // writable.
    if writable.is_some() && writable != dynamic {
        return Err(LoadError::image("a segment is writable that is not the dynamic section"));
    }
    if writable.is_none() && dynamic.is_some_and(|(range, address)| range.start != address) {
        return Err(LoadError::image(
            "the dynamic section's address is not where it was looked at",
        ));
    }
    let text = text.ok_or_else(|| LoadError::image("no executable segment"))?;
    if !text.start.is_multiple_of(sys::page_bytes()) {
        return Err(LoadError::image("the executable segment does not start on a page boundary"));
    }
    let data = note.ok_or_else(|| {
        LoadError::image("no note of aotc in it; give a file made by `aotc compile --emit image`")
    })?;
    if !readable.iter().any(|range| range.start <= data.start && data.end <= range.end) {
        return Err(LoadError::image("the module data lies outside the readable segments"));
    }
    Ok(Layout { data, text })
}

/// Whether a file, for whatever processor, has a note of ours.
pub(super) fn has_note(file: &impl Input) -> bool {
    let headers = header(file.head()).and_then(|header| program_headers(file.head(), &header));
    let notes = headers.into_iter().flatten().filter(|header| header.p_type == PT_NOTE);
    notes.into_iter().any(|header| {
        let end = header.p_offset.checked_add(header.p_filesz);
        let end = end.filter(|&end| end <= file.bytes());
        let note = end.and_then(|end| part(file, &(header.p_offset..end)).ok());
        note.is_some_and(|note| find_note(&note).is_some())
    })
}

/// The header of a shared object that begins with `head`.
fn header(head: &[u8]) -> Result<Header, LoadError> {
    if head.starts_with(b"\0asm") || head.trim_ascii_start().starts_with(b"(") {
        return Err(LoadError::image(
            "it is WebAssembly that is not compiled yet; give what `aotc compile --emit image` makes of it",
        ));
    }
    if !head.starts_with(b"\x7fELF") {
        return Err(LoadError::image("not an ELF file"));
    }
    let header = Elf::parse_header(head).map_err(|error| LoadError::image(error.to_string()))?;
    let ident = (header.e_ident[4], header.e_ident[5]);
    if ident != (2, 1) {
        return Err(LoadError::image("not a 64-bit little-endian ELF file"));
    }
    if header.e_type != ET_DYN {
        return Err(LoadError::image(
            "not a shared object; objects are linked into a program, images are made by `aotc compile --emit image`",
        ));
    }
    Ok(header)
}

/// Refuses other processors' code. Images are Linux's.
fn check_machine(header: &Header) -> Result<(), LoadError> {
    let arch = match header.e_machine {
        EM_X86_64 => Some(Arch::X86_64),
        EM_AARCH64 => Some(Arch::Aarch64),
        EM_RISCV => Some(Arch::Riscv64),
        _ => None,
    };
    let found = arch.map(|arch| Target { arch, os: Os::Linux });
    if found.is_some() && found == Target::HOST {
        return Ok(());
    }
    Err(LoadError::Target {
        found: found
            .map_or_else(|| format!("ELF machine {}", header.e_machine), |found| found.to_string()),
        expected: Target::HOST.map_or("an unsupported target".into(), |host| host.to_string()),
    })
}

/// The program headers of a file that begins with `head`.
fn program_headers(head: &[u8], header: &Header) -> Result<Vec<ProgramHeader>, LoadError> {
    let (offset, count) = (header.e_phoff, header.e_phnum);
    let end = offset.checked_add(u64::from(count) * 56);
    if header.e_phentsize != 56 || end.is_none_or(|end| end > head.len() as u64) {
        return Err(LoadError::image("program headers outside the file's first 4096 bytes"));
    }
    let ctx = Ctx::new(Container::Big, Endian::Little);
    ProgramHeader::parse(head, offset as usize, count.into(), ctx)
        .map_err(|error| LoadError::image(error.to_string()))
}

fn check_loaded(header: &ProgramHeader) -> Result<(), LoadError> {
    if header.p_flags & PF_R == 0 {
        return Err(LoadError::image("a segment is not readable"));
    }
    // What is writable is not mapped.
    let is_mapped = header.p_flags & PF_W == 0;
    if is_mapped && header.p_offset != header.p_vaddr || header.p_filesz != header.p_memsz {
        return Err(LoadError::image("a segment's address differs from its offset in the file"));
    }
    Ok(())
}

/// The addresses that a dynamic linker maps for a segment: whole pages. They end before they start if there are none such.
fn pages(header: &ProgramHeader) -> Range<u64> {
    let page = sys::page_bytes();
    let end = header.p_vaddr.checked_add(header.p_memsz);
    let end = end.and_then(|end| end.checked_next_multiple_of(page));
    header.p_vaddr - header.p_vaddr % page..end.unwrap_or(0)
}

/// Refuses what a linker would have to do.
fn check_dynamic(section: &[u8]) -> Result<(), LoadError> {
    const REFUSED: [(u64, &str); 9] = [
        (DT_REL, "relocations"),
        (DT_RELA, "relocations"),
        (DT_RELR, "relocations"),
        (DT_JMPREL, "relocations"),
        (DT_TEXTREL, "relocations of code"),
        (DT_INIT, "an initialiser"),
        (DT_INIT_ARRAY, "initialisers"),
        (DT_FINI, "a finaliser"),
        (DT_FINI_ARRAY, "finalisers"),
    ];
    for entry in section.chunks_exact(DYN_BYTES as usize) {
        let tag = u64_at(entry, 0);
        if tag == 0 {
            break;
        }
        if let Some((_, what)) = REFUSED.iter().find(|(refused, _)| *refused == tag) {
            return Err(LoadError::image(format!("it has {what}")));
        }
    }
    Ok(())
}

/// The range that the first note of ours gives, if there is one.
///
/// ```text
///   0  name size 5 (u32)    4  desc size 16 (u32)    8  type 1 (u32)    12  "aotc\0" padded to 8
///   20 address of the module data (u64)              28 its size (u64)
/// ```
fn find_note(mut notes: &[u8]) -> Option<Range<u64>> {
    loop {
        let head = notes.get(..12)?;
        let (name_bytes, desc_bytes, ty) = (u32_at(head, 0), u32_at(head, 4), u32_at(head, 8));
        let name_end = 12 + (name_bytes as usize).checked_next_multiple_of(4)?;
        let desc_end = name_end + (desc_bytes as usize).checked_next_multiple_of(4)?;
        let name = notes.get(12..12 + name_bytes as usize)?;
        let desc = notes.get(name_end..name_end + desc_bytes as usize)?;
        if name.strip_suffix(b"\0") == Some(NOTE_NAME.as_bytes())
            && ty == NOTE_TYPE
            && desc.len() == 16
        {
            let start = u64_at(desc, 0);
            return Some(start..start.checked_add(u64_at(desc, 8))?);
        }
        notes = notes.get(desc_end..)?;
    }
}

/// The bytes of a range that was compared with the file's length.
fn part<'a>(file: &'a impl Input, range: &Range<u64>) -> Result<Cow<'a, [u8]>, LoadError> {
    if let Some(part) = file.head().get(range.start as usize..range.end as usize) {
        return Ok(Cow::Borrowed(part));
    }
    if range.end - range.start > PART_BYTES_MAX {
        return Err(LoadError::image("a note or dynamic segment of more than 64 KiB"));
    }
    file.read(range).map_err(LoadError::os("read the file"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name: &[u8], ty: u32) -> Vec<u8> {
        let mut note = Vec::new();
        for word in [name.len() as u32, 16, ty] {
            note.extend(word.to_le_bytes());
        }
        note.extend(name);
        note.resize(note.len().next_multiple_of(4), 0);
        note.extend(0x1000u64.to_le_bytes());
        note.extend(0x20u64.to_le_bytes());
        note
    }

    #[test]
    fn note_is_found_behind_others() {
        let mut notes = note(b"GNU\0", 1);
        notes.extend(note(b"aotc\0", 2));
        assert_eq!(find_note(&notes), None);
        notes.extend(note(b"aotc\0", 1));
        assert_eq!(find_note(&notes), Some(0x1000..0x1020));
        for end in 0..notes.len() {
            assert_eq!(find_note(&notes[..end]), None);
        }
    }

    #[test]
    fn other_files_are_refused() {
        for file in [&b""[..], b"\x7fELF", b"\0asm\x01\0\0\0", &[0; 4096]] {
            assert!(parse(&file).is_err());
        }
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let error = parse(&&own[..]).unwrap_err().to_string();
        assert!(error.contains("not an image"), "{error}");
    }
}
