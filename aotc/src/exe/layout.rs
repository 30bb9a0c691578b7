//! Where everything is in an executable, and its program headers.

use aotc_abi::exe::RECORD_NOTE_TYPE;
use aotc_abi::symbol::NOTE_NAME;
use object::LittleEndian;
use object::elf::{self, ProgramHeader64};
use object::read::elf::ProgramHeader;

use super::image::Image;
use super::runner::{self, Runner};
use super::word;

/// Size of a program header, in bytes.
const SEGMENT_BYTES: u64 = size_of::<ProgramHeader64<LittleEndian>>() as u64;
/// Size of what is before a note's description, in bytes.
const NOTE_HEAD_BYTES: usize = 12 + (NOTE_NAME.len() + 1).next_multiple_of(4);

/// Where everything is behind the runner: addresses and file offsets at once.
pub(super) struct Layout {
    /// Program headers, all of them.
    pub(super) segment_count: usize,
    /// The note with the record. It starts the segment that is read.
    pub(super) note: u64,
    pub(super) note_bytes: u64,
    pub(super) image: u64,
    /// The image's code: the segment that is executed.
    pub(super) text: u64,
    pub(super) text_end: u64,
    page_bytes: u64,
}

impl Layout {
    pub(super) fn new(runner: &Runner<'_>, image: &Image, record_bytes: usize) -> Self {
        let loaded = runner.loaded();
        let aligns = loaded.map(|segment| segment.p_align(LittleEndian));
        let page_bytes =
            aligns.filter(|align| align.is_power_of_two()).fold(image.page_bytes, u64::max);
        // Behind the runner in the file and in memory, so that both can be the same number.
        let ends = runner.loaded().map(runner::end);
        let runner_end = ends.fold(runner.bytes.len() as u64, u64::max);
        let note = runner_end.next_multiple_of(page_bytes);
        let note_bytes = (NOTE_HEAD_BYTES + record_bytes.next_multiple_of(4)) as u64;
        let image_start = (note + note_bytes).next_multiple_of(page_bytes);
        Self {
            segment_count: runner.segment_count() + ADDED,
            note,
            note_bytes,
            image: image_start,
            text: image_start + image.text.start,
            text_end: image_start + image.text.end,
            page_bytes,
        }
    }
}

/// The note with a record.
pub(super) fn note(record: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    for number in [NOTE_NAME.len() as u32 + 1, record.len() as u32, RECORD_NOTE_TYPE] {
        note.extend(number.to_le_bytes());
    }
    note.extend(NOTE_NAME.as_bytes());
    note.resize(NOTE_HEAD_BYTES, 0);
    note.extend(record);
    note.resize(note.len().next_multiple_of(4), 0);
    note
}

/// Headers besides the runner's: of the headers themselves, two segments, a note.
const ADDED: usize = 4;

/// All program headers. Segments that are loaded are in the order of their addresses, and the one of the headers before
/// them, as ELF has it.
pub(super) fn segments(runner: &Runner<'_>, layout: &Layout) -> Vec<ProgramHeader64<LittleEndian>> {
    let (read, execute, page) = (elf::PF_R, elf::PF_R | elf::PF_X, layout.page_bytes);
    let headers = runner.header.e_phoff.get(LittleEndian);
    let headers_end = headers + layout.segment_count as u64 * SEGMENT_BYTES;
    let note_end = layout.note + layout.note_bytes;
    let mut segments = vec![segment(elf::PT_PHDR, read, headers..headers_end, 8)];
    segments.extend(runner.segments_of(layout.segment_count));
    let last = segments.iter().rposition(|segment| segment.p_type(LittleEndian) == elf::PT_LOAD);
    let behind = last.map_or(segments.len(), |last| last + 1);
    let added = [
        segment(elf::PT_LOAD, read, layout.note..layout.text, page),
        segment(elf::PT_LOAD, execute, layout.text..layout.text_end, page),
        segment(elf::PT_NOTE, read, layout.note..note_end, 4),
    ];
    segments.splice(behind..behind, added);
    assert_eq!(segments.len(), layout.segment_count, "all headers were counted");
    segments
}

fn segment(
    p_type: u32,
    p_flags: u32,
    range: core::ops::Range<u64>,
    align: u64,
) -> ProgramHeader64<LittleEndian> {
    let number = |value| object::U32::new(LittleEndian, value);
    ProgramHeader64 {
        p_type: number(p_type),
        p_flags: number(p_flags),
        p_offset: word(range.start),
        p_vaddr: word(range.start),
        p_paddr: word(range.start),
        p_filesz: word(range.end - range.start),
        p_memsz: word(range.end - range.start),
        p_align: word(align),
    }
}
