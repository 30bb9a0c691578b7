//! Where the memory of instances comes from: the settings, and what can be asked of a pool.

use core::fmt;

use crate::engine::Engine;
use crate::sys::keys;

/// Where an engine's instances get their memory.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum InstanceAllocationStrategy {
    /// From the operating system, when an instance is made. A module keeps the memory of its last instances, up to a
    /// hundred, for the next ones. Only the system limits how many instances there are.
    #[default]
    OnDemand,
    /// From a pool, whose addresses are reserved when the engine is made. There are never more instances than it has
    /// places.
    Pooling(PoolingAllocationConfig),
}

impl InstanceAllocationStrategy {
    /// A pool with the settings of [`PoolingAllocationConfig::new`].
    pub fn pooling() -> Self {
        Self::Pooling(PoolingAllocationConfig::new())
    }
}

impl From<PoolingAllocationConfig> for InstanceAllocationStrategy {
    fn from(config: PoolingAllocationConfig) -> Self {
        Self::Pooling(config)
    }
}

/// Whether something is used that not every system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enabled {
    /// If the system has it.
    Auto,
    /// Always. Without it there is an error.
    Yes,
    /// Never.
    No,
}

/// How large a pool is, and what it keeps.
///
/// ```
/// use aotc_loader::{Config, Engine, PoolingAllocationConfig};
///
/// # fn main() -> anyhow::Result<()> {
/// let mut pool = PoolingAllocationConfig::new();
/// pool.total_core_instances(10).max_memory_size(16 << 20);
/// let engine = Engine::new(Config::new().allocation_strategy(pool))?;
/// assert_eq!(engine.pooling_allocator_metrics().unwrap().core_instances(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PoolingAllocationConfig {
    pub(crate) total_core_instances: u32,
    pub(crate) total_memories: u32,
    pub(crate) total_tables: u32,
    #[cfg(feature = "async")]
    pub(crate) total_stacks: u32,
    pub(crate) max_memories_per_module: u32,
    pub(crate) max_tables_per_module: u32,
    pub(crate) max_core_instance_bytes: usize,
    pub(crate) max_memory_bytes: usize,
    pub(crate) table_elements: usize,
    pub(crate) max_unused_warm_slots: u32,
    pub(crate) memory_keep_resident_bytes: usize,
    pub(crate) table_keep_resident_bytes: usize,
    #[cfg(feature = "async")]
    pub(crate) async_stack_keep_resident_bytes: usize,
    pub(crate) pagemap_scan: Enabled,
    pub(crate) memory_protection_keys: Enabled,
    pub(crate) max_memory_protection_keys: usize,
}

impl Default for PoolingAllocationConfig {
    fn default() -> Self {
        Self {
            total_core_instances: 1000,
            total_memories: 1000,
            total_tables: 1000,
            #[cfg(feature = "async")]
            total_stacks: 1000,
            max_memories_per_module: 1,
            max_tables_per_module: 1,
            max_core_instance_bytes: 1 << 20,
            max_memory_bytes: 1 << 32,
            table_elements: 20_000,
            max_unused_warm_slots: 100,
            memory_keep_resident_bytes: 1 << 20,
            table_keep_resident_bytes: 0,
            #[cfg(feature = "async")]
            async_stack_keep_resident_bytes: 0,
            pagemap_scan: Enabled::Auto,
            memory_protection_keys: Enabled::No,
            max_memory_protection_keys: 16,
        }
    }
}

impl PoolingAllocationConfig {
    /// The default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Most instances at a time: 1000. For each, about 6 GiB of addresses are reserved, of which a process of x86-64
    /// has 128 TiB.
    pub fn total_core_instances(&mut self, count: u32) -> &mut Self {
        self.total_core_instances = count;
        self
    }

    /// Most memories of instances at a time: 1000.
    pub fn total_memories(&mut self, count: u32) -> &mut Self {
        self.total_memories = count;
        self
    }

    /// Most tables of instances at a time: 1000. Tables that a module only reads, and nobody else sees, are part of its
    /// artifact and do not count.
    pub fn total_tables(&mut self, count: u32) -> &mut Self {
        self.total_tables = count;
        self
    }

    /// Most memories that a module may define: 1. Modules that define more are refused when they are loaded, as those
    /// that exceed the other limits are.
    pub fn max_memories_per_module(&mut self, count: u32) -> &mut Self {
        self.max_memories_per_module = count;
        self
    }

    /// Most tables that a module may define, of those that count: 1.
    pub fn max_tables_per_module(&mut self, count: u32) -> &mut Self {
        self.max_tables_per_module = count;
        self
    }

    /// Room for an instance's records, in bytes, besides its tables: 1 MiB.
    pub fn max_core_instance_size(&mut self, bytes: usize) -> &mut Self {
        self.max_core_instance_bytes = bytes;
        self
    }

