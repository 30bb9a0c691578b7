//! The sections of an executable, which nobody needs to run it: what `readelf`, `nm`, debuggers, profilers and
//! `aotc inspect` look at.

use aotc_abi::symbol::MODULE_DATA_SECTION;
use object::LittleEndian;
use object::elf::{self, SectionHeader64, Sym64};

use super::image::{Image, Place};
use super::layout::Layout;
use super::runner::Runner;
use super::{half, word};

/// Size of a section header and of a symbol, in bytes.
const HEADER_BYTES: u64 = size_of::<SectionHeader64<LittleEndian>>() as u64;
const SYMBOL_BYTES: u64 = size_of::<Sym64<LittleEndian>>() as u64;

/// Names and headers of sections, and the symbols.
pub(super) struct Sections {
    /// Where they are in the file.
    pub(super) start: u64,
    /// Where the headers are.
    pub(super) headers: u64,
    /// How many there are.
    pub(super) count: usize,
    pub(super) bytes: Vec<u8>,
}

impl Sections {
    pub(super) fn new(runner: &Runner<'_>, image: &Image, layout: &Layout) -> Self {
        let start = layout.text_end.next_multiple_of(8);
        let mut headers: Vec<_> = runner.sections_of(layout.segment_count);
        let mut names = runner.names.to_vec();
        let mut add = |name: &str, header: SectionHeader64<LittleEndian>| {
            let sh_name = number(names.len() as u32);
            names.extend(name.as_bytes());
            names.push(0);
            headers.push(SectionHeader64 { sh_name, ..header });
            headers.len() - 1
        };
        let (alloc, code) = (elf::SHF_ALLOC, elf::SHF_ALLOC | elf::SHF_EXECINSTR);
        let data = layout.image + image.data.start..layout.image + image.data.end;
        let note = layout.note..layout.note + layout.note_bytes;
        add(".note.aotc", section(elf::SHT_NOTE, alloc, note, 4));
        add(".aotc.image", section(elf::SHT_PROGBITS, alloc, layout.image..data.start, 8));
        let data_index = add(MODULE_DATA_SECTION, section(elf::SHT_PROGBITS, alloc, data, 8));
        let text = layout.text..layout.text_end;
        let text_index = add(".text.aotc", section(elf::SHT_PROGBITS, code, text, 16));

        let mut bytes = Vec::new();
        let index_of = |place| match place {
            Place::Data => data_index,
            Place::Text => text_index,
        };
        let (symbols, strings) = symbols(image, layout, index_of);
        let locals = image.symbols.iter().filter(|symbol| is_local(symbol.info)).count();
        let symbols = part(&mut bytes, start, &symbols);
        let strings = part(&mut bytes, start, &strings);
        let strings_index = number(headers_len(runner) + ADDED - 1);
        add(
            ".symtab",
            SectionHeader64 {
                sh_link: strings_index,
                sh_info: number(locals as u32 + 1),
                sh_entsize: word(SYMBOL_BYTES),
                ..section(elf::SHT_SYMTAB, 0, symbols, 8)
            },
        );
        add(".strtab", section(elf::SHT_STRTAB, 0, strings, 1));
        let names = part(&mut bytes, start, &names);
        if let Some(header) = headers.get_mut(runner.names_index) {
            header.sh_offset = word(names.start);
            header.sh_size = word(names.end - names.start);
        }
        let count = headers.len();
        assert_eq!(count as u32, headers_len(runner) + ADDED, "all sections were counted");
        let headers: Vec<u8> = headers.iter().flat_map(object::bytes_of).copied().collect();
        let headers = part(&mut bytes, start, &headers);
        assert_eq!(headers.end - headers.start, count as u64 * HEADER_BYTES, "all headers");
        Self { start, headers: headers.start, count, bytes }
    }
}

/// Sections that are not the runner's.
const ADDED: u32 = 6;

fn headers_len(runner: &Runner<'_>) -> u32 {
    runner.sections.len() as u32
}

/// Appends a part, on a boundary of 8 bytes; gives its range in the file.
fn part(bytes: &mut Vec<u8>, start: u64, part: &[u8]) -> core::ops::Range<u64> {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let first = start + bytes.len() as u64;
    bytes.extend(part);
    first..first + part.len() as u64
}

/// The symbol table and its names. Local symbols are first, as ELF has it; so they are in the image.
fn symbols(
    image: &Image,
    layout: &Layout,
    index_of: impl Fn(Place) -> usize,
) -> (Vec<u8>, Vec<u8>) {
    let mut strings = vec![0];
    let mut symbols = vec![0; SYMBOL_BYTES as usize];
    for symbol in &image.symbols {
        let entry = Sym64 {
            st_name: number(strings.len() as u32),
            st_info: symbol.info,
            st_other: elf::STV_DEFAULT,
            st_shndx: half(index_of(symbol.place)),
            st_value: word(layout.image.wrapping_add(symbol.offset)),
            st_size: word(symbol.bytes),
        };
        symbols.extend(object::bytes_of(&entry));
        strings.extend(&symbol.name);
        strings.push(0);
    }
    (symbols, strings)
}

fn is_local(info: u8) -> bool {
    info >> 4 == elf::STB_LOCAL
}

/// A section's header, without a name.
fn section(
    sh_type: u32,
    sh_flags: u32,
    range: core::ops::Range<u64>,
    align: u64,
) -> SectionHeader64<LittleEndian> {
    let address = if sh_flags == 0 { 0 } else { range.start };
    SectionHeader64 {
        sh_name: number(0),
        sh_type: number(sh_type),
        sh_flags: word(sh_flags.into()),
        sh_addr: word(address),
        sh_offset: word(range.start),
        sh_size: word(range.end - range.start),
        sh_link: number(0),
        sh_info: number(0),
        sh_addralign: word(align),
        sh_entsize: word(0),
    }
}

fn number(value: u32) -> object::U32<LittleEndian> {
    object::U32::new(LittleEndian, value)
}
