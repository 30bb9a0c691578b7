//! ELF images: shared libraries written without a linker.
//!
//! File offsets and addresses are the same numbers, but for `.dynamic`, whose page has the end of `.text` before it.
//!
//! ```text
//!   R    0           ELF header, program headers
//!                    .note.aotc       where the module data is: what the loader looks for
//!                    .hash .dynsym .dynstr                   what `dlsym` looks for
//!                    .eh_frame_hdr .eh_frame
//!                    .rodata.aotc     module data, at its end from a page boundary on the instance image
//!   RX   page        .text
//!   RW               .dynamic
//!        not loaded  .symtab .strtab .shstrtab, section headers
//! ```
//!
//! What is not loaded is as far as it fits before the module data, where up to a page is free.
//!
//! There are no relocations. `.dynamic` is the only thing that is writable: the dynamic linker of glibc before
//! 2.35 adds the load address to its entries in place. A loader that maps images itself leaves it out.

use ::object::write::StringId;
use ::object::write::elf::{FileHeader, ProgramHeader, SectionHeader, SectionIndex, Sym, Writer};
use ::object::{Endianness, elf};
use aotc_abi::meta::{Header, seal};
use aotc_abi::symbol::{MODULE_DATA_SECTION, NOTE_NAME, NOTE_TYPE, descriptor_symbol};
use aotc_abi::target::Arch;

use super::text::{self, Text};
use super::unwind::EhFrame;
use super::{FinishedData, Parts, internal, too_large};
use crate::error::Result;

/// The image with these parts.
pub(super) fn write(mut parts: Parts<'_>) -> Result<Vec<u8>> {
    let data = std::mem::take(&mut parts.data);
    let text = text::lay_out(&parts)?;
    let eh_frame = EhFrame::of_image(&parts, &text.offsets)?;
    let descriptor = descriptor_symbol(&parts.name);
    let mut out = Vec::new();
    let mut writer = Writer::new(Endianness::Little, true, &mut out);
    let names = Names::add(&mut writer, &parts, &descriptor);
    let data = FinishedData::finish(data, DATA_ALIGN as u32)?;
    let layout = Layout::reserve(&mut writer, &parts, &data, &text, &eh_frame);
    let image = Image { parts: &parts, data, text, eh_frame, names, layout };
    image.write(&mut writer)?;
    Ok(out)
}

/// Owner and type of the note that says where the module data is. Its description is two 64-bit
/// numbers: address and size of the module data, in bytes.
const NOTE_NAME_BYTES: usize = NOTE_NAME.len() + 1;
const NOTE_BYTES: usize = 12 + NOTE_NAME_BYTES.next_multiple_of(4) + 16;

/// Machine and processor-specific flags.
fn machine(arch: Arch) -> (u16, u32) {
    match arch {
        Arch::X86_64 => (elf::EM_X86_64, 0),
        Arch::Aarch64 => (elf::EM_AARCH64, 0),
        Arch::Riscv64 => (elf::EM_RISCV, elf::EF_RISCV_FLOAT_ABI_DOUBLE),
    }
}

/// Names in the string tables, and the sections that other things refer to.
struct Names {
    descriptor: StringId,
    dynamic_descriptor: StringId,
    /// By piece of code.
    code: Vec<StringId>,
    sections: Sections,
}

/// Sections that the writer does not know by itself.
struct Sections {
    note: StringId,
    eh_frame_hdr: StringId,
    eh_frame: StringId,
    data: StringId,
    text: StringId,
    data_index: SectionIndex,
    text_index: SectionIndex,
}

