//! The part of a store that does not depend on the host's data.
//!
//! # Safety
//!
//! This file makes [`VmPtr`]s to records in boxes that the store owns and never frees, moves or borrows
//! before it is dropped, and reads function reference records that compiled code or a store's own
//! handle gave: those are alive as long as the store.
#![allow(unsafe_code, reason = "records that are shared with compiled code")]

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::cell::{Cell, UnsafeCell};
use core::num::NonZeroU64;
use core::sync::atomic::AtomicBool;

use anyhow::{Error, Result, anyhow};
use aotc_abi::meta::ExternKind;
use aotc_abi::vmctx::{
    VmCalleePrefix, VmFuncRef, VmHostFunc, VmHostFuncRef, VmMemoryDefinition, VmStoreCtx,
    VmTableDefinition, VmValue,
};

use super::epoch::AtDeadline;
use super::fuel::{ENDLESS_FUEL, Fuel};
use super::hooks::{AnyHook, AnyLimiter};
use super::obstacles::{Obstacle, Obstacles, set_fiber};
use super::references::ExternRefs;
use crate::backtrace;
use crate::call::{Callee, DirectCallee, DirectWays, Gate, PanicBox, Raised};
use crate::creator::CreatedMemory;
use crate::engine::Engine;
use crate::extern_::Extern;
use crate::func::{Func, HostFunc, NumberFunc, RawFunc, host_record};
use crate::handle::Handle;
use crate::instance::{Items, Slot, Written};
use crate::memory::Memory;
use crate::module::Module;
use crate::prelude::*;
use crate::reserve::reserve;
use crate::sys::keys::{self, Key};
use crate::sys::thread::Outermost;
use crate::sys::{self, ExactMapping, Reservation};
use crate::table::Table;
use crate::types::{FuncType, RefType};
use crate::unwind::Payload;
use crate::vmctx::{self, InstanceCtx, VmPtr};

/// Which store a handle belongs to. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub(crate) struct StoreId(NonZeroU64);

impl StoreId {
    fn next() -> Self {
        let number = sys::thread::unique_number();
        Self(NonZeroU64::new(number).expect("counted from 1, fewer than 2^64 stores"))
    }
}

/// Everything a store owns except the host's data.
#[repr(C)]
pub struct StoreOpaque {
    /// What compiled code touches. First, so that its address is the store's.
    pub(crate) vm: UnsafeCell<VmStoreCtx>,
    /// Address of what the store's current fiber shares with what runs on it, or 0: see `fiber.rs`.
    pub(crate) fiber: Cell<usize>,
    /// What is told when calls cross between the host and WebAssembly. Set by [`Self::set_call_hook`].
    pub(super) call_hook: Option<AnyHook>,
    /// The protection key of its instances' memory. One that has a key has a call hook, by which rights are changed.
    pub(crate) key: Option<Key>,
    /// What is asked before memories and tables are made or grow.
    pub(super) limiter: Option<AnyLimiter>,
    /// What stands in the way of plain synchronous calls.
    pub(crate) obstacles: Obstacles,
    /// The activation of calls that are the only ones on their thread.
    pub(crate) outermost: Outermost,
    pub(crate) fuel: Fuel,
    /// What the host does at the deadline; `None` to trap.
    pub(crate) at_deadline: Option<AtDeadline>,
    /// The calls that are being made.
    #[cfg(not(feature = "std"))]
    pub(crate) youngest: sys::thread::Youngest,
    pub(crate) id: StoreId,
    pub(crate) engine: Engine,
    /// Why wasm is being left, between the recording and the return from the entry trampoline.
    pub(crate) raised: Option<Box<Raised>>,
    pub(crate) instances: Vec<InstanceData>,
    memories: Vec<MemoryData>,
    tables: Vec<TableData>,
    /// The instances' memory index spaces, one behind the other: places in `memories`.
    pub(crate) memory_indices: Vec<u32>,
    /// The instances' table index spaces: places in `tables`, or [`NO_TABLE`].
    pub(crate) table_indices: Vec<u32>,
    pub(crate) modules: Vec<Module>,
    /// Imports that instances refer to: host functions live in them.
    pub(crate) imports: Vec<Handle<Items>>,
    #[allow(clippy::vec_box, reason = "compiled code holds the addresses")]
    host_func_refs: Vec<Box<VmHostFuncRef>>,
    /// Places in `host_func_refs` for whose type no exit trampoline is known yet.
    holes: Vec<u32>,
    host_funcs: Vec<Arc<HostFunc>>,
    #[allow(clippy::vec_box, reason = "compiled code holds the addresses")]
    globals: Vec<Box<VmValue>>,
    #[allow(clippy::vec_box, reason = "compiled code holds the addresses")]
    memory_definitions: Vec<Box<VmMemoryDefinition>>,
    #[allow(clippy::vec_box, reason = "compiled code holds the addresses")]
    table_definitions: Vec<Box<VmTableDefinition>>,
    /// The host's values that compiled code holds.
    pub(crate) extern_refs: ExternRefs,
    /// The type of the last untyped call.
    known_type: Option<KnownType>,
    /// Whether code of the store ran, or someone had a handle of a memory, table or global of an instance.
    pub(crate) reached: AtomicBool,
    /// Bridges to functions without a reference record, by context and code.
    bridges: BTreeMap<(u64, u64), u64>,
}

