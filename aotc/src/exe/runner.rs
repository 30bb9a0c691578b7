//! The runner: an ELF executable that says by a note which images it runs, and has room for more program headers.
//!
//! ```text
//!   before  | program headers | .interp, notes |     the runner's note     | ...
//!   after   | program headers, and more | .interp, notes | the note, shorter | ...
//! ```
//!
//! Nothing else moves. Nobody refers to what does but headers, which are changed with it.

use core::ops::Range;

use aotc_abi::exe::{
    HEADER_ROOM_BYTES, RECORD_VERSION, RUNNER_DESC_BYTES, RUNNER_NOTE_SECTION, RUNNER_NOTE_TYPE,
};
use aotc_abi::meta::LAYOUT_HASH;
use aotc_abi::symbol::NOTE_NAME;
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{LittleEndian, read};

use super::image::Image;
use super::{bad_runner, word};
use crate::error::{Error, Result};

/// More headers of a kind than any linker makes, and few enough for ours to be added.
const HEADERS_MAX: usize = 1000;
/// An address that no runner reaches: the file is made that long.
const ADDRESS_MAX: u64 = 1 << 30;
/// Largest page of any kernel, and then some.
pub(super) const PAGE_BYTES_MAX: u64 = 1 << 21;
/// Size of a program header, in bytes.
const SEGMENT_BYTES: usize = size_of::<ProgramHeader64<LittleEndian>>();
/// Size of what is before the room in the note, in bytes.
const NOTE_HEAD_BYTES: usize = 20 + RUNNER_DESC_BYTES as usize;
/// Where in the note the size of its description is.
const DESC_SIZE_AT: usize = 4;

/// A runner that was looked through.
pub(super) struct Runner<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) header: &'a FileHeader64<LittleEndian>,
    segments: &'a [ProgramHeader64<LittleEndian>],
    pub(super) sections: &'a [SectionHeader64<LittleEndian>],
    /// The section with the names of sections, and what is in it.
    pub(super) names_index: usize,
    pub(super) names: &'a [u8],
    /// From the end of the program headers to the end of the note with the room.
    movable: Range<usize>,
    /// Where the note starts.
    note: usize,
}

