//! Guest memory as the functions see it: bytes behind 32-bit offsets, every access checked.
//!
//! ```text
//! guest: iovec table            iovec: { offset: u32, length: u32 }
//!   vectors -> | 0: o, l | 1: o, l | ...
//!                  |         `-> bytes[o .. o + l]   both become host slices of guest memory itself:
//!                  `-----------> bytes[o .. o + l]   nothing is copied between guest and host kernel
//! ```
//!
//! The guest chooses every number here. A range outside memory is `EFAULT`; no length is trusted before its range has
//! been found in memory, so no guest makes the host allocate more than a constant.

use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;
use std::path::Path;

use crate::errno::{Errno, Result};

/// The most buffers that one call takes, `IOV_MAX` of wasi-libc and of Linux.
const VECTORS_MAX: usize = 1024;

/// How many buffers a write lists without an allocation.
const WRITE_VECTORS_ON_STACK: usize = 16;

/// How many buffers one read fills. A read of more is short, as a read may always be.
const READ_VECTORS_MAX: usize = 8;

/// The longest path in bytes, `PATH_MAX` of wasi-libc. The host copies paths.
const PATH_MAX: usize = 4096;

/// The size of an `iovec` and a `ciovec`.
const VECTOR_SIZE: usize = 8;

/// The guest's memory during one call.
pub(crate) struct GuestMemory<'m> {
    bytes: &'m mut [u8],
}

impl<'m> GuestMemory<'m> {
    pub(crate) fn new(bytes: &'m mut [u8]) -> Self {
        Self { bytes }
    }

    /// Checks that `length` bytes at `offset` are in memory, so that a result can be written once the work is done.
    pub(crate) fn check(&self, offset: u32, length: usize) -> Result<()> {
        self.range(offset, length).map(|_| ())
    }

    pub(crate) fn bytes(&self, offset: u32, length: usize) -> Result<&[u8]> {
        let range = self.range(offset, length)?;
        Ok(&self.bytes[range])
    }

    pub(crate) fn bytes_mut(&mut self, offset: u32, length: usize) -> Result<&mut [u8]> {
        let range = self.range(offset, length)?;
        Ok(&mut self.bytes[range])
    }