// SAFETY: `vm`, `fiber` and `obstacles` are only accessed by the thread that has the store's mutable borrow (compiled code runs
// under it); everything else is `Sync`.
unsafe impl Sync for StoreOpaque {}

/// In [`StoreOpaque::table_indices`]: a table that exists as read-only data only.
pub(crate) const NO_TABLE: u32 = u32::MAX;

/// An instance.
pub(crate) struct InstanceData {
    pub(crate) ctx: InstanceCtx,
    pub(crate) module: Module,
    /// Its memory; given back to the module when the store is dropped.
    pub(crate) slot: Option<Slot>,
    /// What may have been written to the slot, when it is given back.
    pub(crate) written: Written,
    /// First of its index space in [`StoreOpaque::memory_indices`].
    pub(crate) memories_start: u32,
    /// First of its index space in [`StoreOpaque::table_indices`].
    pub(crate) tables_start: u32,
}

impl Drop for StoreOpaque {
    fn drop(&mut self) {
        let written = self.written();
        for instance in &mut self.instances {
            if instance.written != Written::Unknown {
                instance.written = written;
            }
        }
    }
}

impl Drop for InstanceData {
    fn drop(&mut self) {
        match (self.slot.take(), self.written) {
            (Some(slot), Written::Unknown) => self.module.discard(slot),
            (Some(slot), written) => self.module.give_back(slot, self.ctx, written),
            (None, _) => {}
        }
    }
}

/// What an untyped call needs to know of a function's type.
pub(crate) struct KnownType {
    hash: u64,
    pub(crate) ty: FuncType,
    /// Entry trampoline; 0 for host functions.
    pub(crate) entry: u64,
    /// The type again, if its values are a few numbers.
    numbers: Option<NumberFunc>,
}

impl KnownType {
    #[inline]
    fn is_of(&self, raw: &RawFunc) -> bool {
        self.hash == raw.hash && (self.entry == 0) == (raw.code == 0)
    }
}

/// How much a store has of what an instantiation adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    instances: usize,
    memories: usize,
    tables: usize,
    memory_indices: usize,
    table_indices: usize,
}

/// A memory, at its owner's place.
pub(crate) struct MemoryData {
    pub(crate) definition: VmPtr<VmMemoryDefinition>,
    /// Most pages, or [`aotc_abi::meta::NO_MAXIMUM`].
    pub(crate) max_pages: u64,
    /// Most pages to which it is grown, whatever its type allows.
    pub(crate) growth_pages_max: u64,
    pub(crate) addresses: MemoryAddresses,
}

