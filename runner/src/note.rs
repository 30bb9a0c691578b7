//! The note of the runner. It is in the binary alone: what else uses the library is no runner.
//!
//! # Safety
//!
//! What is in a section of notes is a note as ELF has it, and nobody refers to it.
#![allow(unsafe_code, reason = "a section of its own")]

use aotc_abi::exe::{HEADER_ROOM_BYTES, RECORD_VERSION, RUNNER_DESC_BYTES, RUNNER_NOTE_TYPE};
use aotc_abi::meta::LAYOUT_HASH;
use aotc_abi::symbol::NOTE_NAME;

/// Says which executables this runner runs, and keeps room for program headers: `aotc_abi::exe` has the form.
#[used]
#[unsafe(link_section = ".note.aotc.runner")]
static RUNNER_NOTE: RunnerNote = RunnerNote {
    name_bytes: NOTE_NAME.len() as u32 + 1,
    desc_bytes: RUNNER_DESC_BYTES + HEADER_ROOM_BYTES,
    note_type: RUNNER_NOTE_TYPE,
    name: *b"aotc\0\0\0\0",
    layout_hash: LAYOUT_HASH,
    record_version: RECORD_VERSION,
    zero: 0,
    room: [0; HEADER_ROOM_BYTES as usize],
};

/// A note as ELF has it.
#[repr(C, packed(4))]
struct RunnerNote {
    name_bytes: u32,
    desc_bytes: u32,
    note_type: u32,
    name: [u8; 8],
    layout_hash: u64,
    record_version: u32,
    zero: u32,
    room: [u8; HEADER_ROOM_BYTES as usize],
}
