//! Linear memories.
//!
//! # Safety
//!
//! A memory's definition gives its base and length; both are written by this crate only, and the bytes
//! between are readable and writable as long as the store lives, or until the memory grows: memories do not
//! shrink, and only those without reserved addresses move. Everybody else finds them through the definition.
//! A slice of them borrows the store, so no WebAssembly code runs and nothing grows while it is alive.
//!
//! ```text
//!   reserved    base    | in use | no access, up to 4 GiB | guard |    for code that relies on faults
//!   exact       base    | in use |                                     for code that compares with the length
//! ```
#![allow(unsafe_code, reason = "slices of linear memory")]

use core::fmt;

use anyhow::{Result, anyhow, bail};
use aotc_abi::meta::NO_MAXIMUM;
use aotc_abi::vmctx::{MEMORY_PAGE_BITS, MEMORY_PAGES_MAX, VmMemoryDefinition};

use crate::creator::CreatedMemory;
use crate::engine::Engine;
use crate::error::LoadError;
#[cfg(feature = "async")]
use crate::fiber::on_fiber;
use crate::store::{
    AsContext, AsContextMut, Growth, MemoryAddresses, MemoryData, StoreContext, StoreContextMut,
    StoreId, StoreOpaque,
};
use crate::sys::{Access, ExactMapping, Reservation};
use crate::types::MemoryType;
use crate::vmctx::VmPtr;

/// Size of a WebAssembly page, in bytes.
pub(crate) const PAGE_BYTES: u64 = 1 << MEMORY_PAGE_BITS;
/// Addresses reserved for a memory, besides the guard, in bytes.
pub(crate) const RESERVED_BYTES: u64 = PAGE_BYTES * MEMORY_PAGES_MAX;
/// What fails when there are not enough addresses.
pub(crate) const RESERVE_ADDRESSES: &str =
    "reserve addresses for a memory (those of modules compiled with --bounds explicit need none)";
/// What fails when a memory cannot grow.
const GROW: &str = "grow a memory";
/// Guard behind memories that do not come from a module, in bytes.
pub(crate) const GUARD_BYTES: u64 = 2 << 30;

/// A linear memory of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Memory {
    pub(crate) store: StoreId,
    pub(crate) index: u32,
}

/// An access outside a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryAccessError;

impl fmt::Display for MemoryAccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of bounds memory access")
    }
}

impl core::error::Error for MemoryAccessError {}

impl Memory {
    /// A memory of the host's, all zero. It is reserved if the host has the addresses; if not, it can only be
    /// given to modules that were compiled with `--bounds explicit`.
    ///
    /// # Errors
    /// If the type is not valid, or there is not enough address space or memory.
    pub fn new(mut store: impl AsContextMut, ty: MemoryType) -> Result<Memory> {
        let store = &mut store.as_context_mut().0.opaque;
        store.synchronously(|store| Self::new_in(store, ty))
    }

    /// As [`Memory::new`]; the store's limiter may wait.
    ///
    /// # Errors
    /// As there, and if there is no memory for a stack.
    #[cfg(feature = "async")]
    pub async fn new_async(
        mut store: impl AsContextMut<Data: Send>,
        ty: MemoryType,
    ) -> Result<Memory> {
        on_fiber(store.as_context_mut().0, |store| Self::new_in(&mut store.opaque, ty)).await?
    }

    fn new_in(store: &mut StoreOpaque, ty: MemoryType) -> Result<Memory> {
        if ty.minimum() > MEMORY_PAGES_MAX
            || ty.maximum().is_some_and(|max| max < ty.minimum() || max > MEMORY_PAGES_MAX)
        {
            bail!(
                "invalid limits in memory type `{ty}`: at most {MEMORY_PAGES_MAX} pages, minimum at most maximum"
            );
        }
        store.check_counts(0, 1, 0)?;
        store.new_memory_may_have(ty.minimum(), ty.max_or_none())?;
        let (pages, max_pages, engine) = (ty.minimum(), ty.max_or_none(), &store.engine);
        let addresses = MemoryAddresses::new(engine, pages, max_pages, Some(GUARD_BYTES))
            .or_else(|_| MemoryAddresses::new(engine, pages, max_pages, None))?;
        let definition = store.add_memory_definition();
        Ok(store.new_memory(definition, ty.minimum(), ty.max_or_none(), addresses))
    }

