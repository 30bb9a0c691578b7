//! Stacks for fibers, and the pool that keeps them.
//!
//! ```text
//!   low          low + guard                          top
//!   |  no access |  the host's reserve  | wasm and host |  grows down
//! ```
//!
//! # Safety
//!
//! A [`FiberStack`] owns its addresses, or the embedder's [`StackMemory`] does. The lowest page of it is not accessible, so
//! that an overflow faults there.
#![allow(unsafe_code, reason = "stacks for coroutines, and boxes that change hands without a lock")]

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::num::NonZeroUsize;
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use anyhow::{Result, ensure};
use corosensei::stack::{STACK_ALIGNMENT, Stack, StackPointer};

use super::mapping::{Access, Reservation, page_bytes};
use super::thread::HOST_STACK_BYTES;
use crate::allocation::{InstanceAllocationStrategy, PoolConcurrencyLimitError};
use crate::config::Config;
use crate::sync::OnceLock;

/// Least size of a stack, in bytes: the reserve for host functions, and as much again.
pub(crate) const STACK_BYTES_MIN: usize = 2 * HOST_STACK_BYTES as usize;

/// Makes the stacks on which asynchronous calls run, in place of the engine; see [`crate::Config::with_host_stack`].
///
/// # Safety
/// The stacks must be as [`StackMemory`] says, wherever and however long they are used.
pub unsafe trait StackCreator: Send + Sync {
    /// A new stack with `size` bytes of use, a multiple of the page size, besides its guard. Its bytes are zero if `zeroed`.
    ///
    /// # Errors
    /// Whatever keeps it from making one; the call that needed the stack fails with it.
    fn new_stack(&self, size: usize, zeroed: bool) -> Result<Box<dyn StackMemory>>;
}

/// A stack that the embedder made. It is given back by dropping it.
///
/// # Safety
/// 1. [`StackMemory::range`] is readable and writable, aligned to pages, and nobody else uses it.
/// 2. [`StackMemory::guard_range`] ends where the range begins, has a page at least, and faults when it is
///    accessed.
/// 3. Both stay as they are until it is dropped.
pub unsafe trait StackMemory: Send + Sync {
    /// The addresses that can be used, lowest first. The stack begins at their end.
    fn range(&self) -> Range<usize>;
    /// The addresses below, which are not accessible.
    fn guard_range(&self) -> Range<usize>;
}

/// How stacks are made.
#[derive(Clone)]
pub(crate) struct StackSettings {
    /// Size without the guard, in bytes.
    pub(crate) bytes: usize,
    /// Whether a stack that is used again is zeroed before.
    pub(crate) zeroing: bool,
    /// How much of a stack is zeroed by writing to it, in bytes from its top; the rest is given back to the system.
    pub(crate) keep_bytes: usize,
    /// Most that are in use at a time, if that is limited.
    pub(crate) count_max: Option<u32>,
    pub(crate) creator: Option<Arc<dyn StackCreator>>,
}

/// Size of stacks unless it is set, in bytes.
const STACK_BYTES: usize = 2 << 20;

impl Default for StackSettings {
    fn default() -> Self {
        Self { bytes: STACK_BYTES, zeroing: false, keep_bytes: 0, count_max: None, creator: None }
    }
}

impl StackSettings {
    /// Those of an engine: what was set for stacks, and for its pool.
    pub(crate) fn new(config: &Config) -> Self {
        let mut settings = config.stacks.clone();
        if let InstanceAllocationStrategy::Pooling(pool) = &config.allocation_strategy {
            settings.count_max = Some(pool.total_stacks);
            settings.keep_bytes = pool.async_stack_keep_resident_bytes;
        }
        settings
    }
}

impl fmt::Debug for StackSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, zeroing, keep_bytes, count_max, creator } = self;
        let creator = creator.as_ref().map(|_| "..");
        f.debug_struct("StackSettings")
            .field("bytes", bytes)
            .field("zeroing", zeroing)
            .field("keep_bytes", keep_bytes)
            .field("count_max", count_max)
            .field("creator", &creator)
            .finish()
    }
}

/// A stack.
pub(crate) struct FiberStack {
    memory: Memory,
    /// Lowest address of the guard.
    guard: usize,
    /// Lowest address that can be used.
    low: usize,
    top: usize,
    /// While it is in use.
    count: Option<InUse>,
}

/// One of the stacks that are in use.
struct InUse(Arc<AtomicU32>);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

