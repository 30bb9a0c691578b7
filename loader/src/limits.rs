//! What a store may use, as the embedder decides.

#[cfg(feature = "async")]
use alloc::boxed::Box;
#[cfg(feature = "async")]
use core::pin::Pin;

use anyhow::{Error, Result, bail};

/// [`ResourceLimiter::instances`] unless it is overridden.
pub const DEFAULT_INSTANCE_LIMIT: usize = 10_000;
/// [`ResourceLimiter::tables`] unless it is overridden.
pub const DEFAULT_TABLE_LIMIT: usize = 10_000;
/// [`ResourceLimiter::memories`] unless it is overridden.
pub const DEFAULT_MEMORY_LIMIT: usize = 10_000;

/// Is asked before a store uses more; see [`crate::Store::limiter`].
///
/// Memories and tables are asked for when they are made, as growth from 0, and when they grow, from WebAssembly or from the
/// host. Tables that are read-only data of an artifact are not asked for.
pub trait ResourceLimiter: Send {
    /// Whether a memory may grow from `current` to `desired` bytes, both multiples of 64 KiB. `maximum` is its type's; it is
    /// asked even if `desired` is above.
    ///
    /// With `false`, `memory.grow` gives -1, and [`crate::Memory::grow`], [`crate::Memory::new`] and instantiation
    /// fail.
    ///
    /// # Errors
    /// Any error ends the call: `memory.grow` traps with it.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool>;

    /// Is told that a memory did not grow although it might have: its maximum, or the system, stood in the way.
    ///
    /// # Errors
    /// Any error ends the call in place of a failure of the growth.
    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        let _ = error;
        Ok(())
    }

    /// Whether a table may grow from `current` to `desired` elements. As [`ResourceLimiter::memory_growing`].
    ///
    /// # Errors
    /// As there.
    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool>;

    /// Is told that a table did not grow although it might have.
    ///
    /// # Errors
    /// As [`ResourceLimiter::memory_grow_failed`].
    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        let _ = error;
        Ok(())
    }

    /// Most instances in the store. Read once, when the limiter is set.
    fn instances(&self) -> usize {
        DEFAULT_INSTANCE_LIMIT
    }

    /// Most tables in the store. Read once, when the limiter is set.
    fn tables(&self) -> usize {
        DEFAULT_TABLE_LIMIT
    }

    /// Most memories in the store. Read once, when the limiter is set.
    fn memories(&self) -> usize {
        DEFAULT_MEMORY_LIMIT
    }
}

/// A future of a limiter or hook.
#[cfg(feature = "async")]
pub(crate) type BoxFuture<'a, R> = Pin<Box<dyn Future<Output = R> + Send + 'a>>;

/// A [`ResourceLimiter`] that may wait; see [`crate::Store::limiter_async`]. The signatures are those that
/// `#[async_trait]` makes of asynchronous functions.
#[cfg(feature = "async")]
pub trait ResourceLimiterAsync: Send {
    /// As [`ResourceLimiter::memory_growing`].
    ///
    /// # Errors
    /// As there.
    fn memory_growing<'life0, 'async_trait>(
        &'life0 mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Pin<Box<dyn Future<Output = Result<bool>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait;

    /// As [`ResourceLimiter::memory_grow_failed`].
    ///
    /// # Errors
    /// As there.
    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        let _ = error;
        Ok(())
    }

    /// As [`ResourceLimiter::table_growing`].
    ///
    /// # Errors
    /// As there.
    fn table_growing<'life0, 'async_trait>(
        &'life0 mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Pin<Box<dyn Future<Output = Result<bool>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait;

    /// As [`ResourceLimiter::table_grow_failed`].
    ///
    /// # Errors
    /// As there.
    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        let _ = error;
        Ok(())
    }

    /// As [`ResourceLimiter::instances`].
    fn instances(&self) -> usize {
        DEFAULT_INSTANCE_LIMIT
    }

    /// As [`ResourceLimiter::tables`].
    fn tables(&self) -> usize {
        DEFAULT_TABLE_LIMIT
    }

    /// As [`ResourceLimiter::memories`].
    fn memories(&self) -> usize {
        DEFAULT_MEMORY_LIMIT
    }
}

/// A limiter with fixed limits. [`StoreLimitsBuilder`] makes it.
#[derive(Clone, Debug)]
pub struct StoreLimits {
    memory_bytes: Option<usize>,
    table_elements: Option<usize>,
    instances: usize,
    tables: usize,
    memories: usize,
    trap_on_grow_failure: bool,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            memory_bytes: None,
            table_elements: None,
            instances: DEFAULT_INSTANCE_LIMIT,
            tables: DEFAULT_TABLE_LIMIT,
            memories: DEFAULT_MEMORY_LIMIT,
            trap_on_grow_failure: false,
        }
    }
}

/// Makes [`StoreLimits`].
#[derive(Clone, Debug, Default)]
pub struct StoreLimitsBuilder(StoreLimits);

impl StoreLimitsBuilder {
    /// No limits but 10,000 instances, tables and memories.
    pub fn new() -> Self {
        Self::default()
    }

    /// Most bytes of each memory.
    pub fn memory_size(mut self, bytes: usize) -> Self {
        self.0.memory_bytes = Some(bytes);
        self
    }

    /// Most elements of each table.
    pub fn table_elements(mut self, elements: usize) -> Self {
        self.0.table_elements = Some(elements);
        self
    }

    /// Most instances in the store.
    pub fn instances(mut self, limit: usize) -> Self {
        self.0.instances = limit;
        self
    }

    /// Most tables in the store.
    pub fn tables(mut self, limit: usize) -> Self {
        self.0.tables = limit;
        self
    }

    /// Most memories in the store.
    pub fn memories(mut self, limit: usize) -> Self {
        self.0.memories = limit;
        self
    }

    /// Whether a growth that fails ends the call with an error, where WebAssembly would go on with -1.
    pub fn trap_on_grow_failure(mut self, trap: bool) -> Self {
        self.0.trap_on_grow_failure = trap;
        self
    }

    /// The limits.
    pub fn build(self) -> StoreLimits {
        self.0
    }
}

impl StoreLimits {
    /// Whether `desired` is allowed, if `limit` is the limit of a thing called `what`.
    fn allows(
        &self,
        desired: usize,
        limit: Option<usize>,
        maximum: Option<usize>,
        (what, unit): (&str, &str),
    ) -> Result<bool> {
        let inside = |limit: Option<usize>| limit.is_none_or(|limit| desired <= limit);
        let allowed = inside(limit) && inside(maximum);
        if !allowed && self.trap_on_grow_failure {
            bail!("forcing trap when growing {what} to {desired} {unit}");
        }
        Ok(allowed)
    }

    fn failed(&self, error: Error, what: &str) -> Result<()> {
        if self.trap_on_grow_failure {
            return Err(
                error.context(alloc::format!("forcing a {what} growth failure to be a trap"))
            );
        }
        Ok(())
    }
}

impl ResourceLimiter for StoreLimits {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        self.allows(desired, self.memory_bytes, maximum, ("memory", "bytes"))
    }

    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed(error, "memory")
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        self.allows(desired, self.table_elements, maximum, ("table", "elements"))
    }

    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed(error, "table")
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn memories(&self) -> usize {
        self.memories
    }
}