impl Names {
    fn add<'a>(writer: &mut Writer<'a>, parts: &'a Parts<'_>, descriptor: &'a str) -> Self {
        // Section indices in the order of `Image::section_headers`.
        let note = writer.add_section_name(b".note.aotc");
        writer.reserve_section_index();
        writer.reserve_hash_section_index();
        writer.reserve_dynsym_section_index();
        writer.reserve_dynstr_section_index();
        let eh_frame_hdr = writer.add_section_name(b".eh_frame_hdr");
        writer.reserve_section_index();
        let eh_frame = writer.add_section_name(b".eh_frame");
        writer.reserve_section_index();
        let data = writer.add_section_name(MODULE_DATA_SECTION.as_bytes());
        let data_index = writer.reserve_section_index();
        let text = writer.add_section_name(b".text");
        let text_index = writer.reserve_section_index();
        writer.reserve_dynamic_section_index();
        writer.reserve_symtab_section_index();
        writer.reserve_strtab_section_index();
        writer.reserve_shstrtab_section_index();

        let code = (parts.symbols.iter())
            .map(|symbol| {
                writer.reserve_symbol_index(Some(text_index));
                writer.add_string(symbol.as_bytes())
            })
            .collect();
        writer.reserve_symbol_index(Some(data_index));
        writer.reserve_dynamic_symbol_index();
        Self {
            descriptor: writer.add_string(descriptor.as_bytes()),
            dynamic_descriptor: writer.add_dynamic_string(descriptor.as_bytes()),
            code,
            sections: Sections { note, eh_frame_hdr, eh_frame, data, text, data_index, text_index },
        }
    }
}

/// Where everything is: addresses and file offsets at once, where nothing else is said.
struct Layout {
    note: usize,
    hash: usize,
    dynsym: usize,
    dynstr: usize,
    dynstr_bytes: usize,
    eh_frame_hdr: usize,
    eh_frame: usize,
    eh_frame_bytes: usize,
    data: usize,
    text: usize,
    dynamic: usize,
    /// Address of `.dynamic`: in a page of its own, as far from that page's start as in the file.
    dynamic_address: usize,
    before_data: Vec<Unloaded>,
    behind_code: Vec<Unloaded>,
}

/// What the loader and the system's linker do not look at.
#[derive(Clone, Copy)]
enum Unloaded {
    Symbols,
    Names,
    SectionNames,
    SectionHeaders,
}

impl Unloaded {
    const ALL: [Self; 4] = [Self::Symbols, Self::Names, Self::SectionNames, Self::SectionHeaders];

    /// How much it takes at most, in bytes, with what is left free before it; `names_bytes` is the size of all symbols' names.
    fn bytes_max(self, writer: &Writer<'_>, names_bytes: usize) -> usize {
        const ALIGN: usize = 8;
        match self {
            Self::Symbols => {
                ALIGN + writer.symbol_count() as usize * size_of::<elf::Sym64<Endianness>>()
            }
            Self::Names => 1 + names_bytes,
            Self::SectionNames => SECTION_NAMES_BYTES_MAX,
            Self::SectionHeaders => {
                ALIGN + SECTIONS * size_of::<elf::SectionHeader64<Endianness>>()
            }
        }
    }

    fn reserve(self, writer: &mut Writer<'_>) {
        match self {
            Self::Symbols => writer.reserve_symtab(),
            Self::Names => writer.reserve_strtab(),
            Self::SectionNames => writer.reserve_shstrtab(),
            Self::SectionHeaders => writer.reserve_section_headers(),
        }
    }
}

/// As compiled code wants the constants in it.
const DATA_ALIGN: usize = 16;
const DYNAMIC_ENTRIES: usize = 6;
const DYNAMIC_BYTES: usize = DYNAMIC_ENTRIES * 16;
const SEGMENTS: u32 = 7;
/// With the one that is none.
const SECTIONS: usize = 13;
const SECTION_NAMES_BYTES_MAX: usize = 128;
/// The hash table has one bucket, and a chain for the null symbol and the descriptor.
const HASH_BUCKETS: u32 = 1;
const HASH_CHAINS: u32 = 2;