enum Memory {
    Own(Reservation),
    Embedder(#[allow(dead_code, reason = "given back when dropped")] Box<dyn StackMemory>),
}

impl FiberStack {
    fn new(settings: &StackSettings) -> Result<Self> {
        let page = page_bytes() as usize;
        let bytes = settings.bytes.next_multiple_of(page);
        let Some(creator) = &settings.creator else {
            let region = Reservation::new((page + bytes) as u64)?;
            region.protect(page as u64, bytes as u64, Access::ReadWrite)?;
            let guard = region.base() as usize;
            let (low, top) = (guard + page, guard + page + bytes);
            return Ok(Self { memory: Memory::Own(region), guard, low, top, count: None });
        };
        let memory = creator.new_stack(bytes, settings.zeroing)?;
        let (range, guard) = (memory.range(), memory.guard_range());
        ensure!(
            range.len() >= bytes
                && range.end.is_multiple_of(STACK_ALIGNMENT)
                && range.start.is_multiple_of(page)
                && guard.end == range.start
                && guard.len() >= page,
            "the stack creator made a stack of {range:#x?} with guard {guard:#x?} where {bytes} bytes with a guard were asked for"
        );
        let (guard, low, top) = (guard.start, range.start, range.end);
        Ok(Self { memory: Memory::Embedder(memory), guard, low, top, count: None })
    }

    /// Lowest address that can be used.
    pub(crate) fn low(&self) -> u64 {
        self.low as u64
    }

    /// Makes the stack as it was when it was new, where nothing runs on it.
    fn zero(&self, keep_bytes: usize) -> bool {
        let kept =
            keep_bytes.min(self.top - self.low) / page_bytes() as usize * page_bytes() as usize;
        match &self.memory {
            Memory::Own(region) => {
                let start = (self.top - kept) as *mut u8;
                // SAFETY: the upper end of the stack, which is this one's, and on which nothing is any more.
                unsafe { start.write_bytes(0, kept) };
                let forgotten = (self.top - self.low - kept) as u64;
                region.forget(self.low() - region.base(), forgotten).is_ok()
            }
            // Only its creator knows how; a new one is zero.
            Memory::Embedder(_) => false,
        }
    }
}

// SAFETY: the addresses are accessible as the file's contract says, with a guard below.
unsafe impl Stack for Box<FiberStack> {
    fn base(&self) -> StackPointer {
        NonZeroUsize::new(self.top).expect("no stack ends at null")
    }

    fn limit(&self) -> StackPointer {
        NonZeroUsize::new(self.guard).expect("no stack begins at null")
    }
}

/// Most stacks that are kept.
const KEPT_MAX: usize = 128;

/// Stacks that are not in use. Taking one and giving it back are a few atomic operations, without a lock; threads
/// look at different places first.
pub(crate) struct StackPool {
    /// Made when the first is taken: most engines make no asynchronous calls.
    kept: OnceLock<Box<[AtomicPtr<FiberStack>; KEPT_MAX]>>,
    /// How many are in use, if that is limited.
    used: Arc<AtomicU32>,
}

impl StackPool {
    pub(crate) fn new() -> Self {
        Self { kept: OnceLock::new(), used: Arc::default() }
    }

    /// How many are in use; 0 where that is not limited.
    pub(crate) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// How many are kept for calls to come.
    pub(crate) fn unused(&self) -> u32 {
        let places = self.kept.get().into_iter().flat_map(|places| places.iter());
        places.filter(|place| !place.load(Ordering::Relaxed).is_null()).count() as u32
    }

    /// A stack: one that was used before, or a new one.
    ///
    /// # Errors
    /// [`PoolConcurrencyLimitError`]; if the system, or the embedder's creator, refuses it.
    pub(crate) fn take(&self, settings: &StackSettings) -> Result<Box<FiberStack>> {
        let count = match settings.count_max {
            None => None,
            Some(max) => Some(self.count(max)?),
        };
        let mut stack = self.take_any(settings)?;
        stack.count = count;
        Ok(stack)
    }

    /// Counts one more, if there may be one.
    fn count(&self, max: u32) -> Result<InUse> {
        let relaxed = Ordering::Relaxed;
        let more = |used: u32| (used < max).then_some(used + 1);
        match self.used.fetch_update(relaxed, relaxed, more) {
            Ok(_) => Ok(InUse(self.used.clone())),
            Err(_) => Err(PoolConcurrencyLimitError::new(max, "stacks").into()),
        }
    }

    fn take_any(&self, settings: &StackSettings) -> Result<Box<FiberStack>> {
        for place in self.places() {
            // Looking first keeps the places' cache lines shared.
            if place.load(Ordering::Relaxed).is_null() {
                continue;
            }
            let stack = place.swap(ptr::null_mut(), Ordering::AcqRel);
            if !stack.is_null() {
                // SAFETY: made by `Box::into_raw` in `give_back`, and taken out by nobody else.
                return Ok(unsafe { Box::from_raw(stack) });
            }
        }
        Ok(Box::new(FiberStack::new(settings)?))
    }

