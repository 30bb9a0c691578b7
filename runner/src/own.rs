//! What is behind the runner in its own executable.
//!
//! The kernel has mapped it with the runner, since it stands in the same program headers: the image's code read and
//! execute, all else of it read. Nothing has to be opened.
//!
//! # Safety
//!
//! The program headers are those that the kernel tells, and what they say is mapped is, as long as the process
//! lives. A file that is shorter than they say has pages that fault, so its size is compared first where the file can be
//! found. Nobody changes an executable that runs: Linux refuses.
#![allow(unsafe_code, reason = "the process's own memory")]

use core::ffi::{CStr, c_char, c_void};
use core::ops::Range;
use core::ptr::NonNull;
use core::slice;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, bail};
use aotc_abi::exe::{RECORD_NOTE_TYPE, Record};
use aotc_abi::symbol::NOTE_NAME;
use aotc_loader::{Engine, Module};

use crate::process;

/// Runs the program that is behind this runner, and gives the exit code of the process.
pub fn run_own() -> u8 {
    process::run(std::env::args_os(), |engine| {
        let record = own_record()?;
        Ok((own_module(engine, &record)?, record.settings))
    })
}

/// The record in the notes of this executable.
fn own_record() -> Result<Record> {
    let headers = Headers::own()?;
    headers.check_file()?;
    for segment in headers.of(PT_NOTE) {
        let notes = headers.contents(&segment.range())?;
        if let Some(record) = find_record(notes) {
            return Ok(Record::decode(record)?);
        }
    }
    bail!(
        "there is no program in this executable; `aotc compile --emit exe` makes one with a program"
    )
}

/// The module that `record` says where it is.
fn own_module(engine: &Engine, record: &Record) -> Result<Module> {
    let headers = Headers::own()?;
    let start = record.image_address;
    let end = start.checked_add(record.image_bytes).context("the image has no end")?;
    let image = NonNull::from(headers.contents(&(start..end))?);
    // SAFETY: the runner's own executable, which `aotc` has written; checked to be mapped, and never unmapped. What is to
    // be executed the kernel has mapped so.
    unsafe { Module::deserialize_raw(engine, image) }
}

/// The path by which the executable was started.
fn started_as() -> &'static OsStr {
    // SAFETY: a plain call.
    let path = unsafe { libc::getauxval(libc::AT_EXECFN) } as *const c_char;
    if path.is_null() {
        return OsStr::new("");
    }
    // SAFETY: a string that the kernel has put there, for as long as the process lives.
    OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes())
}

/// The program headers of the process, and what the kernel has mapped for them.
struct Headers {
    /// What is to be added to an address in them.
    bias: u64,
    segments: Vec<Segment>,
}

/// A program header.
#[derive(Clone, Copy)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file_bytes: u64,
}

/// Size of a program header, in bytes.
const HEADER_BYTES: usize = 56;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const PT_PHDR: u32 = 6;
const PF_W: u32 = 2;
const PF_R: u32 = 4;

impl Headers {
    fn own() -> Result<Self> {
        // SAFETY: plain calls.
        let [address, count, size] = [libc::AT_PHDR, libc::AT_PHNUM, libc::AT_PHENT]
            .map(|what| unsafe { libc::getauxval(what) });
        if address == 0 || size != HEADER_BYTES as u64 {
            bail!("the kernel does not say where the program headers of this process are");
        }
        // SAFETY: what the kernel says, for as long as the process lives.
        let bytes =
            unsafe { slice::from_raw_parts(address as *const u8, count as usize * HEADER_BYTES) };
        let segments: Vec<Segment> =
            bytes.chunks_exact(HEADER_BYTES).map(Segment::decode).collect();
        let own = segments.iter().find(|segment| segment.kind == PT_PHDR);
        // A runner with nothing behind it may do without.
        let bias = own.map_or(0, |own| address.wrapping_sub(own.address));
        Ok(Self { bias, segments })
    }

    /// The headers of a kind.
    fn of(&self, kind: u32) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(move |segment| segment.kind == kind)
    }

    /// Finds out whether the file is as long as what is mapped of it. Where it cannot be looked at, it is taken to be.
    fn check_file(&self) -> Result<()> {
        let ends = self.of(PT_LOAD).map(|load| load.offset.saturating_add(load.file_bytes));
        let expected = ends.max().unwrap_or(0);
        let file = std::fs::metadata("/proc/self/exe");
        match file.or_else(|_| std::fs::metadata(started_as())) {
            Ok(file) if file.len() < expected => {
                bail!("this executable is cut off: expected {expected} bytes, found {}", file.len())
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// What is mapped at these addresses, if all of it is, and nothing of it can be written.
    fn contents(&self, range: &Range<u64>) -> Result<&'static [u8]> {
        let mut mapped_end = range.start;
        for load in self.of(PT_LOAD) {
            let is_read_only = load.flags & (PF_R | PF_W) == PF_R;
            if is_read_only && load.range().contains(&mapped_end) {
                mapped_end = load.range().end;
            }
        }
        if range.is_empty() || mapped_end < range.end {
            bail!("this executable is damaged: {range:#x?} is not mapped");
        }
        let start = self.bias.wrapping_add(range.start) as *const c_void;
        let bytes = (range.end - range.start) as usize;
        // SAFETY: the file's contract: mapped, readable, and written by nobody.
        Ok(unsafe { slice::from_raw_parts(start.cast(), bytes) })
    }
}

impl Segment {
    fn decode(bytes: &[u8]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"));
        Self {
            kind: u32_at(0),
            flags: u32_at(4),
            offset: u64_at(8),
            address: u64_at(16),
            file_bytes: u64_at(32),
        }
    }

    /// The addresses of what it has of the file.
    fn range(&self) -> Range<u64> {
        self.address..self.address.saturating_add(self.file_bytes)
    }
}

/// The description of the first note with a record.
fn find_record(mut notes: &[u8]) -> Option<&[u8]> {
    loop {
        let head = notes.get(..12)?;
        let u32_at = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four"));
        let (name_bytes, desc_bytes) = (u32_at(0) as usize, u32_at(4) as usize);
        let name_end = 12 + name_bytes.next_multiple_of(4);
        let desc_end = name_end + desc_bytes.next_multiple_of(4);
        let name = notes.get(12..12 + name_bytes)?;
        let desc = notes.get(name_end..name_end + desc_bytes)?;
        if name.strip_suffix(b"\0") == Some(NOTE_NAME.as_bytes()) && u32_at(8) == RECORD_NOTE_TYPE {
            return Some(desc);
        }
        notes = notes.get(desc_end..)?;
    }
}