/// The addresses of a memory, and who owns them.
pub(crate) enum MemoryAddresses {
    /// The slot of its instance: 4 GiB and a guard behind them.
    Slot {
        /// Size of the guard.
        guard_bytes: u64,
    },
    /// 4 GiB and a guard behind them.
    Reserved {
        /// Size of the guard.
        guard_bytes: u64,
        /// All of them.
        #[allow(dead_code, reason = "released when dropped")]
        region: Reservation,
    },
    /// Those of its current bytes. They change when it grows.
    Exact(ExactMapping),
    /// The embedder's.
    Created(CreatedMemory),
}

/// A table, at its owner's place.
pub(crate) struct TableData {
    pub(crate) definition: VmPtr<VmTableDefinition>,
    pub(crate) element: RefType,
    /// Most elements, or [`aotc_abi::meta::NO_MAXIMUM`].
    pub(crate) max: u64,
    /// Most elements to which it is grown, whatever its type allows.
    pub(crate) growth_max: u64,
    /// The elements, once they are not below the context any more.
    pub(crate) storage: Vec<u64>,
}

impl StoreOpaque {
    pub(crate) fn new(engine: &Engine) -> Self {
        let interruption = engine.config().interruption;
        let vm = VmStoreCtx {
            raise: sys::raise_address(),
            fuel: if interruption.fuel { 0 } else { ENDLESS_FUEL },
            epoch_deadline: if interruption.epochs { 0 } else { u64::MAX },
            epoch: engine.epoch_address(),
            ..VmStoreCtx::default()
        };
        Self {
            vm: UnsafeCell::new(vm),
            fiber: Cell::new(0),
            call_hook: None,
            key: engine.next_key(),
            limiter: None,
            obstacles: Obstacles::default(),
            outermost: Outermost::default(),
            fuel: Fuel::default(),
            at_deadline: None,
            #[cfg(not(feature = "std"))]
            youngest: sys::thread::Youngest::default(),
            id: StoreId::next(),
            engine: engine.local(),
            raised: None,
            instances: Vec::new(),
            memories: Vec::new(),
            tables: Vec::new(),
            memory_indices: Vec::new(),
            table_indices: Vec::new(),
            modules: Vec::new(),
            imports: Vec::new(),
            host_func_refs: Vec::new(),
            holes: Vec::new(),
            host_funcs: Vec::new(),
            globals: Vec::new(),
            memory_definitions: Vec::new(),
            table_definitions: Vec::new(),
            extern_refs: ExternRefs::default(),
            known_type: None,
            reached: AtomicBool::new(false),
            bridges: BTreeMap::new(),
        }
    }

    /// Whether code of the store is on a stack.
    pub(crate) fn is_running(&self) -> bool {
        // SAFETY: the store is borrowed.
        unsafe { sys::thread::has_activation(self.vm.get()) }
    }

    /// What may have been written to the store's instances.
    fn written(&mut self) -> Written {
        match *self.reached.get_mut() {
            false => Written::Records,
            true => Written::Anything,
        }
    }

    /// Panics unless `id` is this store's.
    #[inline]
    #[track_caller]
    pub(crate) fn check(&self, id: StoreId) {
        assert!(self.id == id, "object used with the wrong store");
    }

    /// Lets the host touch all memories, if those of the store have a protection key. Gives the key if this thread could touch
    /// only those before, so that whoever calls the host back gives it to [`restrict_again`].
    pub(crate) fn open_keys(&self) -> Option<Key> {
        let key = self.key?;
        let restricted = keys::is_restricted(key);
        keys::open();
        restricted.then_some(key)
    }

    /// Lets this thread touch the store's memories only, if they have a protection key: WebAssembly goes on.
    pub(crate) fn restrict_keys(&self) {
        restrict_again(self.key);
    }

    /// Address of the [`VmStoreCtx`], by which compiled code knows the store.
    #[inline]
    pub(crate) fn vm_address(&self) -> u64 {
        self.vm.get() as u64
    }