    /// Takes a stack back, on which nothing runs any more. If there is no room, it is given back to the system.
    pub(crate) fn give_back(&self, mut stack: Box<FiberStack>, settings: &StackSettings) {
        stack.count = None;
        if settings.zeroing && !stack.zero(settings.keep_bytes) {
            return;
        }
        let stack = Box::into_raw(stack);
        for place in self.places() {
            let (ordering, relaxed) = (Ordering::AcqRel, Ordering::Relaxed);
            let free = place.load(relaxed).is_null();
            if free && place.compare_exchange(ptr::null_mut(), stack, ordering, relaxed).is_ok() {
                return;
            }
        }
        // SAFETY: made above, and no place took it.
        drop(unsafe { Box::from_raw(stack) });
    }

    /// The places, from this thread's on.
    fn places(&self) -> impl Iterator<Item = &AtomicPtr<FiberStack>> {
        let first = super::thread::number() % KEPT_MAX;
        let empty = || Box::new([const { AtomicPtr::new(ptr::null_mut()) }; KEPT_MAX]);
        let (before, after) = self.kept.get_or_init(empty).split_at(first);
        after.iter().chain(before)
    }
}

impl Drop for StackPool {
    fn drop(&mut self) {
        for place in self.kept.get_mut().into_iter().flat_map(|places| places.iter_mut()) {
            let stack = *place.get_mut();
            if !stack.is_null() {
                // SAFETY: made by `Box::into_raw` in `give_back`.
                drop(unsafe { Box::from_raw(stack) });
            }
        }
    }
}

impl fmt::Debug for StackPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackPool").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    fn settings(zeroing: bool) -> StackSettings {
        StackSettings { bytes: STACK_BYTES_MIN, zeroing, ..StackSettings::default() }
    }

    fn lowest(stack: &FiberStack) -> *mut u8 {
        stack.low() as *mut u8
    }

    #[test]
    fn stacks_are_used_again() {
        let pool = StackPool::new();
        let stack = pool.take(&settings(false)).unwrap();
        let at = lowest(&stack);
        // SAFETY: the lowest byte that can be used; nothing runs on the stack.
        unsafe { at.write(7) };
        pool.give_back(stack, &settings(false));
        let stack = pool.take(&settings(false)).unwrap();
        // SAFETY: as above.
        unsafe { assert_eq!((lowest(&stack), at.read()), (at, 7)) };
        pool.give_back(stack, &settings(true));
        let stack = pool.take(&settings(true)).unwrap();
        // SAFETY: as above.
        unsafe { assert_eq!((lowest(&stack), at.read()), (at, 0)) };
    }

    #[test]
    fn what_is_kept_of_a_stack_is_zeroed() {
        let pool = StackPool::new();
        let settings = StackSettings { keep_bytes: 3 * 4096, ..settings(true) };
        let stack = pool.take(&settings).unwrap();
        let places = [stack.low, stack.top - 5 * 4096, stack.top - 4096, stack.top - 1];
        for place in places {
            // SAFETY: bytes of the stack, on which nothing runs.
            unsafe { (place as *mut u8).write(7) };
        }
        pool.give_back(stack, &settings);
        let stack = pool.take(&settings).unwrap();
        assert_eq!(stack.low, places[0]);
        // SAFETY: as above.
        assert_eq!(places.map(|place| unsafe { (place as *mut u8).read() }), [0; 4]);
    }

    #[test]
    fn stacks_in_use_are_counted() {
        let pool = StackPool::new();
        let settings = StackSettings { count_max: Some(2), ..settings(false) };
        let first = pool.take(&settings).unwrap();
        let second = pool.take(&settings).unwrap();
        let error = pool.take(&settings).err().unwrap();
        assert_eq!(error.to_string(), "maximum concurrent limit of 2 for stacks reached");
        pool.give_back(first, &settings);
        assert_eq!((pool.used(), pool.unused()), (1, 1));
        let third = pool.take(&settings).unwrap();
        // As when a call is dropped that has not begun.
        drop((second, third));
        assert_eq!((pool.used(), pool.unused()), (0, 0));
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        let pool = StackPool::new();
        let settings = settings(false);
        let stacks: alloc::vec::Vec<_> =
            (0..KEPT_MAX + 10).map(|_| pool.take(&settings).unwrap()).collect();
        for stack in stacks {
            pool.give_back(stack, &settings);
        }
        assert_eq!(pool.unused(), KEPT_MAX as u32);
    }
}