impl<'a> Runner<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut runner = Self::read(bytes).map_err(bad_runner)?;
        if runner.header.e_type.get(LittleEndian) != elf::ET_DYN {
            return Err(bad_runner("expected a position-independent executable"));
        }
        if runner.segments.len().max(runner.sections.len()) > HEADERS_MAX {
            return Err(bad_runner("too many headers"));
        }
        let inside = |segment: &ProgramHeader64<LittleEndian>| {
            segment.data(LittleEndian, bytes).is_ok()
                && end(segment) <= ADDRESS_MAX
                && segment.p_align(LittleEndian) <= PAGE_BYTES_MAX
        };
        let headers_of_headers =
            runner.segments.iter().filter(|segment| segment.p_type(LittleEndian) == elf::PT_PHDR);
        if headers_of_headers.count() > 1 {
            return Err(bad_runner("more than one header of its program headers"));
        }
        if !runner.loaded().all(inside) {
            return Err(bad_runner("a segment lies outside the file"));
        }
        runner.find_room()?;
        Ok(runner)
    }

    fn read(bytes: &'a [u8]) -> read::Result<Self> {
        let header = FileHeader64::<LittleEndian>::parse(bytes)?;
        let endian = header.endian()?;
        let sections = header.section_headers(endian, bytes)?;
        let names_index = header.shstrndx(endian, bytes)? as usize;
        let names = match sections.get(names_index) {
            Some(section) => section.data(endian, bytes)?,
            None => &[],
        };
        let segments = header.program_headers(endian, bytes)?;
        let (movable, note) = (0..0, 0);
        Ok(Self { bytes, header, segments, sections, names_index, names, movable, note })
    }

    /// Finds the note by which it says that it is a runner, and for what, and the room in it.
    fn find_room(&mut self) -> Result<()> {
        let none =
            || bad_runner("it has no note that says so; `cargo build -p aotc-runner` builds one");
        let table = self.header.sections(LittleEndian, self.bytes).map_err(bad_runner)?;
        let section = table.section_by_name(LittleEndian, RUNNER_NOTE_SECTION.as_bytes());
        let (_, section) = section.ok_or_else(none)?;
        let note = section.data(LittleEndian, self.bytes).map_err(bad_runner)?;
        let mut expected = Vec::new();
        for number in
            [NOTE_NAME.len() as u32 + 1, RUNNER_DESC_BYTES + HEADER_ROOM_BYTES, RUNNER_NOTE_TYPE]
        {
            expected.extend(number.to_le_bytes());
        }
        expected.extend(NOTE_NAME.as_bytes());
        expected.resize(20, 0);
        if !note.starts_with(&expected) {
            return Err(none());
        }
        for number in [LAYOUT_HASH, RECORD_VERSION.into()] {
            expected.extend(number.to_le_bytes());
        }
        if !note.starts_with(&expected) {
            return Err(bad_runner(
                "it is another version's; build it from the sources of this aotc",
            ));
        }
        let start = section.sh_offset(LittleEndian) as usize;
        let headers = self.header.e_phoff.get(LittleEndian) as usize;
        self.note = start;
        self.movable = headers + self.segments.len() * SEGMENT_BYTES..start + note.len();
        let is_between = |section: &&SectionHeader64<LittleEndian>| {
            let offset = section.sh_offset(LittleEndian) as usize;
            let is_loaded = section.sh_flags(LittleEndian) & u64::from(elf::SHF_ALLOC) != 0;
            is_loaded && (self.movable.start..start).contains(&offset)
        };
        let is_movable = |section: &SectionHeader64<LittleEndian>| {
            section.sh_type(LittleEndian) == elf::SHT_NOTE
                || table.section_name(LittleEndian, section) == Ok(b".interp")
        };
        let is_room = note.len() >= NOTE_HEAD_BYTES + HEADER_ROOM_BYTES as usize
            && self.movable.start <= start
            && self.sections.iter().filter(is_between).all(is_movable);
        if !is_room {
            return Err(bad_runner(
                "there is something between its program headers and the room for more",
            ));
        }
        Ok(())
    }

    /// Whether it can run an image.
    pub(super) fn check_target(&self, image: &Image) -> Result<()> {
        let found = self.header.e_machine.get(LittleEndian);
        if found == image.machine {
            return Ok(());
        }
        Err(Error::Options(format!(
            "the runner is for another target than the module: ELF machine {found}, expected {}; give another by \
             `--runner`",
            image.machine
        )))
    }

    /// The segments that are mapped.
    pub(super) fn loaded(&self) -> impl Iterator<Item = &ProgramHeader64<LittleEndian>> {
        self.segments.iter().filter(|segment| segment.p_type(LittleEndian) == elf::PT_LOAD)
    }

    /// The program headers but the one of the headers themselves, as they are with `count` headers in all.
    pub(super) fn segments_of(&self, count: usize) -> Vec<ProgramHeader64<LittleEndian>> {
        let stay =
            self.segments.iter().filter(|segment| segment.p_type(LittleEndian) != elf::PT_PHDR);
        stay.map(|segment| self.moved_segment(segment, self.added_bytes(count))).collect()
    }

    /// How many program headers there are without the one of the headers themselves.
    pub(super) fn segment_count(&self) -> usize {
        self.segments.iter().filter(|segment| segment.p_type(LittleEndian) != elf::PT_PHDR).count()
    }

    /// The section headers, as they are with `count` program headers.
    pub(super) fn sections_of(&self, count: usize) -> Vec<SectionHeader64<LittleEndian>> {
        let added = self.added_bytes(count);
        let moved = |section: &SectionHeader64<LittleEndian>| {
            let offset = section.sh_offset(LittleEndian);
            if !self.is_movable(offset)
                || section.sh_flags(LittleEndian) & u64::from(elf::SHF_ALLOC) == 0
            {
                return *section;
            }
            let taken = if offset == self.note as u64 { added } else { 0 };
            SectionHeader64 {
                sh_offset: word(offset + added),
                sh_addr: word(section.sh_addr(LittleEndian).wrapping_add(added)),
                sh_size: word(section.sh_size(LittleEndian) - taken),
                ..*section
            }
        };
        self.sections.iter().map(moved).collect()
    }

    /// Its bytes, with `headers` as its program headers.
    pub(super) fn with_headers(&self, headers: &[ProgramHeader64<LittleEndian>]) -> Vec<u8> {
        let added = self.added_bytes(headers.len()) as usize;
        let mut bytes = self.bytes.to_vec();
        let desc_bytes = RUNNER_DESC_BYTES + HEADER_ROOM_BYTES - added as u32;
        let desc_size = self.note + DESC_SIZE_AT;
        bytes[desc_size..desc_size + 4].copy_from_slice(&desc_bytes.to_le_bytes());
        bytes.copy_within(
            self.movable.start..self.note + NOTE_HEAD_BYTES,
            self.movable.start + added,
        );
        let table: Vec<u8> = headers.iter().flat_map(object::bytes_of).copied().collect();
        let start = self.header.e_phoff.get(LittleEndian) as usize;
        bytes[start..start + table.len()].copy_from_slice(&table);
        bytes
    }

    /// By how much the table of program headers grows if there are `count`.
    fn added_bytes(&self, count: usize) -> u64 {
        let added = (count - self.segments.len()) * SEGMENT_BYTES;
        assert!(added <= HEADER_ROOM_BYTES as usize, "room for all headers that are added");
        added as u64
    }

    fn is_movable(&self, offset: u64) -> bool {
        (self.movable.start..=self.note).contains(&(offset as usize))
    }

    /// A segment of what moves; any other stays.
    fn moved_segment(
        &self,
        segment: &ProgramHeader64<LittleEndian>,
        added: u64,
    ) -> ProgramHeader64<LittleEndian> {
        let (start, bytes) = segment.file_range(LittleEndian);
        if !self.is_movable(start) || segment.p_type(LittleEndian) == elf::PT_LOAD {
            return *segment;
        }
        // The note gets shorter by what everything before it moves.
        let taken = if start.saturating_add(bytes) > self.note as u64 { added } else { 0 };
        let moved = |place: u64| word(place.wrapping_add(added));
        ProgramHeader64 {
            p_offset: moved(start),
            p_vaddr: moved(segment.p_vaddr(LittleEndian)),
            p_paddr: moved(segment.p_paddr(LittleEndian)),
            p_filesz: word(bytes.saturating_sub(taken)),
            p_memsz: word(segment.p_memsz(LittleEndian).saturating_sub(taken)),
            ..*segment
        }
    }
}

/// Where a segment ends in memory.
pub(super) fn end(segment: &ProgramHeader64<LittleEndian>) -> u64 {
    segment.p_vaddr(LittleEndian).saturating_add(segment.p_memsz(LittleEndian))
}