impl Layout {
    /// Reserves all ranges, in the order in which [`Image::write`] fills them.
    fn reserve(
        writer: &mut Writer<'_>,
        parts: &Parts<'_>,
        data: &FinishedData,
        text: &Text,
        frames: &EhFrame,
    ) -> Self {
        let page_bytes = parts.target.page_bytes() as usize;
        writer.reserve_file_header();
        writer.reserve_program_headers(SEGMENTS);
        let note = writer.reserve(NOTE_BYTES, 4);
        let hash = writer.reserve_hash(HASH_BUCKETS, HASH_CHAINS);
        let dynsym = writer.reserve_dynsym();
        let dynstr = writer.reserve_dynstr();
        let eh_frame_hdr = writer.reserve(frames.header_bytes(), 4);
        let eh_frame_bytes = frames.bytes.len() + EhFrame::TERMINATOR_BYTES;
        let eh_frame = writer.reserve(eh_frame_bytes, 8);
        let image_offset = Header::decode(&data.bytes).fixed.image_offset as usize;
        let image = (writer.reserved_len() + image_offset).next_multiple_of(page_bytes);
        let data_start = image - image_offset;
        let descriptor_bytes = descriptor_symbol(&parts.name).len() + 1;
        let names_bytes = parts.symbols.iter().map(|symbol| symbol.len() + 1).sum::<usize>();
        let names_bytes = names_bytes + descriptor_bytes;
        let (mut before_data, mut behind_code) = (Vec::new(), Vec::new());
        for table in Unloaded::ALL {
            let end = writer.reserved_len() + table.bytes_max(writer, names_bytes);
            if end <= data_start {
                table.reserve(writer);
                before_data.push(table);
            } else {
                behind_code.push(table);
            }
        }
        assert!(writer.reserved_len() <= data_start, "what fits takes no more than was said");
        writer.reserve_until(data_start);
        let data = writer.reserve(data.bytes.len(), 1);
        let text = writer.reserve(text.bytes.len(), page_bytes);
        let text_pages_end = writer.reserved_len().next_multiple_of(page_bytes);
        let dynamic = writer.reserve_dynamic(DYNAMIC_ENTRIES);
        for table in &behind_code {
            table.reserve(writer);
        }
        Self {
            note,
            hash,
            dynsym,
            dynstr,
            dynstr_bytes: writer.dynstr_len(),
            eh_frame_hdr,
            eh_frame,
            eh_frame_bytes,
            data,
            text,
            dynamic,
            dynamic_address: text_pages_end + dynamic % page_bytes,
            before_data,
            behind_code,
        }
    }
}

struct Image<'a> {
    parts: &'a Parts<'a>,
    data: FinishedData,
    text: Text,
    eh_frame: EhFrame,
    names: Names,
    layout: Layout,
}

