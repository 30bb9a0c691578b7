//! Memories that the embedder makes.
//!
//! # Safety
//!
//! This file declares what an embedder promises who implements the traits; it contains no unsafe block. What can be checked
//! of a memory, its size and that it has an address, is.
#![allow(unsafe_code, reason = "traits that are unsafe to implement")]

use alloc::sync::Arc;
use core::fmt;

use anyhow::{Result, anyhow, ensure};
use aotc_abi::meta::NO_MAXIMUM;

use crate::memory::{PAGE_BYTES, RESERVED_BYTES};
use crate::prelude::*;
use crate::types::MemoryType;

/// Makes linear memories, in place of the engine; see [`crate::Config::with_host_memory`].
///
/// # Safety
/// The memories must be as [`LinearMemory`] and the arguments of [`MemoryCreator::new_memory`] say.
pub unsafe trait MemoryCreator: Send + Sync {
    /// A new memory of type `ty` with `minimum` bytes, all zero, which may grow to `maximum` bytes if that is not `None`.
    ///
    /// With `reserved_size_in_bytes`, so many addresses from its start are its own, it never moves, what is not in use of them
    /// faults when it is accessed, and so do `guard_size_in_bytes` behind them: compiled code relies on that. Without, it may
    /// move when it grows.
    ///
    /// # Errors
    /// Why it cannot be made; what needed it fails with that.
    fn new_memory(
        &self,
        ty: MemoryType,
        minimum: usize,
        maximum: Option<usize>,
        reserved_size_in_bytes: Option<usize>,
        guard_size_in_bytes: usize,
    ) -> Result<Box<dyn LinearMemory>, String>;
}

/// A linear memory that the embedder made. It is given back by dropping it.
///
/// # Safety
/// 1. The [`LinearMemory::byte_size`] bytes from [`LinearMemory::as_ptr`] on, which is aligned to 16, are readable and writable, and
///    nobody else uses them.
/// 2. They stay so, and where they are, until it grows or is dropped.
/// 3. Bytes that growth adds are zero, and those before keep their values.
pub unsafe trait LinearMemory: Send + Sync {
    /// Its current size, in bytes.
    fn byte_size(&self) -> usize;
    /// The size up to which it grows without moving, in bytes.
    fn byte_capacity(&self) -> usize;
    /// Makes it `new_size` bytes, which are more than before.
    ///
    /// # Errors
    /// If it cannot; it is as it was then.
    fn grow_to(&mut self, new_size: usize) -> Result<()>;
    /// Address of its first byte.
    fn as_ptr(&self) -> *mut u8;
}

/// The creator of an engine, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Creator(pub(crate) Option<Arc<dyn MemoryCreator>>);

impl fmt::Debug for Creator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "set" } else { "not set" })
    }
}

/// A memory that the embedder made, and how to make it again.
pub(crate) struct CreatedMemory {
    creator: Arc<dyn MemoryCreator>,
    memory: Box<dyn LinearMemory>,
    max_pages: u64,
    /// Guard behind 4 GiB of addresses, in bytes, if there is to be one.
    pub(crate) guard_bytes: Option<u64>,
}

impl CreatedMemory {
    /// A new memory of `pages` pages.
    ///
    /// # Errors
    /// The creator's, or if it did not make what was asked for.
    pub(crate) fn new(
        creator: &Arc<dyn MemoryCreator>,
        pages: u64,
        max_pages: u64,
        guard_bytes: Option<u64>,
    ) -> Result<Self> {
        let memory = create(&**creator, pages, max_pages, guard_bytes)?;
        Ok(Self { creator: creator.clone(), memory, max_pages, guard_bytes })
    }

    /// Address of its first byte.
    pub(crate) fn base(&self) -> u64 {
        self.memory.as_ptr() as u64
    }

    /// Makes it `bytes` bytes.
    ///
    /// # Errors
    /// The embedder's.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<()> {
        self.memory.grow_to(bytes as usize)?;
        ensure!(
            self.memory.byte_size() as u64 == bytes,
            "the embedder's memory has {} bytes and should have {bytes}",
            self.memory.byte_size()
        );
        Ok(())
    }

    /// Makes it anew, with `pages` pages of zeros.
    ///
    /// # Errors
    /// As [`CreatedMemory::new`].
    pub(crate) fn reset(&mut self, pages: u64) -> Result<()> {
        self.memory = create(&*self.creator, pages, self.max_pages, self.guard_bytes)?;
        Ok(())
    }
}

fn create(
    creator: &dyn MemoryCreator,
    pages: u64,
    max_pages: u64,
    guard_bytes: Option<u64>,
) -> Result<Box<dyn LinearMemory>> {
    let bytes = (pages * PAGE_BYTES) as usize;
    let maximum = (max_pages != NO_MAXIMUM).then(|| (max_pages * PAGE_BYTES) as usize);
    let reserved = guard_bytes.map(|_| RESERVED_BYTES as usize);
    let ty = MemoryType::from_parts(pages, max_pages);
    let memory = creator
        .new_memory(ty, bytes, maximum, reserved, guard_bytes.unwrap_or(0) as usize)
        .map_err(|reason| anyhow!("failed to create a memory: {reason}"))?;
    let (size, capacity) = (memory.byte_size(), memory.byte_capacity());
    ensure!(
        size == bytes && capacity >= reserved.unwrap_or(0) && !memory.as_ptr().is_null(),
        "the embedder made a memory of {size} bytes that can grow to {capacity} in its place; {bytes} and {} were asked for",
        reserved.unwrap_or(0)
    );
    Ok(memory)
}