    /// The same address, for someone who will use the store by it: compiled code, what it calls, hooks. By Rust's rules they act
    /// in this borrow's place, so it must be called after the last use of the store before, and whatever else has a reference to
    /// the store leaves it alone until they are done. There is nothing to be done for it at run time.
    #[inline]
    pub(crate) fn lend(&mut self) -> u64 {
        core::ptr::from_mut(self).expose_provenance() as u64
    }

    /// [`VmStoreCtx::fuel`].
    pub(crate) fn vm_fuel(&self) -> i64 {
        // SAFETY: while someone has the store, compiled code does not run in it.
        unsafe { (*self.vm.get()).fuel }
    }

    /// Sets [`VmStoreCtx::fuel`].
    pub(crate) fn set_vm_fuel(&mut self, fuel: i64) {
        // SAFETY: while someone has the store, compiled code does not run in it.
        unsafe { (*self.vm.get()).fuel = fuel }
    }

    /// Sets [`VmStoreCtx::epoch_deadline`].
    pub(crate) fn set_vm_epoch_deadline(&mut self, deadline: u64) {
        // SAFETY: while someone has the store, compiled code does not run in it.
        unsafe { (*self.vm.get()).epoch_deadline = deadline }
    }

    /// Keeps the module, and with it the code, and takes the trampolines that host functions lack.
    pub(crate) fn register_module(&mut self, module: &Module) {
        if self.modules.iter().rev().any(|known| Module::same(known, module)) {
            return;
        }
        self.modules.push(module.clone());
        if !self.holes.is_empty() {
            let funcs = &mut self.host_func_refs;
            self.holes.retain(|&hole| {
                let func = &mut funcs[hole as usize];
                func.prefix.code_base =
                    module.exit_trampoline(func.func_ref.type_hash).unwrap_or(0);
                func.prefix.code_base == 0
            });
        }
    }

