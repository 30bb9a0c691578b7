//! Pools: places for instances, whose addresses are reserved once.
//!
//! ```text
//!   place 0                                      place 1
//!   |  room for records   |ctx  4 GiB  |  guard  |  room for records   |ctx ...
//!        |<- slot of a module ----------------->|
//! ```
//!
//! With protection keys, neighbours have different ones, and what an instance can reach behind its memory overlaps with as many
//! places as there are keys:
//!
//! ```text
//!   place 0, key 1     place 1, key 2     place 2, key 3     place 3, key 1
//!   | records |ctx  max_memory_size | records |ctx ...       | records |ctx ...
//!             |<- 4 GiB and the guard, accessible only with key 1 ->|
//! ```
//!
//! A store has one of the keys, and its instances take places that have it. Its code runs with that key only; the host
//! may touch all (`store/hooks.rs`).
//!
//! A place that no instance uses is fresh (never used), cold (nothing mapped) or warm: it holds the image of the module
//! whose instance used it last, reset, so that the next one of that module has nothing to map. Free places are kept in
//! shards, by key; a thread uses its own, and looks into others when that has nothing for it. So threads that instantiate
//! and drop do not meet. Only when nothing is found are all shards locked together, so that a pool is never
//! said to be exhausted while it is not.
//!
//! # Safety
//!
//! A place is in one free list or belongs to one [`Slot`], and the reservation is kept as long as the engine,
//! which the module of each slot keeps.
#![allow(unsafe_code, reason = "parts of a reservation")]

use alloc::collections::{BTreeMap, VecDeque};
use core::iter::StepBy;
use core::ops::Range;
use core::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering};

use anyhow::Result;

use super::slot::{Keep, Place, Slot};
use crate::allocation::{Enabled, PoolConcurrencyLimitError, PoolUsage, PoolingAllocationConfig};
use crate::error::LoadError;
use crate::memory::{GUARD_BYTES, PAGE_BYTES, RESERVED_BYTES};
use crate::module::{MemoryPlan, Module, Plan, SlotPlan, TablePlan};
use crate::prelude::*;
use crate::sync::Mutex;
use crate::sys::keys::{self, Key};
use crate::sys::{self, Reservation, thread};

/// Size of a table element below a context, in bytes.
const ELEMENT_BYTES: u64 = aotc_abi::vmctx::TABLE_ELEMENT_BYTES as u64;

/// Most shards. There is one for each processor up to this.
const SHARDS_MAX: usize = 64;

/// Places for instances.
pub(crate) struct Pool {
    region: Reservation,
    /// Those of the places, in turn. Empty if all have that of other memory.
    keys: &'static [Key],
    /// Of the store that is made next.
    next_key: AtomicUsize,
    /// Distance of places, in bytes.
    stride: u64,
    /// What is below each context, in bytes.
    records_bytes: u64,
    config: PoolingAllocationConfig,
    memories: Limit,
    tables: Limit,
    /// For each key, or for all places, the same number of them.
    shards: Box<[Shard]>,
    /// That number.
    shards_per_key: usize,
}

/// Free places, in cache lines of its own.
#[repr(align(128))]
struct Shard {
    free: Mutex<Free>,
    /// Memories and tables that were taken less those that were given back here.
    memories: AtomicI64,
    tables: AtomicI64,
}

struct Free {
    fresh: StepBy<Range<u32>>,
    cold: Vec<u32>,
    /// By module; of each, the one that was used last is at the end.
    warm: BTreeMap<u64, VecDeque<Warm>>,
    warm_count: u32,
    clock: u64,
    /// Slots that the system refused to unmap. They are tried again when nothing else is free.
    stuck: Vec<Slot>,
}

struct Warm {
    slot: Slot,
    /// When it was given back, by the shard's clock.
    time: u64,
}

/// A place that was found.
enum Found {
    /// It is the module's, and reset.
    Ready(Slot),
    /// It holds another module's image.
    Other(Slot),
    /// Nothing is mapped there.
    Empty(u32),
}

/// A limit that is counted only if there may be more than it allows.
struct Limit {
    max: u32,
    kind: &'static str,
    counted: bool,
    live: AtomicU32,
}

