//! The image, as it is in an executable: without what only a linker would look at.

use core::ops::Range;

use aotc_abi::meta::Header;
use aotc_abi::symbol::{NOTE_NAME, NOTE_TYPE};
use object::elf::{self, FileHeader64, ProgramHeader64, Sym64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};
use object::{LittleEndian, read};

use super::bad_image;
use super::runner::PAGE_BYTES_MAX;
use crate::error::Result;

/// An image that was looked through.
pub(super) struct Image {
    /// Its bytes up to the end of its code. The headers of its dynamic section are gone with that.
    pub(super) bytes: Vec<u8>,
    pub(super) machine: u16,
    /// The module data.
    pub(super) data: Range<u64>,
    /// The code.
    pub(super) text: Range<u64>,
    /// In which units it is to be mapped, in bytes.
    pub(super) page_bytes: u64,
    pub(super) symbols: Vec<Symbol>,
}

/// Where a symbol leads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Data,
    Text,
}

/// A symbol of the image.
pub(super) struct Symbol {
    pub(super) name: Vec<u8>,
    pub(super) info: u8,
    pub(super) place: Place,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Image {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut image = Self::read(bytes).map_err(bad_image)?;
        let data = bytes.get(image.data.start as usize..image.data.end as usize);
        let data =
            data.filter(|data| data.len() >= Header::BYTES && image.data.end <= image.text.start);
        let data = data.ok_or_else(|| bad_image("its module data does not lie before its code"))?;
        image.page_bytes = Header::decode(data).fixed.page_bytes.into();
        let is_page = image.page_bytes.is_power_of_two()
            && image.page_bytes <= PAGE_BYTES_MAX
            && image.text.start % image.page_bytes == 0;
        if !is_page || image.bytes.len() < image.text.end as usize {
            return Err(bad_image("its code does not lie on a page boundary inside it"));
        }
        Ok(image)
    }

    fn read(bytes: &[u8]) -> read::Result<Self> {
        let header = FileHeader64::<LittleEndian>::parse(bytes)?;
        let endian = header.endian()?;
        let segments = header.program_headers(endian, bytes)?;
        let executable = segments.iter().find(|segment| {
            segment.p_type(endian) == elf::PT_LOAD && segment.p_flags(endian) & elf::PF_X != 0
        });
        let (start, size) = executable.map_or((0, 0), |text| text.file_range(endian));
        let text = start..start.saturating_add(size);
        let end = text.end.min(bytes.len() as u64) as usize;
        let mut kept = bytes[..end].to_vec();
        remove_dynamic(&mut kept, header, segments);
        Ok(Self {
            bytes: kept,
            machine: header.e_machine(endian),
            data: module_data(bytes, segments)?,
            text,
            page_bytes: 0,
            symbols: symbols(bytes, header)?,
        })
    }
}

/// Where the note of the image says that the module data is.
fn module_data(
    bytes: &[u8],
    segments: &[ProgramHeader64<LittleEndian>],
) -> read::Result<Range<u64>> {
    for segment in segments {
        let Some(mut notes) = segment.notes(LittleEndian, bytes)? else { continue };
        while let Some(note) = notes.next()? {
            let is_ours =
                note.name() == NOTE_NAME.as_bytes() && note.n_type(LittleEndian) == NOTE_TYPE;
            if let (true, ([start, size], [])) = (is_ours, note.desc().as_chunks::<8>()) {
                let start = u64::from_le_bytes(*start);
                return Ok(start..start.saturating_add(u64::from_le_bytes(*size)));
            }
        }
    }
    Ok(0..0)
}

/// Takes away the headers of what is behind the code: the dynamic section's, and those of sections.
fn remove_dynamic(
    kept: &mut [u8],
    header: &FileHeader64<LittleEndian>,
    segments: &[ProgramHeader64<LittleEndian>],
) {
    let zero = object::U64::new(LittleEndian, 0);
    let none = object::U16::new(LittleEndian, 0);
    let head = FileHeader64 { e_shoff: zero, e_shnum: none, e_shstrndx: none, ..*header };
    if let Some(place) = kept.get_mut(..size_of_val(&head)) {
        place.copy_from_slice(object::bytes_of(&head));
    }
    let segment_bytes = size_of::<ProgramHeader64<LittleEndian>>();
    let places = kept.get_mut(header.e_phoff.get(LittleEndian) as usize..).unwrap_or_default();
    for (place, segment) in places.chunks_exact_mut(segment_bytes).zip(segments) {
        if segment.p_flags(LittleEndian) & elf::PF_W != 0
            && matches!(segment.p_type(LittleEndian), elf::PT_LOAD | elf::PT_DYNAMIC)
        {
            // A header of all zeros is one that nobody looks at.
            place.fill(0);
        }
    }
}

/// The names of what is in the code and the data.
fn symbols(bytes: &[u8], header: &FileHeader64<LittleEndian>) -> read::Result<Vec<Symbol>> {
    let sections = header.sections(LittleEndian, bytes)?;
    let table = sections.symbols(LittleEndian, bytes, elf::SHT_SYMTAB)?;
    let symbol = |symbol: &Sym64<LittleEndian>| {
        let section =
            sections.section(read::SectionIndex(symbol.st_shndx(LittleEndian).into())).ok()?;
        let is_code = section.sh_flags(LittleEndian) & u64::from(elf::SHF_EXECINSTR) != 0;
        Some(Symbol {
            name: symbol.name(LittleEndian, table.strings()).ok()?.to_vec(),
            info: symbol.st_info(),
            place: if is_code { Place::Text } else { Place::Data },
            offset: symbol.st_value(LittleEndian),
            bytes: symbol.st_size(LittleEndian),
        })
    };
    Ok(table.iter().filter_map(symbol).collect())
}