    /// Largest size of a memory, in bytes: 4 GiB. A memory that may become larger by its type cannot be grown beyond
    /// this.
    pub fn max_memory_size(&mut self, bytes: usize) -> &mut Self {
        self.max_memory_bytes = bytes;
        self
    }

    /// Most elements of a table: 20,000. A table that may become larger by its type cannot be grown beyond this.
    pub fn table_elements(&mut self, count: usize) -> &mut Self {
        self.table_elements = count;
        self
    }

    /// How many places that hold the image of another module, unused, an instance leaves alone and takes a fresh place
    /// instead: 100. It counts for all processors together.
    pub fn max_unused_warm_slots(&mut self, count: u32) -> &mut Self {
        self.max_unused_warm_slots = count;
        self
    }

    /// How much of what an instance wrote to its memory stays with its place when it is dropped, in bytes: 1 MiB. Of
    /// that the first contents are copied back, so that the next instance need not fault pages in.
    /// An instance that wrote more gives everything back to the system.
    pub fn linear_memory_keep_resident(&mut self, bytes: usize) -> &mut Self {
        self.memory_keep_resident_bytes = bytes;
        self
    }

    /// As [`PoolingAllocationConfig::linear_memory_keep_resident`], for tables: 0. They lie beside the memory, so what
    /// counts is the sum of both settings.
    pub fn table_keep_resident(&mut self, bytes: usize) -> &mut Self {
        self.table_keep_resident_bytes = bytes;
        self
    }

    /// Whether the kernel is asked which pages an instance wrote (Linux 6.7): [`Enabled::Auto`]. If not, an instance
    /// whose code ran gives all pages back to the system, except those of small records. With [`Enabled::Yes`],
    /// [`Engine::new`] fails where the kernel does not tell.
    pub fn pagemap_scan(&mut self, enable: Enabled) -> &mut Self {
        self.pagemap_scan = enable;
        self
    }

    /// Whether places lie closer together, with protection keys (x86-64, Linux) in place of most of the guard between them:
    /// [`Enabled::No`]. With [`Enabled::Yes`], [`Engine::new`] fails where there are none.
    ///
    /// What a memory may not reach is then in use for other instances, whose pages its code cannot touch: neighbours have
    /// different keys. So it needs a [`PoolingAllocationConfig::max_memory_size`] of less than 4 GiB. With 15 keys
    /// and 256 MiB, a place takes 410 MiB of addresses and not 6 GiB.
    ///
    /// - Each store has one of the keys, in turn. A store finds no place when all of its key are taken, though others may be
    ///   free.
    /// - Calls between the host and WebAssembly change the rights of the thread twice, and do not take the shortest ways.
    /// - The host may touch all memories. Threads that are older than the engine are let in when they touch one for the
    ///   first time; but where such a thread gives bytes of a memory that another thread lent it to a system call before, that
    ///   fails with `EFAULT`.
    /// - It excludes [`crate::Config::with_host_image`].
    pub fn memory_protection_keys(&mut self, enable: Enabled) -> &mut Self {
        self.memory_protection_keys = enable;
        self
    }

    /// Most protection keys that are used: 16. A process has 15 besides that of all memory. The first engine that uses
    /// keys takes them for the process, so later ones have no more.
    pub fn max_memory_protection_keys(&mut self, count: usize) -> &mut Self {
        self.max_memory_protection_keys = count;
        self
    }

    /// Whether the processor and the kernel have protection keys.
    pub fn are_memory_protection_keys_available() -> bool {
        keys::are_available()
    }

    /// [`PoolingAllocationConfig::total_core_instances`].
    pub fn get_total_core_instances(&self) -> u32 {
        self.total_core_instances
    }

    /// [`PoolingAllocationConfig::total_memories`].
    pub fn get_total_memories(&self) -> u32 {
        self.total_memories
    }

    /// [`PoolingAllocationConfig::total_tables`].
    pub fn get_total_tables(&self) -> u32 {
        self.total_tables
    }

    /// [`PoolingAllocationConfig::max_memories_per_module`].
    pub fn get_max_memories_per_module(&self) -> u32 {
        self.max_memories_per_module
    }

    /// [`PoolingAllocationConfig::max_tables_per_module`].
    pub fn get_max_tables_per_module(&self) -> u32 {
        self.max_tables_per_module
    }

    /// [`PoolingAllocationConfig::max_core_instance_size`].
    pub fn get_max_core_instance_size(&self) -> usize {
        self.max_core_instance_bytes
    }

    /// [`PoolingAllocationConfig::max_memory_size`].
    pub fn get_max_memory_size(&self) -> usize {
        self.max_memory_bytes
    }