impl Pool {
    /// Reserves the addresses of a pool.
    ///
    /// # Errors
    /// If the settings contradict each other, or there are not enough addresses.
    pub(crate) fn new(config: &PoolingAllocationConfig) -> Result<Self> {
        if config.max_memory_bytes as u64 > RESERVED_BYTES {
            anyhow::bail!("maximum memory size of {} bytes exceeds 4 GiB", config.max_memory_bytes);
        }
        if config.pagemap_scan == Enabled::Yes && !sys::tells_dirty_pages() {
            anyhow::bail!(
                "the kernel does not tell which pages were written (PAGEMAP_SCAN, Linux 6.7)"
            );
        }
        let tables_bytes = u64::from(config.max_tables_per_module)
            .checked_mul(config.table_elements as u64)
            .and_then(|elements| elements.checked_mul(ELEMENT_BYTES));
        let records_bytes = tables_bytes
            .and_then(|bytes| bytes.checked_add(config.max_core_instance_bytes as u64))
            .and_then(|bytes| bytes.checked_next_multiple_of(sys::page_bytes()));
        // What belongs to an instance, and must be apart from all others with its key.
        let reach = records_bytes.and_then(|bytes| bytes.checked_add(RESERVED_BYTES + GUARD_BYTES));
        let (Some(records_bytes), Some(reach)) = (records_bytes, reach) else {
            anyhow::bail!("the addresses of the pool exceed 64 bits");
        };
        let memory_bytes = (config.max_memory_bytes as u64).next_multiple_of(sys::page_bytes());
        let keys = keys_for(config, reach.div_ceil(records_bytes + memory_bytes))?;
        let stride = match keys.len() as u64 {
            0 => reach,
            count => reach
                .div_ceil(count)
                .next_multiple_of(sys::page_bytes())
                .max(records_bytes + memory_bytes),
        };
        let all = stride
            .checked_mul(config.total_core_instances.into())
            .and_then(|all| all.checked_add(reach - stride));
        let Some(all) = all else { anyhow::bail!("the addresses of the pool exceed 64 bits") };
        // An empty reservation is none.
        let region = Reservation::new(all.max(sys::page_bytes()))
            .map_err(LoadError::os("reserve the addresses of the pool (total_core_instances)"))?;
        let count = sys::processors().clamp(1, SHARDS_MAX);
        let total = u64::from(config.total_core_instances);
        let stripes = keys.len().max(1);
        let shards = (0..stripes).flat_map(|stripe| {
            let places = total.saturating_sub(stripe as u64).div_ceil(stripes as u64);
            let border = move |shard: usize| {
                stripe as u64 + stripes as u64 * (places * shard as u64 / count as u64)
            };
            (0..count).map(move |shard| {
                Shard::new((border(shard) as u32..border(shard + 1) as u32).step_by(stripes))
            })
        });
        let shards = shards.collect();
        let limit = |max, per_module: u32, kind| Limit {
            max,
            kind,
            counted: u64::from(max) < total.saturating_mul(per_module.into()),
            live: AtomicU32::new(0),
        };
        Ok(Self {
            region,
            keys,
            next_key: AtomicUsize::new(0),
            stride,
            records_bytes,
            memories: limit(config.total_memories, config.max_memories_per_module, "memories"),
            tables: limit(config.total_tables, config.max_tables_per_module, "tables"),
            config: config.clone(),
            shards,
            shards_per_key: count,
        })
    }