    /// The type, with the current size as minimum.
    ///
    /// # Panics
    /// As all methods: if the memory belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> MemoryType {
        self.type_in(&store.as_context().0.opaque)
    }

    /// The bytes.
    pub fn data<'a, T: 'static>(&self, store: impl Into<StoreContext<'a, T>>) -> &'a [u8] {
        let definition = self.definition(&store.into().0.opaque);
        // SAFETY: the file's contract; the borrow of the store lasts for 'a.
        unsafe { slice(definition) }
    }

    /// The bytes.
    pub fn data_mut<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> &'a mut [u8] {
        self.data_and_store_mut(store).0
    }

    /// The bytes, and the host's data beside them.
    pub fn data_and_store_mut<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> (&'a mut [u8], &'a mut T) {
        let store = store.into().0;
        let definition = self.definition(&store.opaque);
        // SAFETY: the file's contract; the mutable borrow of the store lasts for 'a, and what is given back of
        // the store is the host's data only, by which no WebAssembly code can be reached.
        (unsafe { slice_mut(definition) }, &mut store.data)
    }

    /// Copies from the memory.
    ///
    /// # Errors
    /// If `offset` and the buffer's length lead outside; nothing is copied then.
    pub fn read(
        &self,
        store: impl AsContext,
        offset: usize,
        buffer: &mut [u8],
    ) -> Result<(), MemoryAccessError> {
        let definition = self.definition(&store.as_context().0.opaque);
        // SAFETY: the file's contract; the store is borrowed by `store`.
        let data = unsafe { slice(definition) };
        let end = offset.checked_add(buffer.len()).ok_or(MemoryAccessError)?;
        buffer.copy_from_slice(data.get(offset..end).ok_or(MemoryAccessError)?);
        Ok(())
    }

    /// Copies into the memory.
    ///
    /// # Errors
    /// If `offset` and the buffer's length lead outside; nothing is copied then.
    pub fn write(
        &self,
        mut store: impl AsContextMut,
        offset: usize,
        buffer: &[u8],
    ) -> Result<(), MemoryAccessError> {
        let definition = self.definition(&store.as_context_mut().0.opaque);
        // SAFETY: the file's contract; the store is borrowed mutably by `store`.
        let data = unsafe { slice_mut(definition) };
        let end = offset.checked_add(buffer.len()).ok_or(MemoryAccessError)?;
        data.get_mut(offset..end).ok_or(MemoryAccessError)?.copy_from_slice(buffer);
        Ok(())
    }

    /// Address of byte 0. It may change when the memory grows.
    pub fn data_ptr(&self, store: impl AsContext) -> *mut u8 {
        self.definition(&store.as_context().0.opaque).base as *mut u8
    }

    /// Size in bytes.
    pub fn data_size(&self, store: impl AsContext) -> usize {
        self.definition(&store.as_context().0.opaque).length_bytes as usize
    }

    /// Size in pages.
    pub fn size(&self, store: impl AsContext) -> u64 {
        self.definition(&store.as_context().0.opaque).length_bytes / PAGE_BYTES
    }

    /// Size of a page, in bytes.
    pub fn page_size(&self, store: impl AsContext) -> u64 {
        store.as_context().0.opaque.check(self.store);
        PAGE_BYTES
    }

    /// Size of a page, as a power of two.
    pub fn page_size_log2(&self, store: impl AsContext) -> u8 {
        store.as_context().0.opaque.check(self.store);
        MEMORY_PAGE_BITS as u8
    }

    /// Adds `delta` pages, and gives the size before.
    ///
    /// # Errors
    /// If the maximum would be exceeded, the store's limiter refuses, or there is not enough memory.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64) -> Result<u64> {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(self.store);
        match store.synchronously(|store| store.grow_memory(self.index, delta))? {
            Some(old) => Ok(old),
            None => bail!("failed to grow memory by `{delta}`"),
        }
    }

    /// As [`Memory::grow`]; the store's limiter may wait.
    ///
    /// # Errors
    /// As there, and if there is no memory for a stack.
    #[cfg(feature = "async")]
    pub async fn grow_async(
        &self,
        mut store: impl AsContextMut<Data: Send>,
        delta: u64,
    ) -> Result<u64> {
        let index = self.index;
        let store = store.as_context_mut().0;
        store.opaque.check(self.store);
        match on_fiber(store, move |store| store.opaque.grow_memory(index, delta)).await?? {
            Some(old) => Ok(old),
            None => bail!("failed to grow memory by `{delta}`"),
        }
    }

    pub(crate) fn type_in(&self, store: &StoreOpaque) -> MemoryType {
        store.check(self.store);
        store.memory(self.index).ty()
    }

    fn definition(&self, store: &StoreOpaque) -> VmMemoryDefinition {
        store.check(self.store);
        // For system calls that are given its bytes: whatever else touches a memory lets its thread in.
        store.open_keys();
        store.memory(self.index).definition.read()
    }
}