    pub(crate) fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<()> {
        self.bytes_mut(offset, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn write_u32(&mut self, offset: u32, value: u32) -> Result<()> {
        self.write(offset, &value.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, offset: u32, value: u64) -> Result<()> {
        self.write(offset, &value.to_le_bytes())
    }

    /// A path: UTF-8 without a zero byte, as the host's system calls end it there.
    pub(crate) fn path(&self, offset: u32, length: u32) -> Result<&Path> {
        let bytes = self.bytes(offset, length as usize)?;
        if bytes.len() >= PATH_MAX {
            return Err(Errno::NameTooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Errno::IlSeq)?;
        if text.contains('\0') { Err(Errno::Inval) } else { Ok(Path::new(text)) }
    }

    /// Gives `write` the buffers of a `ciovec` table, empty ones left out.
    pub(crate) fn with_sources<R>(
        &self,
        vectors: u32,
        count: u32,
        write: impl FnOnce(&[IoSlice<'_>]) -> Result<R>,
    ) -> Result<R> {
        let ranges = self.ranges(vectors, count)?;
        let mut on_stack = [IoSlice::new(&[]); WRITE_VECTORS_ON_STACK];
        let mut on_heap;
        let sources: &mut [IoSlice<'_>] = if count as usize <= WRITE_VECTORS_ON_STACK {
            &mut on_stack
        } else {
            on_heap = vec![IoSlice::new(&[]); count as usize];
            &mut on_heap
        };
        let mut used = 0;
        for range in ranges {
            let range = range?;
            if !range.is_empty() {
                sources[used] = IoSlice::new(&self.bytes[range]);
                used += 1;
            }
        }
        write(&sources[..used])
    }

    /// Gives `read` the buffers of an `iovec` table, empty ones left out. Where buffers overlap, and where there are
    /// more than [`READ_VECTORS_MAX`], it gets the first ones only.
    pub(crate) fn with_targets<R>(
        &mut self,
        vectors: u32,
        count: u32,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> Result<R>,
    ) -> Result<R> {
        let mut targets: [Range<usize>; READ_VECTORS_MAX] = std::array::from_fn(|_| 0..0);
        let mut used = 0;
        for range in self.ranges(vectors, count)? {
            let range = range?;
            if !range.is_empty() && used < READ_VECTORS_MAX {
                targets[used] = range;
                used += 1;
            }
        }
        let first = targets[0].clone();
        if used > 1
            && let Ok(slices) = self.bytes.get_disjoint_mut(targets)
        {
            return read(&mut slices.map(IoSliceMut::new)[..used]);
        }
        read(&mut [IoSliceMut::new(&mut self.bytes[first])])
    }

    /// The ranges of an `iovec` table. Their sum must be a size the guest can hold.
    fn ranges(
        &self,
        vectors: u32,
        count: u32,
    ) -> Result<impl Iterator<Item = Result<Range<usize>>>> {
        let count = count as usize;
        if count > VECTORS_MAX {
            return Err(Errno::Inval);
        }
        let table = self.bytes(vectors, count * VECTOR_SIZE)?;
        let mut total = 0u32;
        Ok(table.chunks_exact(VECTOR_SIZE).map(move |vector| {
            let (offset, length) = (read_u32(vector, 0), read_u32(vector, 4));
            total = total.checked_add(length).ok_or(Errno::Inval)?;
            self.range(offset, length as usize)
        }))
    }

    fn range(&self, offset: u32, length: usize) -> Result<Range<usize>> {
        let start = offset as usize;
        let end = start.checked_add(length).ok_or(Errno::Overflow)?;
        if end <= self.bytes.len() { Ok(start..end) } else { Err(Errno::Fault) }
    }
}

/// A `u32` of a record; `record` must reach that far.
pub(crate) fn read_u32(record: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| record[offset + i]))
}

/// A `u64` of a record; `record` must reach that far.
pub(crate) fn read_u64(record: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| record[offset + i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory_with_vectors(bytes: &mut [u8], vectors: &[(u32, u32)]) {
        for (i, (offset, length)) in vectors.iter().enumerate() {
            bytes[i * 8..][..4].copy_from_slice(&offset.to_le_bytes());
            bytes[i * 8 + 4..][..4].copy_from_slice(&length.to_le_bytes());
        }
    }

    fn target_lengths(bytes: &mut [u8], count: u32) -> Result<Vec<usize>> {
        GuestMemory::new(bytes).with_targets(0, count, |targets| {
            Ok(targets.iter().map(|target| target.len()).collect())
        })
    }

    #[test]
    fn ranges_end_with_memory() {
        let mut bytes = [0; 64];
        let mut memory = GuestMemory::new(&mut bytes);
        assert_eq!(memory.write_u32(60, 7), Ok(()));
        assert_eq!(memory.write_u32(61, 7), Err(Errno::Fault));
        assert_eq!(memory.write_u64(u32::MAX, 7), Err(Errno::Fault));
        assert_eq!(memory.check(64, 0), Ok(()));
        assert_eq!(memory.check(65, 0), Err(Errno::Fault));
        assert_eq!(memory.check(1, usize::MAX), Err(Errno::Overflow));
    }

    #[test]
    fn paths_are_text_without_zero() {
        let mut bytes = *b"dir/file\0\xff";
        let memory = GuestMemory::new(&mut bytes);
        assert_eq!(memory.path(0, 8), Ok(Path::new("dir/file")));
        assert_eq!(memory.path(0, 9), Err(Errno::Inval));
        assert_eq!(memory.path(0, 10), Err(Errno::IlSeq));
        assert_eq!(memory.path(0, 11), Err(Errno::Fault));
        let mut bytes = [b'x'; 4096];
        let memory = GuestMemory::new(&mut bytes);
        assert!(memory.path(0, 4095).is_ok());
        assert_eq!(memory.path(0, 4096), Err(Errno::NameTooLong));
    }

    #[test]
    fn targets_are_given_in_order() {
        let mut bytes = [0; 128];
        memory_with_vectors(&mut bytes, &[(100, 3), (50, 0), (64, 5)]);
        assert_eq!(target_lengths(&mut bytes, 3), Ok(vec![3, 5]));
        assert_eq!(target_lengths(&mut bytes, 0), Ok(vec![0]));
    }

    #[test]
    fn overlapping_targets_make_a_short_read() {
        let mut bytes = [0; 128];
        memory_with_vectors(&mut bytes, &[(64, 8), (68, 8)]);
        assert_eq!(target_lengths(&mut bytes, 2), Ok(vec![8]));
    }

    #[test]
    fn overlapping_sources_are_written_twice() {
        let mut bytes = [0; 128];
        memory_with_vectors(&mut bytes, &[(64, 8), (68, 8)]);
        let memory = GuestMemory::new(&mut bytes);
        let total = memory.with_sources(0, 2, |sources| {
            Ok(sources.iter().map(|source| source.len()).sum::<usize>())
        });
        assert_eq!(total, Ok(16));
    }

    #[test]
    fn many_sources_are_listed_on_the_heap() {
        let mut bytes = [0; 2048];
        memory_with_vectors(&mut bytes, &[(2000, 1); 200]);
        let memory = GuestMemory::new(&mut bytes);
        assert_eq!(memory.with_sources(0, 200, |sources| Ok(sources.len())), Ok(200));
    }

    #[test]
    fn bad_vectors_are_errors() {
        let mut bytes = [0; 128];
        memory_with_vectors(&mut bytes, &[(64, 8), (120, 9), (0, u32::MAX), (0, u32::MAX)]);
        assert_eq!(target_lengths(&mut bytes, 2), Err(Errno::Fault));
        assert_eq!(
            target_lengths(&mut bytes, 17),
            Err(Errno::Fault),
            "the table itself ends outside"
        );
        assert_eq!(target_lengths(&mut bytes, 1025), Err(Errno::Inval));
        assert_eq!(target_lengths(&mut bytes, u32::MAX), Err(Errno::Inval));
        memory_with_vectors(&mut bytes, &[(0, 100), (0, u32::MAX)]);
        assert_eq!(target_lengths(&mut bytes, 2), Err(Errno::Inval), "the sum does not fit");
    }
}