    /// Checks that instances of a module fit.
    ///
    /// # Errors
    /// [`LoadError::Pool`], with the setting that does not allow for it.
    pub(crate) fn check(&self, plan: &Plan) -> Result<(), LoadError> {
        let refuse = |what: String| Err(LoadError::Pool { what });
        let config = &self.config;
        let SlotPlan { vmctx_bytes, guard_bytes, memories, tables, .. } = plan.slot;
        if memories > config.max_memories_per_module {
            return refuse(format!(
                "defined memories count of {memories} exceeds the per-instance limit of {} (max_memories_per_module)",
                config.max_memories_per_module
            ));
        }
        if tables > config.max_tables_per_module {
            return refuse(format!(
                "defined tables count of {tables} exceeds the per-instance limit of {} (max_tables_per_module)",
                config.max_tables_per_module
            ));
        }
        for (index, memory) in plan.memories.iter().enumerate() {
            let min_bytes = match *memory {
                MemoryPlan::Imported => continue,
                MemoryPlan::AtCtx { min, .. } | MemoryPlan::Separate { min, .. } => {
                    min * PAGE_BYTES
                }
            };
            if min_bytes > config.max_memory_bytes as u64 {
                return refuse(format!(
                    "memory index {index} has a minimum byte size of {min_bytes} which exceeds the limit of {} (max_memory_size)",
                    config.max_memory_bytes
                ));
            }
        }
        for (index, table) in plan.tables.iter().enumerate() {
            match *table {
                TablePlan::Defined { min, .. } if min > config.table_elements as u64 => {
                    return refuse(format!(
                        "table index {index} has a minimum element size of {min} which exceeds the limit of {} (table_elements)",
                        config.table_elements
                    ));
                }
                TablePlan::Defined { .. } | TablePlan::Imported | TablePlan::Closed => {}
            }
        }
        if vmctx_bytes > self.records_bytes {
            return refuse(format!(
                "an instance requires {vmctx_bytes} bytes which exceeds the configured maximum of {} (max_core_instance_size)",
                self.records_bytes
            ));
        }
        if guard_bytes > GUARD_BYTES {
            return refuse(format!(
                "the module's code relies on a guard of {guard_bytes} bytes, those of the pool have {GUARD_BYTES}"
            ));
        }
        Ok(())
    }

    /// The settings.
    pub(crate) fn config(&self) -> &PoolingAllocationConfig {
        &self.config
    }

    /// What slots keep when they are reset.
    pub(crate) fn keep(&self) -> Keep {
        let bytes = self.config.memory_keep_resident_bytes as u64
            + self.config.table_keep_resident_bytes as u64;
        match self.config.pagemap_scan {
            Enabled::No => Keep::Nothing,
            Enabled::Auto | Enabled::Yes => Keep::Pages(bytes / sys::page_bytes()),
        }
    }

    /// A key for a new store, if places have keys.
    pub(crate) fn next_key(&self) -> Option<Key> {
        if self.keys.is_empty() {
            return None;
        }
        let number = self.next_key.fetch_add(1, Ordering::Relaxed);
        Some(self.keys[number % self.keys.len()])
    }

    /// A slot for an instance of `module`, which passed [`Pool::check`], in a store with `key`.
    ///
    /// # Errors
    /// [`PoolConcurrencyLimitError`]; [`LoadError`] if the system refuses to map the image.
    pub(crate) fn take(&self, module: &Module, key: Option<Key>) -> Result<Slot> {
        let SlotPlan { memories, tables, .. } = module.plan().slot;
        self.memories.take(memories)?;
        if let Err(error) = self.tables.take(tables) {
            self.memories.give_back(memories);
            return Err(error);
        }
        let stripe = self.keys.iter().position(|&known| Some(known) == key).unwrap_or(0);
        let taken = self.take_place(module, stripe);
        match &taken {
            Ok(_) => self.home(stripe).count(memories.into(), tables.into()),
            Err(_) => {
                self.memories.give_back(memories);
                self.tables.give_back(tables);
            }
        }
        taken
    }

    fn take_place(&self, module: &Module, stripe: usize) -> Result<Slot> {
        let index = match self.find(module.identity(), stripe) {
            Some(Found::Ready(slot)) => return Ok(slot),
            Some(Found::Other(slot)) => self.empty(slot)?,
            Some(Found::Empty(index)) => index,
            None => {
                let (limit, kind) = match self.keys.len() as u32 {
                    0 => (self.config.total_core_instances, "core instances"),
                    count => (
                        self.config
                            .total_core_instances
                            .saturating_sub(stripe as u32)
                            .div_ceil(count),
                        "core instances with one protection key",
                    ),
                };
                return Err(PoolConcurrencyLimitError::new(limit, kind).into());
            }
        };
        let start =
            self.stride * u64::from(index) + self.records_bytes - module.plan().slot.vmctx_bytes;
        let end = self.stride * (u64::from(index) + 1);
        // SAFETY: the place was in a free list, so nobody else has a part of it.
        let region =
            unsafe { self.region.part(start, end - start, self.keys.get(stripe).copied()) };
        Slot::map(module, region, Place::Pooled(index)).map_err(|(slot, error)| {
            if let Ok(index) = self.empty(slot) {
                self.home(stripe).lock().cold.push(index);
            }
            error
        })
    }

