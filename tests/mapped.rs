//! Libraries for other operating systems, mapped into this process by hand: their segments at their distances, with their
//! final protections. Code is the same for every operating system, and needs nothing of one.
//!
//! # Safety
//!
//! A [`Mapped`] library was linked from objects that this process compiled, for its architecture, and needs no fixups. It
//! is never unmapped, so what was found in it stays.
#![allow(unsafe_code, reason = "maps code, and has it trusted")]

use std::ffi::c_void;
use std::ptr;

use anyhow::{Context, Result, ensure};
use aotc_loader::{Engine, Module};

use crate::linked_file::{Access, LinkedFile};

/// A library in memory.
pub(crate) struct Mapped {
    base: usize,
    file: LinkedFile,
}

impl Mapped {
    /// Maps a library. No page of it is ever writable and executable at once.
    pub(crate) fn new(file: LinkedFile) -> Result<Self> {
        ensure!(file.fixups == 0, "the library needs {} fixups", file.fixups);
        let end =
            |segment: &crate::linked_file::Segment| segment.start as usize + segment.bytes.len();
        let bytes = file.segments.iter().map(end).max().context("the library is empty")?;
        let bytes = bytes.next_multiple_of(PAGE_BYTES);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, wherever there is room.
        let base = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
        ensure!(base != libc::MAP_FAILED, "no room for {bytes} bytes");
        for segment in &file.segments {
            ensure!(segment.start.is_multiple_of(PAGE_BYTES as u64), "a segment is not on a page");
            let protection = match segment.access {
                Access::Read => libc::PROT_READ,
                Access::ReadExecute => libc::PROT_READ | libc::PROT_EXEC,
                Access::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
            };
            // SAFETY: the segment lies in the new mapping, which nobody else knows of.
            let changed = unsafe {
                let place = base.cast::<u8>().add(segment.start as usize);
                ptr::copy_nonoverlapping(segment.bytes.as_ptr(), place, segment.bytes.len());
                libc::mprotect(place.cast(), segment.bytes.len(), protection)
            };
            ensure!(changed == 0, "a segment's protection cannot be set");
        }
        Ok(Self { base: base.expose_provenance(), file })
    }

    /// The address of what is exported as `symbol`.
    pub(crate) fn address(&self, symbol: &str) -> Result<*mut c_void> {
        let address = self.base + self.file.export(symbol)? as usize;
        Ok(ptr::with_exposed_provenance_mut(address))
    }

    /// The module whose descriptor is exported as `symbol`.
    pub(crate) fn module(&self, engine: &Engine, symbol: &str) -> Result<Module> {
        let descriptor = self.address(symbol)?;
        // SAFETY: the symbol of an object that `aotc` compiled; the library stays.
        unsafe { Module::from_linked(engine, descriptor.cast::<u8>()) }
    }
}

/// The page size of x86-64.
const PAGE_BYTES: usize = 4096;
