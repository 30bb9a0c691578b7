//! Address space: reservations for instances and memories, and mapped artifacts.
//!
//! # Safety
//!
//! A [`Reservation`] owns its addresses from `new` to `drop`; what is mapped or protected in it lies inside, which is
//! asserted. An [`ExactMapping`] owns its addresses until it grows. A [`FileMapping`] is read-only or read-and-execute from the start and never changes. Whoever keeps an
//! address keeps the owner.
#![allow(unsafe_code, reason = "mappings")]

use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::ptr;
use std::io;
use std::os::fd::BorrowedFd;

use anyhow::Result;
use rustix::mm::{self, MapFlags, MprotectFlags, MremapFlags, ProtFlags};

use super::keys::{self, Key};
use super::near;
use crate::error::LoadError;

/// The host's page size, in bytes.
pub(crate) fn page_bytes() -> u64 {
    // `sysconf` says the same, from two places in the C library that a program that starts has not touched yet: 8 us.
    // SAFETY: a plain call. Every kernel says it.
    unsafe { libc::getauxval(libc::AT_PAGESZ) }
}

/// What may be done with pages. None is ever executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing.
    None,
    /// Reading and writing.
    ReadWrite,
}

/// Reserved addresses; inaccessible at first.
#[derive(Debug)]
pub(crate) struct Reservation {
    base: u64,
    bytes: u64,
    /// The protection key of what is mapped in it, if it is not that of all memory.
    key: Option<Key>,
}

impl Reservation {
    /// Reserves `bytes`, a multiple of the page size.
    pub(crate) fn new(bytes: u64) -> io::Result<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let base = unsafe {
            mm::mmap_anonymous(ptr::null_mut(), bytes as usize, ProtFlags::empty(), flags)
        };
        Ok(Self { base: base? as u64, bytes, key: None })
    }

    /// The first address.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Size, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The address at `offset`.
    ///
    /// # Panics
    /// Unless `bytes` from there lie inside.
    pub(crate) fn inside(&self, offset: u64, bytes: u64) -> u64 {
        self.assert_inside(offset, bytes);
        self.base + offset
    }

    /// Sets what may be done with `bytes` from `offset`.
    pub(crate) fn protect(&self, offset: u64, bytes: u64, access: Access) -> Result<()> {
        self.assert_inside(offset, bytes);
        // SAFETY: inside this reservation.
        unsafe { Self::protect_at(self.base + offset, bytes, access) }
            .map_err(LoadError::os("change the protection of memory"))?;
        Ok(())
    }

    /// Sets what may be done with `bytes` from `address`.
    ///
    /// # Safety
    /// They lie inside a reservation, and no Rust reference leads there.
    pub(crate) unsafe fn protect_at(address: u64, bytes: u64, access: Access) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let flags = match access {
            Access::None => MprotectFlags::empty(),
            Access::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
        };
        // SAFETY: the caller's promise.
        Ok(unsafe { mm::mprotect(address as *mut c_void, bytes as usize, flags) }?)
    }

    /// Maps `bytes` of `file` from `file_offset` at `offset`, copy-on-write, readable and writable.
    pub(crate) fn map_private(
        &self,
        offset: u64,
        bytes: u64,
        file: BorrowedFd<'_>,
        file_offset: u64,
    ) -> Result<()> {
        self.assert_inside(offset, bytes);
        let protection = match self.key {
            // Accessible only when it has its key.
            Some(_) => ProtFlags::empty(),
            None => ProtFlags::READ | ProtFlags::WRITE,
        };
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        let address = (self.base + offset) as *mut c_void;
        // SAFETY: inside this reservation, which nobody refers to yet.
        unsafe { mm::mmap(address, bytes as usize, protection, flags, file, file_offset) }
            .map_err(io::Error::from)
            .map_err(LoadError::os("map an instance's image"))?;
        self.color(offset, bytes, Access::ReadWrite)
    }

    /// Whether what is mapped in it has a protection key of its own.
    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Gives `bytes` from `offset` the reservation's key, if it has one, and with it sets what may be done there. Pages keep
    /// their key when they are protected and forgotten, and lose it when something is mapped over them.
    pub(crate) fn color(&self, offset: u64, bytes: u64, access: Access) -> Result<()> {
        let address = self.inside(offset, bytes);
        if let Some(key) = self.key {
            // SAFETY: inside this reservation.
            unsafe { keys::color(address, bytes, access, key) }
                .map_err(LoadError::os("give memory a protection key"))?;
        }
        Ok(())
    }

    /// Forgets what was written to `bytes` from `offset`: mapped files show their contents again, other pages zeros.
    pub(crate) fn forget(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.assert_inside(offset, bytes);
        if bytes == 0 {
            return Ok(());
        }
        let address = (self.base + offset) as *mut c_void;
        // SAFETY: inside this reservation; only integers are kept there.
        Ok(unsafe { mm::madvise(address, bytes as usize, mm::Advice::LinuxDontNeed) }?)
    }

    /// Makes all of it inaccessible and forgets what is there, whatever it is.
    pub(crate) fn clear(&self) -> Result<()> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        let address = self.base as *mut c_void;
        // SAFETY: this reservation; only integers are kept there.
        unsafe { mm::mmap_anonymous(address, self.bytes as usize, ProtFlags::empty(), flags) }
            .map_err(io::Error::from)
            .map_err(LoadError::os("unmap an instance"))?;
        Ok(())
    }

    /// The `bytes` from `offset`, which are given back with the whole; what is mapped there gets `key`.
    ///
    /// # Safety
    /// 1. Nobody else uses them meanwhile.
    /// 2. The part is not used after the whole is dropped, and not dropped.
    pub(crate) unsafe fn part(
        &self,
        offset: u64,
        bytes: u64,
        key: Option<Key>,
    ) -> ManuallyDrop<Self> {
        self.assert_inside(offset, bytes);
        ManuallyDrop::new(Self { base: self.base + offset, bytes, key })
    }

    fn assert_inside(&self, offset: u64, bytes: u64) {
        let end = offset.checked_add(bytes);
        assert!(end.is_some_and(|end| end <= self.bytes), "range outside its reservation");
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: this owns the addresses; failing to give them back leaks them.
        let _ = unsafe { mm::munmap(self.base as *mut c_void, self.bytes as usize) };
    }
}