    /// [`PoolingAllocationConfig::table_elements`].
    pub fn get_table_elements(&self) -> usize {
        self.table_elements
    }

    /// [`PoolingAllocationConfig::max_unused_warm_slots`].
    pub fn get_max_unused_warm_slots(&self) -> u32 {
        self.max_unused_warm_slots
    }

    /// [`PoolingAllocationConfig::linear_memory_keep_resident`].
    pub fn get_memory_keep_resident(&self) -> usize {
        self.memory_keep_resident_bytes
    }

    /// [`PoolingAllocationConfig::table_keep_resident`].
    pub fn get_table_keep_resident(&self) -> usize {
        self.table_keep_resident_bytes
    }

    /// [`PoolingAllocationConfig::memory_protection_keys`].
    pub fn get_memory_protection_keys(&self) -> Enabled {
        self.memory_protection_keys
    }

    /// [`PoolingAllocationConfig::max_memory_protection_keys`].
    pub fn get_max_memory_protection_keys(&self) -> usize {
        self.max_memory_protection_keys
    }

    /// [`PoolingAllocationConfig::pagemap_scan`].
    pub fn get_pagemap_scan(&self) -> Enabled {
        self.pagemap_scan
    }
}

/// The stacks of asynchronous calls.
#[cfg(feature = "async")]
impl PoolingAllocationConfig {
    /// Most asynchronous calls at a time, each of which has a stack: 1000. One more fails with
    /// [`PoolConcurrencyLimitError`].
    pub fn total_stacks(&mut self, count: u32) -> &mut Self {
        self.total_stacks = count;
        self
    }

    /// With [`crate::Config::async_stack_zeroing`], how much of a stack stays with it, in bytes: 0. That much of its top is
    /// zeroed by writing to it, and the rest by giving it back to the system.
    pub fn async_stack_keep_resident(&mut self, bytes: usize) -> &mut Self {
        self.async_stack_keep_resident_bytes = bytes;
        self
    }

    /// [`PoolingAllocationConfig::total_stacks`].
    pub fn get_total_stacks(&self) -> u32 {
        self.total_stacks
    }

    /// [`PoolingAllocationConfig::async_stack_keep_resident`].
    pub fn get_async_stack_keep_resident(&self) -> usize {
        self.async_stack_keep_resident_bytes
    }
}

/// The pool has no place left. Instantiation fails with an error that downcasts to this; it can be tried again when an
/// instance was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConcurrencyLimitError {
    limit: u32,
    kind: &'static str,
}

impl PoolConcurrencyLimitError {
    pub(crate) fn new(limit: u32, kind: &'static str) -> Self {
        Self { limit, kind }
    }
}

impl fmt::Display for PoolConcurrencyLimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "maximum concurrent limit of {} for {} reached", self.limit, self.kind)
    }
}

impl core::error::Error for PoolConcurrencyLimitError {}

/// What a pool holds at the moment. While other threads make and drop instances the numbers are approximate.
#[derive(Clone, Debug)]
pub struct PoolingAllocatorMetrics {
    engine: Engine,
}

impl PoolingAllocatorMetrics {
    pub(crate) fn new(engine: &Engine) -> Option<Self> {
        engine.pool().is_some().then(|| Self { engine: engine.clone() })
    }

    /// Instances that exist.
    pub fn core_instances(&self) -> u64 {
        self.usage().instances
    }

    /// Memories that those instances define.
    pub fn memories(&self) -> usize {
        self.usage().memories
    }

    /// Tables that those instances define, of those that count.
    pub fn tables(&self) -> usize {
        self.usage().tables
    }

    /// Stacks of asynchronous calls that are in use.
    #[cfg(feature = "async")]
    pub fn stacks(&self) -> usize {
        self.engine.stacks().used() as usize
    }

    /// Stacks that are kept for asynchronous calls to come.
    #[cfg(feature = "async")]
    pub fn unused_warm_stacks(&self) -> u32 {
        self.engine.stacks().unused()
    }

    /// How much memory of their own unused places keep, in bytes: memories, and the records and tables beside them. It looks at
    /// all of them, so it takes its time. `None` where the kernel does not tell (Linux 6.7).
    pub fn unused_memory_bytes_resident(&self) -> Option<usize> {
        self.engine.pool()?.unused_bytes().map(|bytes| bytes as usize)
    }

    /// Places that are not used and hold a module's image.
    pub fn unused_warm_memories(&self) -> u32 {
        self.usage().warm
    }

    fn usage(&self) -> PoolUsage {
        self.engine.pool().map(|pool| pool.usage()).unwrap_or_default()
    }
}

/// What a pool counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PoolUsage {
    pub(crate) instances: u64,
    pub(crate) memories: usize,
    pub(crate) tables: usize,
    pub(crate) warm: u32,
}