impl Image<'_> {
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        let layout = &self.layout;
        let broken = |error| internal("the image", error);
        let (e_machine, e_flags) = machine(self.parts.target.arch);
        let e_type = elf::ET_DYN;
        let (os_abi, abi_version, e_entry) = (elf::ELFOSABI_NONE, 0, 0);
        let header = FileHeader { os_abi, abi_version, e_type, e_machine, e_entry, e_flags };
        writer.write_file_header(&header).map_err(broken)?;
        writer.write_align_program_headers();
        self.program_headers(writer);
        put(writer, layout.note, &self.note());
        writer.write_hash(HASH_BUCKETS, HASH_CHAINS, |symbol| {
            (symbol != 0).then(|| elf::hash(descriptor_symbol(&self.parts.name).as_bytes()))
        });
        writer.write_null_dynamic_symbol();
        writer.write_dynamic_symbol(&self.descriptor(self.names.dynamic_descriptor));
        writer.write_dynstr();
        let (frames, at) = (&self.eh_frame, layout.eh_frame as u64);
        let header = frames.header(layout.eh_frame_hdr as u64, at, |code| self.code(code))?;
        put(writer, layout.eh_frame_hdr, &header);
        put(writer, layout.eh_frame, &frames.resolve(at, |code| self.code(code))?);
        self.unloaded(writer, &layout.before_data);
        put(writer, layout.data, &self.module_data()?);
        put(writer, layout.text, &self.text.bytes);
        writer.pad_until(layout.dynamic);
        for (tag, value) in self.dynamic() {
            writer.write_dynamic(tag, value as u64).map_err(broken)?;
        }
        self.unloaded(writer, &layout.behind_code);
        assert_eq!(writer.len(), writer.reserved_len(), "everything reserved was written");
        Ok(())
    }

    fn unloaded(&self, writer: &mut Writer<'_>, tables: &[Unloaded]) {
        for table in tables {
            match table {
                Unloaded::Symbols => self.symbols(writer),
                Unloaded::Names => writer.write_strtab(),
                Unloaded::SectionNames => writer.write_shstrtab(),
                Unloaded::SectionHeaders => self.section_headers(writer),
            }
        }
    }

    fn program_headers(&self, writer: &mut Writer<'_>) {
        let layout = &self.layout;
        let page = u64::from(self.parts.target.page_bytes());
        let data_end = layout.data + self.data.bytes.len();
        let headers_bytes = self.eh_frame.header_bytes();
        let text_bytes = self.text.bytes.len();
        let (read, execute, write) = (elf::PF_R, elf::PF_R | elf::PF_X, elf::PF_R | elf::PF_W);
        let segments: [(u32, u32, usize, usize, u64); SEGMENTS as usize] = [
            (elf::PT_LOAD, read, 0, data_end, page),
            (elf::PT_LOAD, execute, layout.text, text_bytes, page),
            (elf::PT_LOAD, write, layout.dynamic, DYNAMIC_BYTES, page),
            (elf::PT_DYNAMIC, write, layout.dynamic, DYNAMIC_BYTES, 8),
            (elf::PT_NOTE, read, layout.note, NOTE_BYTES, 4),
            (elf::PT_GNU_EH_FRAME, read, layout.eh_frame_hdr, headers_bytes, 4),
            (elf::PT_GNU_STACK, write, 0, 0, 16),
        ];
        for (p_type, p_flags, start, bytes, p_align) in segments {
            let address = if start == layout.dynamic { layout.dynamic_address } else { start };
            let (start, bytes, address) = (start as u64, bytes as u64, address as u64);
            writer.write_program_header(&ProgramHeader {
                p_type,
                p_flags,
                p_offset: start,
                p_vaddr: address,
                p_paddr: address,
                p_filesz: bytes,
                p_memsz: bytes,
                p_align,
            });
        }
    }

    fn note(&self) -> Vec<u8> {
        let mut note = Vec::with_capacity(NOTE_BYTES);
        for word in [NOTE_NAME_BYTES as u32, 16, NOTE_TYPE] {
            note.extend(word.to_le_bytes());
        }
        note.extend(NOTE_NAME.as_bytes());
        note.push(0);
        note.resize(note.len().next_multiple_of(4), 0);
        note.extend((self.layout.data as u64).to_le_bytes());
        note.extend((self.data.bytes.len() as u64).to_le_bytes());
        note
    }

    /// The module data with its code offsets filled in.
    fn module_data(&self) -> Result<Vec<u8>> {
        let mut data = self.data.bytes.clone();
        for offset in &self.data.code {
            let value = self.code(offset.code) - self.layout.data as u64;
            let value = i32::try_from(value).map_err(|_| too_large())?;
            data[offset.at as usize..][..4].copy_from_slice(&value.to_le_bytes());
        }
        let covered_bytes = Header::decode(&data).covered_bytes();
        seal(&mut data, covered_bytes as usize);
        Ok(data)
    }

    fn dynamic(&self) -> [(i64, usize); DYNAMIC_ENTRIES] {
        let layout = &self.layout;
        [
            (elf::DT_HASH, layout.hash),
            (elf::DT_STRTAB, layout.dynstr),
            (elf::DT_SYMTAB, layout.dynsym),
            (elf::DT_STRSZ, layout.dynstr_bytes),
            (elf::DT_SYMENT, size_of::<elf::Sym64<Endianness>>()),
            (elf::DT_NULL, 0),
        ]
    }

    fn symbols(&self, writer: &mut Writer<'_>) {
        writer.write_null_symbol();
        for (code, (&name, function)) in
            self.names.code.iter().zip(self.parts.functions).enumerate()
        {
            writer.write_symbol(&Sym {
                name: Some(name),
                section: Some(self.names.sections.text_index),
                st_info: elf::STB_LOCAL << 4 | elf::STT_FUNC,
                st_other: elf::STV_DEFAULT,
                st_shndx: 0,
                st_value: self.code(code as u32),
                st_size: function.code.len() as u64,
            });
        }
        writer.write_symbol(&self.descriptor(self.names.descriptor));
    }

    fn descriptor(&self, name: StringId) -> Sym {
        Sym {
            name: Some(name),
            section: Some(self.names.sections.data_index),
            st_info: elf::STB_GLOBAL << 4 | elf::STT_OBJECT,
            st_other: elf::STV_DEFAULT,
            st_shndx: 0,
            st_value: self.layout.data as u64,
            st_size: self.data.bytes.len() as u64,
        }
    }

    fn section_headers(&self, writer: &mut Writer<'_>) {
        let (layout, sections) = (&self.layout, &self.names.sections);
        let page = self.parts.target.page_bytes() as usize;
        let header_bytes = self.eh_frame.header_bytes();
        let data_bytes = self.data.bytes.len();
        let note = (layout.note, NOTE_BYTES, 4);
        let eh_frame_hdr = (layout.eh_frame_hdr, header_bytes, 4);
        let eh_frame = (layout.eh_frame, layout.eh_frame_bytes, 8);
        let code = elf::SHF_ALLOC | elf::SHF_EXECINSTR;
        writer.write_null_section_header();
        section_header(writer, sections.note, elf::SHT_NOTE, elf::SHF_ALLOC, note);
        writer.write_hash_section_header(layout.hash as u64);
        writer.write_dynsym_section_header(layout.dynsym as u64, 1);
        writer.write_dynstr_section_header(layout.dynstr as u64);
        let (kind, alloc) = (elf::SHT_PROGBITS, elf::SHF_ALLOC);
        section_header(writer, sections.eh_frame_hdr, kind, alloc, eh_frame_hdr);
        section_header(writer, sections.eh_frame, kind, alloc, eh_frame);
        section_header(writer, sections.data, kind, alloc, (layout.data, data_bytes, DATA_ALIGN));
        section_header(
            writer,
            sections.text,
            kind,
            code,
            (layout.text, self.text.bytes.len(), page),
        );
        writer.write_dynamic_section_header(layout.dynamic_address as u64);
        writer.write_symtab_section_header(self.names.code.len() as u32 + 1);
        writer.write_strtab_section_header();
        writer.write_shstrtab_section_header();
    }

    /// Address of a piece of code.
    fn code(&self, code: u32) -> u64 {
        self.layout.text as u64 + u64::from(self.text.offsets[code as usize])
    }
}

/// A header for a section whose start, size and alignment are `place`.
fn section_header(
    writer: &mut Writer<'_>,
    name: StringId,
    sh_type: u32,
    sh_flags: u32,
    place: (usize, usize, usize),
) {
    let (start, bytes, align) = place;
    writer.write_section_header(&SectionHeader {
        name: Some(name),
        sh_type,
        sh_flags: sh_flags.into(),
        sh_addr: start as u64,
        sh_offset: start as u64,
        sh_size: bytes as u64,
        sh_link: 0,
        sh_info: 0,
        sh_addralign: align as u64,
        sh_entsize: 0,
    });
}

/// Writes `bytes` at their place.
fn put(writer: &mut Writer<'_>, start: usize, bytes: &[u8]) {
    writer.pad_until(start);
    writer.write(bytes);
}