/// As many bytes as were asked for, readable and writable, and no addresses besides. Zero at first. They may
/// move when there shall be more of them.
#[derive(Debug)]
pub(crate) struct ExactMapping {
    /// Not null even if there are no bytes, so that it can be the base of a slice.
    base: u64,
    bytes: u64,
}

impl ExactMapping {
    /// Maps `bytes`, a multiple of the page size.
    pub(crate) fn new(bytes: u64) -> Result<Self> {
        let mut mapping = Self { base: page_bytes(), bytes: 0 };
        mapping.grow(bytes).map_err(LoadError::os("allocate memory"))?;
        Ok(mapping)
    }

    /// The first address.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Makes it `bytes` long, a multiple of the page size, at another address if need be.
    ///
    /// # Panics
    /// If it is longer.
    pub(crate) fn grow(&mut self, bytes: u64) -> io::Result<()> {
        assert!(bytes >= self.bytes, "exact mapping made smaller");
        if bytes == self.bytes {
            return Ok(());
        }
        let base = if self.bytes == 0 {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
            // SAFETY: a new mapping, at an address of the kernel's choice.
            unsafe { mm::mmap_anonymous(ptr::null_mut(), bytes as usize, protection, flags) }
        } else {
            let (old, old_bytes) = (self.base as *mut c_void, self.bytes as usize);
            // SAFETY: this owns the addresses; whoever keeps them asks for them again.
            unsafe { mm::mremap(old, old_bytes, bytes as usize, MremapFlags::MAYMOVE) }
        };
        (self.base, self.bytes) = (base? as u64, bytes);
        Ok(())
    }
}

impl Drop for ExactMapping {
    fn drop(&mut self) {
        if self.bytes != 0 {
            // SAFETY: this owns the addresses; failing to give them back leaks them.
            let _ = unsafe { mm::munmap(self.base as *mut c_void, self.bytes as usize) };
        }
    }
}

/// What fails when code cannot be mapped.
const MAP_CODE: &str = "map the artifact's code as executable";

/// A file's contents, readable, part of them also executable.
#[derive(Debug)]
pub(crate) struct FileMapping {
    base: u64,
    bytes: u64,
}

impl FileMapping {
    /// Maps the bytes `code` of `file`, readable and executable. There may be room before them for what is before them in the
    /// file.
    pub(crate) fn code(file: BorrowedFd<'_>, code: Range<u64>) -> Result<Self> {
        let code_bytes = (code.end - code.start) as usize;
        let protection = ProtFlags::READ | ProtFlags::EXEC;
        let flags = MapFlags::PRIVATE;
        let wish = near::wish(code.start, code_bytes as u64);
        // SAFETY: a new mapping, where there is none.
        let text = unsafe { mm::mmap(wish, code_bytes, protection, flags, file, code.start) };
        let text = text.map_err(io::Error::from).map_err(LoadError::os(MAP_CODE))? as u64;
        Ok(Self { base: text, bytes: code_bytes as u64 })
    }

    /// Maps the first `code.end` bytes of `file`: `code` readable and executable, what is before it readable. `None` if
    /// the addresses before those that the kernel chose for the code are taken.
    pub(crate) fn before_code(file: BorrowedFd<'_>, code: Range<u64>) -> Result<Option<Self>> {
        // Owns the code until both are one mapping.
        let text = Self::code(file, code.clone())?;
        let Some(base) = text.base.checked_sub(code.start) else { return Ok(None) };
        let flags = MapFlags::PRIVATE | MapFlags::FIXED_NOREPLACE;
        // SAFETY: a new mapping, where there is none.
        let data = unsafe {
            let bytes = code.start as usize;
            mm::mmap(base as *mut c_void, bytes, ProtFlags::READ, flags, file, 0)
        };
        match data {
            Ok(found) if found as u64 == base => {
                core::mem::forget(text);
                Ok(Some(Self { base, bytes: code.end }))
            }
            // A kernel that does not know the flag took the address for a wish.
            Ok(found) => {
                drop(Self { base: found as u64, bytes: code.start });
                Ok(None)
            }
            Err(_) => Ok(None),
        }
    }