/// What a limiter is told of a growth between these numbers of pages.
fn growth(current: u64, desired: u64, max_pages: u64) -> Growth {
    let maximum = (max_pages != NO_MAXIMUM).then(|| (max_pages * PAGE_BYTES) as usize);
    Growth {
        current: (current * PAGE_BYTES) as usize,
        desired: (desired * PAGE_BYTES) as usize,
        maximum,
    }
}

impl MemoryData {
    /// The type, with the current size as minimum.
    pub(crate) fn ty(&self) -> MemoryType {
        MemoryType::from_parts(self.definition.read().length_bytes / PAGE_BYTES, self.max_pages)
    }

    /// Adds `added` bytes, whole pages, which the maximum allows.
    fn grow(&mut self, added: u64) -> Result<()> {
        let VmMemoryDefinition { base, length_bytes } = self.definition.read();
        let base = match &mut self.addresses {
            MemoryAddresses::Slot { .. } | MemoryAddresses::Reserved { .. } => {
                // SAFETY: the addresses up to 4 GiB behind `base` are reserved for this memory.
                unsafe { Reservation::protect_at(base + length_bytes, added, Access::ReadWrite) }
                    .map_err(LoadError::os(GROW))?;
                base
            }
            MemoryAddresses::Exact(mapping) => {
                mapping.grow(length_bytes + added).map_err(LoadError::os(GROW))?;
                mapping.base()
            }
            MemoryAddresses::Created(memory) => {
                memory.grow(length_bytes + added)?;
                memory.base()
            }
        };
        self.definition.write(VmMemoryDefinition { base, length_bytes: length_bytes + added });
        Ok(())
    }

    /// Makes it `pages` pages of zeros, as many as it had at first.
    ///
    /// # Panics
    /// If it is part of a slot, with which it is reset.
    pub(crate) fn reset(&mut self, pages: u64) -> Result<()> {
        let VmMemoryDefinition { base, length_bytes: old_bytes } = self.definition.read();
        let length_bytes = pages * PAGE_BYTES;
        let base = match &mut self.addresses {
            MemoryAddresses::Slot { .. } => unreachable!("memories of slots are reset with them"),
            MemoryAddresses::Reserved { region, .. } => {
                region.forget(0, old_bytes).map_err(LoadError::os("reset a memory"))?;
                region.protect(length_bytes, old_bytes - length_bytes, Access::None)?;
                base
            }
            MemoryAddresses::Exact(mapping) => {
                *mapping = ExactMapping::new(length_bytes)?;
                mapping.base()
            }
            MemoryAddresses::Created(memory) => {
                memory.reset(pages)?;
                memory.base()
            }
        };
        self.definition.write(VmMemoryDefinition { base, length_bytes });
        Ok(())
    }
}

impl MemoryAddresses {
    /// A memory of `pages` pages, by the embedder's creator if the engine has one; with 4 GiB of addresses and a guard of
    /// `guard_bytes`, or of its size and nothing besides.
    pub(crate) fn new(
        engine: &Engine,
        pages: u64,
        max_pages: u64,
        guard_bytes: Option<u64>,
    ) -> Result<Self> {
        if let Some(creator) = &engine.config().memories.0 {
            return CreatedMemory::new(creator, pages, max_pages, guard_bytes).map(Self::Created);
        }
        match guard_bytes {
            Some(guard_bytes) => Self::reserve(pages, guard_bytes),
            None => Self::exact(pages),
        }
    }