    fn find(&self, module: u64, stripe: usize) -> Option<Found> {
        let warm_max = self.config.max_unused_warm_slots / self.shards.len() as u32;
        let shards = self.stripe(stripe);
        let home = thread::number() % shards.len();
        let others = || shards[home + 1..].iter().chain(&shards[..home]);
        {
            let mut free = shards[home].lock();
            if let Some(slot) = free.ready(module) {
                return Some(Found::Ready(slot));
            }
        }
        let elsewhere = others().find_map(|shard| shard.try_lock()?.ready(module));
        if let Some(slot) = elsewhere {
            return Some(Found::Ready(slot));
        }
        let found = shards[home].lock().other(warm_max);
        if let Some(found) =
            found.or_else(|| others().find_map(|shard| shard.lock().other(warm_max)))
        {
            return Some(found);
        }
        // Now nobody takes or gives back meanwhile.
        let mut all: Vec<_> = shards.iter().map(Shard::lock).collect();
        all.iter_mut().find_map(|free| match free.ready(module) {
            Some(slot) => Some(Found::Ready(slot)),
            None => free.other(warm_max),
        })
    }

    /// Takes back a slot that was reset, of an instance of `module`.
    pub(crate) fn give_back(&self, slot: Slot, module: &Module) {
        let SlotPlan { memories, tables, .. } = module.plan().slot;
        let home = self.home(self.stripe_of(&slot));
        home.lock().keep(slot, module.identity());
        home.count(-i64::from(memories), -i64::from(tables));
        self.memories.give_back(memories);
        self.tables.give_back(tables);
    }

    /// Takes back a slot that could not be reset.
    pub(crate) fn give_back_dirty(&self, slot: Slot, module: &Module) {
        let SlotPlan { memories, tables, .. } = module.plan().slot;
        let home = self.home(self.stripe_of(&slot));
        if let Ok(index) = self.empty(slot) {
            home.lock().cold.push(index);
        }
        home.count(-i64::from(memories), -i64::from(tables));
        self.memories.give_back(memories);
        self.tables.give_back(tables);
    }

    /// Gives the memory of a module's unused slots back to the system.
    pub(crate) fn forget(&self, module: u64) {
        for shard in &self.shards {
            let warm = shard.lock().forget(module);
            for Warm { slot, .. } in warm {
                if let Ok(index) = self.empty(slot) {
                    shard.lock().cold.push(index);
                }
            }
        }
    }

    /// What there is.
    pub(crate) fn usage(&self) -> PoolUsage {
        let mut usage = PoolUsage::default();
        let (mut memories, mut tables) = (0, 0);
        let mut free = 0;
        for shard in &self.shards {
            let lists = shard.lock();
            free += u64::from(lists.warm_count)
                + lists.cold.len() as u64
                + lists.fresh.len() as u64
                + lists.stuck.len() as u64;
            usage.warm += lists.warm_count;
            memories += shard.memories.load(Ordering::Relaxed);
            tables += shard.tables.load(Ordering::Relaxed);
        }
        usage.instances = u64::from(self.config.total_core_instances).saturating_sub(free);
        usage.memories = memories.max(0) as usize;
        usage.tables = tables.max(0) as usize;
        usage
    }

    /// How much memory of their own the unused slots keep, in bytes; `None` if the kernel does not tell.
    pub(crate) fn unused_bytes(&self) -> Option<u64> {
        let of_shard = |shard: &Shard| {
            let free = shard.lock();
            free.warm.values().flatten().map(|warm| warm.slot.own_bytes()).sum::<Option<u64>>()
        };
        self.shards.iter().map(of_shard).sum()
    }

    /// The shards of the places with key `stripe`.
    fn stripe(&self, stripe: usize) -> &[Shard] {
        &self.shards[stripe * self.shards_per_key..][..self.shards_per_key]
    }

    /// Which key a slot has.
    fn stripe_of(&self, slot: &Slot) -> usize {
        place_of(slot) as usize % self.keys.len().max(1)
    }

    fn home(&self, stripe: usize) -> &Shard {
        &self.stripe(stripe)[thread::number() % self.shards_per_key]
    }

    /// Unmaps what a slot holds; gives the place. If that fails, the slot is kept to be tried again.
    fn empty(&self, slot: Slot) -> Result<u32> {
        match slot.clear() {
            Ok(()) => Ok(place_of(&slot)),
            Err(error) => {
                self.home(self.stripe_of(&slot)).lock().stuck.push(slot);
                Err(error)
            }
        }
    }
}