    /// Whether a synchronous call is no more than a call: nobody is told of it, nothing in the store has to wait, and there
    /// is no fiber that could. Else it goes through [`StoreOpaque::synchronously`].
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.obstacles.is_empty()
    }

    /// Runs what a synchronous function of the API was asked for. On a fiber it runs as it does elsewhere, and cannot wait:
    /// what is on the stack above it need not be `Send`.
    ///
    /// # Errors
    /// If the store needs asynchronous calls; else as `run`.
    #[inline]
    pub(crate) fn synchronously<R>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<R>,
    ) -> Result<R> {
        if self.obstacles.has(Obstacle::Async) {
            return Err(needs_async());
        }
        let fiber = self.set_fiber(0);
        let result = run(self);
        if fiber != 0 {
            self.set_fiber(fiber);
        }
        result
    }

    /// Sets [`StoreOpaque::fiber`], and gives what it was.
    pub(crate) fn set_fiber(&self, fiber: usize) -> usize {
        set_fiber(&self.fiber, &self.obstacles, fiber)
    }

    /// Sets what is told when calls cross between the host and WebAssembly.
    pub(super) fn set_call_hook(&mut self, hook: AnyHook) {
        self.call_hook = Some(hook);
        self.obstacles.add(Obstacle::Hook);
    }

    // Functions.

    /// The type with this hash. All types of the store's functions are known to its engine.
    pub(crate) fn func_type(&self, hash: u64) -> FuncType {
        self.engine.types().get(hash).expect("types of functions are registered with the engine")
    }

    /// Puts a host function into the store.
    pub(crate) fn add_host_func(&mut self, func: Arc<HostFunc>) -> Func {
        if func.is_async() {
            self.obstacles.add(Obstacle::Async);
        }
        let func_ref = self.add_host_record(func.ty().hash(), func.record(0));
        self.host_funcs.push(func);
        func_ref
    }

    /// Makes a reference record for a host function that the store keeps already.
    fn add_host_record(&mut self, hash: u64, host: VmHostFunc) -> Func {
        let exit = self.modules.iter().find_map(|module| module.exit_trampoline(hash));
        if exit.is_none() {
            self.holes.push(self.host_func_refs.len() as u32);
        }
        let record = Box::new(VmHostFuncRef {
            func_ref: VmFuncRef {
                type_hash: hash,
                code_offset: 0,
                ctx_delta: core::mem::offset_of!(VmHostFuncRef, host) as i32,
            },
            prefix: VmCalleePrefix { code_base: exit.unwrap_or(0), store: self.vm_address() },
            host,
        });
        let func_ref = &raw const *record as u64;
        let ctx = &raw const record.host as u64;
        self.host_func_refs.push(record);
        Func { store: self.id, raw: RawFunc { ctx, code: 0, hash, func_ref } }
    }

    /// The function whose reference record is at `address`; `None` for null.
    pub(crate) fn func_at(&self, address: u64) -> Option<Func> {
        if address == 0 {
            return None;
        }
        // SAFETY: the file's contract: compiled code holds addresses of live records only.
        let record = unsafe { VmPtr::<VmFuncRef>::new(address) }.read();
        let ctx = address.wrapping_add_signed(record.ctx_delta.into());
        let code = match record.code_offset {
            // Host functions only: no code is at the very start of the module data.
            0 => 0,
            offset => {
                // SAFETY: a callee prefix lies below every context.
                let prefix = unsafe { VmPtr::<VmCalleePrefix>::new(ctx - PREFIX_BYTES) }.read();
                prefix.code_base.wrapping_add_signed(offset.into())
            }
        };
        let raw = RawFunc { ctx, code, hash: record.type_hash, func_ref: address };
        Some(Func { store: self.id, raw })
    }

    /// Address of the function's reference record.
    ///
    /// # Panics
    /// If the function belongs to another store.
    pub(crate) fn func_ref(&mut self, func: &Func) -> u64 {
        self.check(func.store);
        let raw = func.raw;
        if raw.func_ref != 0 {
            return raw.func_ref;
        }
        if let Some(&address) = self.bridges.get(&(raw.ctx, raw.code)) {
            return address;
        }
        let func = if raw.code == 0 {
            self.add_host_record(raw.hash, host_record(&raw))
        } else {
            // The bridge does not look at the host's data, so any type will do for it.
            self.add_host_func(Arc::new(HostFunc::bridge::<()>(self.func_type(raw.hash), raw)))
        };
        self.bridges.insert((raw.ctx, raw.code), func.raw.func_ref);
        func.raw.func_ref
    }

    /// What calling a function takes.
    ///
    /// # Errors
    /// If no module of the store has an entry trampoline for its type, which its own module does
    /// unless the function cannot be reached from outside.
    pub(crate) fn callee(&self, raw: &RawFunc) -> Result<Callee> {
        if raw.code == 0 {
            return Ok(Callee { ctx: raw.ctx, code: 0, entry: 0 });
        }
        let entry = self.modules.iter().find_map(|module| module.entry_trampoline(raw.hash));
        let entry = entry.ok_or_else(|| {
            anyhow!("no entry trampoline for function type {}", self.func_type(raw.hash))
        })?;
        Ok(Callee { ctx: raw.ctx, code: raw.code, entry })
    }

    /// What an untyped call needs to know of a function's type. It is taken out of the store, for the time of the call.
    ///
    /// # Errors
    /// As [`StoreOpaque::callee`].
    #[inline]
    pub(crate) fn take_known_type(&mut self, raw: &RawFunc) -> Result<KnownType> {
        match self.known_type.take() {
            Some(known) if known.is_of(raw) => Ok(known),
            _ => {
                let (ty, entry) = (self.func_type(raw.hash), self.callee(raw)?.entry);
                Ok(KnownType { hash: raw.hash, entry, numbers: NumberFunc::of(&ty), ty })
            }
        }
    }

    /// The same, and the entry trampoline, if the values are a few numbers.
    #[inline]
    pub(crate) fn known_numbers(&self, raw: &RawFunc) -> Option<(NumberFunc, u64)> {
        let known = self.known_type.as_ref().filter(|known| known.is_of(raw))?;
        Some((known.numbers?, known.entry))
    }

    /// Puts it back, for the next call of a function of this type.
    #[inline]
    pub(crate) fn keep_known_type(&mut self, known: KnownType) {
        self.known_type = Some(known);
    }

    /// What calling a function directly takes; `None` if that is not possible.
    pub(crate) fn direct_callee(&self, raw: &RawFunc, ways: DirectWays) -> Option<DirectCallee> {
        if raw.code == 0 {
            return None;
        }
        let entry = self.modules.iter().find_map(|module| module.direct_entry(raw.hash))?;
        let (unusual, raised) = (ways.unusual as u64, ways.raised as u64);
        let RawFunc { ctx, code, .. } = *raw;
        let (call, behind_gate) = match sys::gate::gate_for(&self.func_type(raw.hash)) {
            Some(Gate { address, adapter }) => (address, adapter.unwrap_or(code)),
            None => (unusual, code),
        };
        Some(DirectCallee { call, ctx, code, behind_gate, entry, unusual, raised })
    }

    // Memories, tables, globals.

    pub(crate) fn memory(&self, index: u32) -> &MemoryData {
        &self.memories[index as usize]
    }

    /// Whether `address` is one whose access faults because it is behind the end of a reserved memory of the store at
    /// `vm`. For the signal handler: allocates nothing.
    ///
    /// # Safety
    /// 1. `vm` is the address of a live store's [`VmStoreCtx`].
    /// 2. Compiled code runs in it on this thread, so that nobody changes the store meanwhile.
    #[cfg(feature = "std")]
    pub(crate) unsafe fn is_behind_memory(vm: *const VmStoreCtx, address: u64) -> bool {
        // A processor may name any byte of an access that begins before the end.
        const ACCESS_BYTES_MAX: u64 = 64;
        // SAFETY: the caller's promise; `StoreOpaque` starts with what `vm` is the address of.
        let memories = unsafe { &(*vm.cast::<StoreOpaque>()).memories };
        memories.iter().any(|memory| {
            let VmMemoryDefinition { base, length_bytes } = memory.definition.read();
            memory.addresses.guard_bytes().is_some_and(|guard_bytes| {
                let end = base + length_bytes;
                (end.saturating_sub(ACCESS_BYTES_MAX).max(base)
                    ..base + crate::memory::RESERVED_BYTES + guard_bytes)
                    .contains(&address)
            })
        })
    }

    pub(crate) fn memory_mut(&mut self, index: u32) -> &mut MemoryData {
        &mut self.memories[index as usize]
    }

    /// All tables.
    pub(super) fn tables(&self) -> &[TableData] {
        &self.tables
    }

    /// What the host's globals hold.
    pub(super) fn host_globals(&self) -> impl Iterator<Item = u64> + '_ {
        self.globals.iter().map(|global| u128::from_le_bytes(global.bytes) as u64)
    }

    /// How many memories there are.
    pub(crate) fn memory_count(&self) -> usize {
        self.memories.len()
    }

    /// How many memories and tables there are.
    pub(super) fn memory_and_table_count(&self) -> (usize, usize) {
        (self.memories.len(), self.tables.len())
    }

    pub(crate) fn push_memory(&mut self, data: MemoryData) -> Memory {
        self.memories.push(data);
        Memory { store: self.id, index: self.memories.len() as u32 - 1 }
    }

    pub(crate) fn table(&self, index: u32) -> &TableData {
        &self.tables[index as usize]
    }

    pub(crate) fn table_mut(&mut self, index: u32) -> &mut TableData {
        &mut self.tables[index as usize]
    }

    pub(crate) fn push_table(&mut self, data: TableData) -> Table {
        self.tables.push(data);
        Table { store: self.id, index: self.tables.len() as u32 - 1 }
    }

    /// A definition for a memory of the host's.
    pub(crate) fn add_memory_definition(&mut self) -> VmPtr<VmMemoryDefinition> {
        add(&mut self.memory_definitions)
    }

    /// A definition for a table of the host's.
    pub(crate) fn add_table_definition(&mut self) -> VmPtr<VmTableDefinition> {
        add(&mut self.table_definitions)
    }

    /// A slot for a global of the host's.
    pub(crate) fn add_global(&mut self) -> VmPtr<u64> {
        let slot = add(&mut self.globals);
        // SAFETY: the slot's first half.
        unsafe { VmPtr::new(slot.address()) }
    }

    // Instances.

    /// Room for one more instance, whose index spaces have as many memories and tables.
    ///
    /// # Errors
    /// [`crate::LoadError::OutOfMemory`].
    pub(crate) fn reserve(&mut self, memories: usize, tables: usize) -> Result<()> {
        reserve(&mut self.instances, 1)?;
        reserve(&mut self.modules, 1)?;
        reserve(&mut self.imports, 1)?;
        reserve(&mut self.memories, memories)?;
        reserve(&mut self.memory_indices, memories)?;
        reserve(&mut self.tables, tables)?;
        reserve(&mut self.table_indices, tables)?;
        Ok(())
    }

    /// How much there is of what an instantiation adds.
    pub(crate) fn extent(&self) -> Extent {
        Extent {
            instances: self.instances.len(),
            memories: self.memories.len(),
            tables: self.tables.len(),
            memory_indices: self.memory_indices.len(),
            table_indices: self.table_indices.len(),
        }
    }

    /// Drops what was added since [`StoreOpaque::extent`] gave `extent`, to which nothing refers yet. Slots are given
    /// back to the system, which may be short of memory.
    pub(crate) fn cut(&mut self, extent: Extent) {
        for instance in &mut self.instances[extent.instances..] {
            if let Some(slot) = instance.slot.take() {
                instance.module.discard(slot);
            }
        }
        self.instances.truncate(extent.instances);
        self.memories.truncate(extent.memories);
        self.tables.truncate(extent.tables);
        self.memory_indices.truncate(extent.memory_indices);
        self.table_indices.truncate(extent.table_indices);
    }

    /// Number of the instance with context `ctx`; `None` for 0.
    pub(crate) fn instance_of(&self, ctx: u64) -> Option<u32> {
        if ctx == 0 {
            return None;
        }
        // SAFETY: contexts in records are those of this store's instances.
        Some(unsafe { vmctx::instance_number(ctx) } as u32)
    }

    /// The export `name` of an instance.
    pub(crate) fn export(&self, instance: u32, name: &str) -> Option<Extern> {
        let data = self.instances[instance as usize].module.data();
        let (_, export) = data.export(name)?;
        let kind = ExternKind::from_u32(export.kind).expect("checked export kind");
        Some(self.item(instance, kind, export.index))
    }

    // Failure.

    /// Records a host function's error, for the entry trampoline's return.
    #[cold]
    pub(crate) fn record_error(&mut self, error: Error) {
        let error = match backtrace::capture(self) {
            Some(backtrace) if error.downcast_ref::<crate::WasmBacktrace>().is_none() => {
                error.context(backtrace)
            }
            _ => error,
        };
        self.raised = Some(Box::new(Raised::Error(error)));
    }

    /// Records a host function's panic, for the entry trampoline's return.
    #[cold]
    pub(crate) fn record_panic(&mut self, panic: Payload) {
        self.raised = Some(Box::new(Raised::Panic(PanicBox::new(panic))));
    }
}

/// Takes back what [`StoreOpaque::open_keys`] allowed: WebAssembly goes on, if it ran before. This may be another thread.
pub(crate) fn restrict_again(key: Option<Key>) {
    if let Some(key) = key {
        keys::restrict(key);
    }
}

#[cold]
fn needs_async() -> Error {
    anyhow!("store configuration requires that `*_async` functions are used instead")
}

const PREFIX_BYTES: u64 = size_of::<VmCalleePrefix>() as u64;

#[allow(clippy::vec_box, reason = "compiled code holds the addresses")]
fn add<R: Copy + Default>(records: &mut Vec<Box<R>>) -> VmPtr<R> {
    records.push(Box::default());
    let record = records.last_mut().expect("just added");
    // SAFETY: the box is never freed or borrowed before the store is dropped.
    unsafe { VmPtr::new(&raw mut **record as u64) }
}