    /// Maps the first `bytes` of `file`, readable.
    pub(crate) fn new(file: BorrowedFd<'_>, bytes: u64) -> Result<Self> {
        let flags = MapFlags::PRIVATE;
        let wish = near::wish(0, bytes);
        // SAFETY: a new mapping, where there is none.
        let base = unsafe { mm::mmap(wish, bytes as usize, ProtFlags::READ, flags, file, 0) };
        let base = base.map_err(io::Error::from).map_err(LoadError::os("map the artifact"))?;
        Ok(Self { base: base as u64, bytes })
    }

    /// Maps `bytes` of the same file from `offset` again in their place, readable and executable.
    pub(crate) fn map_code(&self, file: BorrowedFd<'_>, offset: u64, bytes: u64) -> Result<()> {
        let end = offset.checked_add(bytes);
        assert!(end.is_some_and(|end| end <= self.bytes.next_multiple_of(page_bytes())));
        let protection = ProtFlags::READ | ProtFlags::EXEC;
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        let address = (self.base + offset) as *mut c_void;
        // SAFETY: inside this mapping, over pages with the same contents.
        unsafe { mm::mmap(address, bytes as usize, protection, flags, file, offset) }
            .map_err(io::Error::from)
            .map_err(LoadError::os(MAP_CODE))?;
        Ok(())
    }

    /// The first address.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// The contents. They stay mapped as long as `self`, whatever 'a says.
    ///
    /// # Safety
    /// `self` outlives 'a, and nobody writes to the file.
    pub(crate) unsafe fn contents<'a>(&self) -> &'a [u8] {
        // SAFETY: readable bytes; the caller promises the rest.
        unsafe { core::slice::from_raw_parts(self.base as *const u8, self.bytes as usize) }
    }
}

impl Drop for FileMapping {
    fn drop(&mut self) {
        // SAFETY: this owns the addresses; failing to give them back leaks them.
        let _ = unsafe { mm::munmap(self.base as *mut c_void, self.bytes as usize) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::prelude::*;
    use crate::sys::sealed_memory_file;

    #[test]
    fn forgotten_pages_show_the_file_again() {
        let page = page_bytes();
        let contents = vec![7; page as usize];
        let file = sealed_memory_file(&contents).unwrap();
        let region = Reservation::new(4 * page).unwrap();
        region.map_private(0, page, file.as_fd(), 0).unwrap();
        region.protect(page, page, Access::ReadWrite).unwrap();
        let at = |offset: u64| (region.base() + offset) as *mut u8;
        // SAFETY: the first two pages are readable and writable.
        unsafe {
            assert_eq!((at(0).read(), at(page).read()), (7, 0));
            at(0).write(1);
            at(page).write(1);
            region.forget(0, 2 * page).unwrap();
            assert_eq!((at(0).read(), at(page).read()), (7, 0));
        }
    }

    #[test]
    fn files_are_mapped_before_their_code() {
        let page = page_bytes();
        let contents: Vec<u8> = (0..3 * page).map(|index| (index / 7) as u8).collect();
        let file = sealed_memory_file(&contents).unwrap();
        let code = 2 * page..2 * page + 100;
        let neighbours = FileMapping::before_code(file.as_fd(), code.clone()).unwrap();
        let split = FileMapping::new(file.as_fd(), code.end).unwrap();
        split.map_code(file.as_fd(), code.start, 100).unwrap();
        for mapping in neighbours.into_iter().chain([split]) {
            // SAFETY: used before the mapping is dropped; nobody can write to the file.
            assert!(unsafe { mapping.contents() } == &contents[..code.end as usize]);
        }
    }

    #[test]
    fn exact_mappings_grow() {
        let page = page_bytes();
        let mut mapping = ExactMapping::new(0).unwrap();
        assert!(mapping.base() != 0);
        for pages in [0, 1, 3, 1000] {
            mapping.grow(pages * page).unwrap();
            for index in 0..pages {
                let at = (mapping.base() + index * page) as *mut u64;
                // SAFETY: inside the mapping.
                unsafe {
                    assert!([0, index + 1].contains(&at.read()));
                    at.write(index + 1);
                }
            }
        }
        // SAFETY: the first page.
        assert_eq!(unsafe { (mapping.base() as *const u64).read() }, 1);
    }

    #[test]
    #[should_panic(expected = "outside its reservation")]
    fn ranges_are_checked() {
        let region = Reservation::new(page_bytes()).unwrap();
        let _ = region.protect(page_bytes(), page_bytes(), Access::ReadWrite);
    }
}