fn place_of(slot: &Slot) -> u32 {
    match slot.place() {
        Place::Pooled(index) => index,
        Place::Own => unreachable!("slots of a pool are its own"),
    }
}

/// The keys for the places of a pool of which `useful` keep an instance away from all others; none if places shall have
/// none.
///
/// # Errors
/// If there must be keys, and are none.
fn keys_for(config: &PoolingAllocationConfig, useful: u64) -> Result<&'static [Key]> {
    /// With one key, everybody could touch everything.
    const KEYS_MIN: usize = 2;
    let wanted = match config.memory_protection_keys {
        Enabled::No => return Ok(&[]),
        Enabled::Auto | Enabled::Yes => config.max_memory_protection_keys,
    };
    let keys = keys::keys(wanted);
    let count = keys.len().min(wanted).min(useful as usize);
    if count >= KEYS_MIN {
        // What code cannot touch must become a trap.
        sys::install_handlers();
        return Ok(&keys[..count]);
    }
    if config.memory_protection_keys == Enabled::Yes {
        anyhow::bail!(
            "memory protection keys are not available: this system gave {}, and {KEYS_MIN} are needed",
            keys.len()
        );
    }
    Ok(&[])
}

impl Shard {
    fn new(fresh: StepBy<Range<u32>>) -> Self {
        let free = Free {
            fresh,
            cold: Vec::new(),
            warm: BTreeMap::new(),
            warm_count: 0,
            clock: 0,
            stuck: Vec::new(),
        };
        Self { free: Mutex::new(free), memories: AtomicI64::new(0), tables: AtomicI64::new(0) }
    }

    fn lock(&self) -> impl core::ops::DerefMut<Target = Free> + '_ {
        self.free.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    fn try_lock(&self) -> Option<impl core::ops::DerefMut<Target = Free> + '_> {
        self.free.try_lock().ok()
    }

    fn count(&self, memories: i64, tables: i64) {
        if memories != 0 {
            self.memories.fetch_add(memories, Ordering::Relaxed);
        }
        if tables != 0 {
            self.tables.fetch_add(tables, Ordering::Relaxed);
        }
    }
}

impl Free {
    /// The slot of a module that was used last.
    fn ready(&mut self, module: u64) -> Option<Slot> {
        let slot = self.warm.get_mut(&module)?.pop_back()?.slot;
        self.warm_count -= 1;
        Some(slot)
    }

    /// A place that is not the module's.
    fn other(&mut self, warm_max: u32) -> Option<Found> {
        if self.warm_count > warm_max {
            return self.oldest();
        }
        let empty = self.cold.pop().or_else(|| self.fresh.next());
        empty
            .map(Found::Empty)
            .or_else(|| self.oldest())
            .or_else(|| self.stuck.pop().map(Found::Other))
    }

    /// The warm slot that was not used for the longest time.
    fn oldest(&mut self) -> Option<Found> {
        let all = self.warm.values_mut().filter(|slots| !slots.is_empty());
        let slots = all.min_by_key(|slots| slots.front().map(|warm| warm.time))?;
        let slot = slots.pop_front()?.slot;
        self.warm_count -= 1;
        Some(Found::Other(slot))
    }

    fn keep(&mut self, slot: Slot, module: u64) {
        self.clock += 1;
        let warm = Warm { slot, time: self.clock };
        self.warm.entry(module).or_default().push_back(warm);
        self.warm_count += 1;
    }

    fn forget(&mut self, module: u64) -> VecDeque<Warm> {
        let warm = self.warm.remove(&module).unwrap_or_default();
        self.warm_count -= warm.len() as u32;
        warm
    }
}

impl Limit {
    fn take(&self, count: u32) -> Result<()> {
        if !self.counted || count == 0 {
            return Ok(());
        }
        let more = |live: u32| live.checked_add(count).filter(|&live| live <= self.max);
        match self.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(()),
            Err(_) => Err(PoolConcurrencyLimitError::new(self.max, self.kind).into()),
        }
    }

    fn give_back(&self, count: u32) {
        if self.counted && count != 0 {
            self.live.fetch_sub(count, Ordering::Relaxed);
        }
    }
}