    /// Reserves the addresses of a memory of `pages` pages, and makes those accessible.
    fn reserve(pages: u64, guard_bytes: u64) -> Result<Self> {
        let region = Reservation::new(RESERVED_BYTES + guard_bytes)
            .map_err(LoadError::os(RESERVE_ADDRESSES))?;
        region.protect(0, pages * PAGE_BYTES, Access::ReadWrite)?;
        Ok(Self::Reserved { guard_bytes, region })
    }

    /// Allocates `pages` pages and nothing besides.
    fn exact(pages: u64) -> Result<Self> {
        Ok(Self::Exact(ExactMapping::new(pages * PAGE_BYTES)?))
    }

    /// Guard behind 4 GiB of reserved addresses, in bytes; `None` if they are not reserved.
    pub(crate) fn guard_bytes(&self) -> Option<u64> {
        match *self {
            Self::Slot { guard_bytes } | Self::Reserved { guard_bytes, .. } => Some(guard_bytes),
            Self::Created(ref memory) => memory.guard_bytes,
            Self::Exact(_) => None,
        }
    }
}

impl StoreOpaque {
    /// Adds `delta` pages to a memory, and gives the size before; `None` if it cannot.
    ///
    /// # Errors
    /// The limiter's.
    pub(crate) fn grow_memory(&mut self, index: u32, delta: u64) -> Result<Option<u64>> {
        let memory = self.memory(index);
        let length_bytes = memory.definition.read().length_bytes;
        let old_pages = length_bytes / PAGE_BYTES;
        if delta == 0 {
            return Ok(Some(old_pages));
        }
        let pages = old_pages.saturating_add(delta).min(MEMORY_PAGES_MAX + 1);
        let growth = growth(old_pages, pages, memory.max_pages);
        let max_pages = memory.max_pages.min(memory.growth_pages_max);
        let exceeds = pages > max_pages.min(MEMORY_PAGES_MAX);
        if !self.memory_may_grow(growth)? {
            return Ok(None);
        }
        let grown = match exceeds {
            true => Err(anyhow!("Memory maximum size exceeded")),
            false => self.memory_mut(index).grow(delta * PAGE_BYTES),
        };
        match grown {
            Ok(()) => Ok(Some(old_pages)),
            Err(error) => {
                self.memory_did_not_grow(error)?;
                Ok(None)
            }
        }
    }

    /// Asks the limiter for a new memory of `pages` pages.
    ///
    /// # Errors
    /// If it refuses.
    pub(crate) fn new_memory_may_have(&mut self, pages: u64, max_pages: u64) -> Result<()> {
        if !self.memory_may_grow(growth(0, pages, max_pages))? {
            bail!("memory minimum size of {pages} pages exceeds memory limits");
        }
        Ok(())
    }

    /// Makes a memory at `definition` of addresses that are not part of a slot.
    pub(crate) fn new_memory(
        &mut self,
        definition: VmPtr<VmMemoryDefinition>,
        min_pages: u64,
        max_pages: u64,
        addresses: MemoryAddresses,
    ) -> Memory {
        let base = match &addresses {
            MemoryAddresses::Slot { .. } => unreachable!("slots define their memories themselves"),
            MemoryAddresses::Reserved { region, .. } => region.base(),
            MemoryAddresses::Exact(mapping) => mapping.base(),
            MemoryAddresses::Created(memory) => memory.base(),
        };
        definition.write(VmMemoryDefinition { base, length_bytes: min_pages * PAGE_BYTES });
        self.push_memory(MemoryData {
            definition,
            max_pages,
            growth_pages_max: MEMORY_PAGES_MAX,
            addresses,
        })
    }
}

/// # Safety
/// The definition is current, and its store is borrowed for 'a.
unsafe fn slice<'a>(definition: VmMemoryDefinition) -> &'a [u8] {
    // SAFETY: the file's contract.
    unsafe {
        core::slice::from_raw_parts(definition.base as *const u8, definition.length_bytes as usize)
    }
}

/// # Safety
/// The definition is current, and its store is borrowed mutably for 'a.
unsafe fn slice_mut<'a>(definition: VmMemoryDefinition) -> &'a mut [u8] {
    // SAFETY: the file's contract.
    unsafe {
        core::slice::from_raw_parts_mut(
            definition.base as *mut u8,
            definition.length_bytes as usize,
        )
    }
}
