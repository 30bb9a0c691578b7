//! Memory of the global allocator.
//!
//! # Safety
//!
//! An [`ExactMapping`] owns its bytes until it grows. Whoever keeps an address keeps the owner.
#![allow(unsafe_code, reason = "allocations that compiled code uses")]

use alloc::alloc::{alloc_zeroed, dealloc, realloc};
use core::alloc::Layout;
use core::fmt;
use core::ptr;

use anyhow::Result;

use crate::error::LoadError;

/// What allocations are aligned to and counted in, in bytes: as much as any record of an instance needs.
const ALIGN_BYTES: u64 = 16;

/// The unit of allocations, in bytes.
pub(crate) fn page_bytes() -> u64 {
    ALIGN_BYTES
}

/// What the platform answers if it refuses something: there is not enough memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SysError;

impl fmt::Display for SysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of memory")
    }
}

/// What may be done with reserved addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading and writing.
    ReadWrite,
    /// Nothing.
    None,
}

/// Reserved addresses, which cannot be had here.
#[derive(Debug)]
pub(crate) enum Reservation {}

impl Reservation {
    /// Fails.
    pub(crate) fn new(_bytes: u64) -> Result<Self, SysError> {
        Err(SysError)
    }

    /// The first address.
    pub(crate) fn base(&self) -> u64 {
        match *self {}
    }

    /// Sets what may be done with `bytes` from `offset`.
    pub(crate) fn protect(&self, _offset: u64, _bytes: u64, _access: Access) -> Result<()> {
        match *self {}
    }

    /// Forgets what was written.
    pub(crate) fn forget(&self, _offset: u64, _bytes: u64) -> Result<(), SysError> {
        match *self {}
    }

    /// Fails.
    ///
    /// # Safety
    /// None.
    pub(crate) unsafe fn protect_at(_: u64, _: u64, _: Access) -> Result<(), SysError> {
        Err(SysError)
    }
}

/// As many bytes as were asked for. Zero at first. They may move when there shall be more of them.
#[derive(Debug)]
pub(crate) struct ExactMapping {
    /// Not null even if there are no bytes, so that it can be the base of a slice.
    base: *mut u8,
    bytes: u64,
}

// SAFETY: it owns its bytes, like a box, and gives out nothing but their address.
unsafe impl Send for ExactMapping {}
// SAFETY: as above.
unsafe impl Sync for ExactMapping {}

impl ExactMapping {
    /// Allocates `bytes`.
    pub(crate) fn new(bytes: u64) -> Result<Self> {
        let mut mapping =
            Self { base: ptr::without_provenance_mut(ALIGN_BYTES as usize), bytes: 0 };
        mapping.grow(bytes).map_err(LoadError::os("allocate memory"))?;
        Ok(mapping)
    }

    /// The first address.
    pub(crate) fn base(&self) -> u64 {
        self.base.expose_provenance() as u64
    }

    /// Makes it `bytes` long, at another address if need be.
    ///
    /// # Panics
    /// If it is longer.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), SysError> {
        assert!(bytes >= self.bytes, "exact mapping made smaller");
        if bytes == self.bytes {
            return Ok(());
        }
        let new = layout(bytes)?;
        let base = if self.bytes == 0 {
            // SAFETY: the size is not zero.
            unsafe { alloc_zeroed(new) }
        } else {
            // SAFETY: this owns the allocation, which has this layout; the new size is not zero and fits a layout. What
            // is behind the old bytes is set before anyone can read it.
            unsafe {
                let base = realloc(self.base, layout(self.bytes)?, new.size());
                if !base.is_null() {
                    base.add(self.bytes as usize).write_bytes(0, (bytes - self.bytes) as usize);
                }
                base
            }
        };
        if base.is_null() {
            return Err(SysError);
        }
        (self.base, self.bytes) = (base, bytes);
        Ok(())
    }
}

impl Drop for ExactMapping {
    fn drop(&mut self) {
        if self.bytes != 0
            && let Ok(layout) = layout(self.bytes)
        {
            // SAFETY: this owns the allocation, which has this layout.
            unsafe { dealloc(self.base, layout) }
        }
    }
}

fn layout(bytes: u64) -> Result<Layout, SysError> {
    let bytes = usize::try_from(bytes).map_err(|_| SysError)?;
    Layout::from_size_align(bytes, ALIGN_BYTES as usize).map_err(|_| SysError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_mappings_grow() {
        let mut mapping = ExactMapping::new(0).unwrap();
        assert!(mapping.base() != 0);
        for words in [0, 2, 6, 1000] {
            mapping.grow(words * 8).unwrap();
            for index in 0..words {
                let at = (mapping.base() + index * 8) as *mut u64;
                // SAFETY: inside the mapping.
                unsafe {
                    assert!([0, index + 1].contains(&at.read()));
                    at.write(index + 1);
                }
            }
        }
        assert!(mapping.grow(u64::MAX / 4).is_err());
        // SAFETY: the first word, which a failure leaves alone.
        assert_eq!(unsafe { (mapping.base() as *const u64).read() }, 1);
    }
}
