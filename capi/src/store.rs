//! Stores: `wasm_store_t`, and how the functions of C get at one.
//!
//! Objects of C have a handle of their store, so that the functions need no argument for it. A host function is
//! called while its store is in use, and calls functions with the same handle; what it may use then is what the
//! loader gave it. So a cell knows what to borrow from now:
//!
//! ```text
//!   Current::Root ──────> Store<Data>
//!   wasm_func_call ─ with ─ borrows it ─ loader ─ wasm ─ loader ─ host function of C
//!                                                                     Current::Caller ──> its Caller
//!                                                                     wasm_func_call ─ with ─ borrows that ...
//! ```
//!
//! # Safety
//!
//! [`StoreCell::with`] borrows what [`StoreCell::current`] says. While something is borrowed, nobody borrows the
//! same again, since C code runs only below [`StoreCell::enter`], which makes another thing current that is
//! borrowed from the former. Finalizers do not use the store: the header's rule. One thread at a time uses a
//! store: the crate's contract.

use alloc::sync::{Arc, Weak};
use core::cell::{Cell, UnsafeCell};
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use aotc_loader::{
    AsContextMut, Caller, Engine, Store, StoreContextMut, StoreLimits, StoreLimitsBuilder,
    UpdateDeadline,
};

use crate::engine::wasm_engine_t;
use crate::error::{Failure, shield, shield_or};
use crate::host_infos::HostInfos;
use crate::object::HostInfo;
use crate::prelude::*;

/// A store's data.
pub(crate) struct Data {
    /// The store's own cell.
    cell: Weak<StoreCell>,
    pub(crate) host: HostInfo,
    pub(crate) host_infos: HostInfos,
    limits: StoreLimits,
    #[cfg(feature = "wasi")]
    pub(crate) wasi: Option<aotc_wasi::WasiCtx>,
}

pub(crate) type Context<'a> = StoreContextMut<'a, Data>;

/// A store that its objects share.
pub(crate) struct StoreCell {
    store: UnsafeCell<Store<Data>>,
    engine: Engine,
    current: Cell<Current>,
}

// SAFETY: the crate's contract: one thread at a time uses a store and what belongs to it.
unsafe impl Send for StoreCell {}
// SAFETY: as above.
unsafe impl Sync for StoreCell {}

/// What of a store can be borrowed.
#[derive(Clone, Copy)]
pub(crate) enum Current {
    /// The store.
    Root,
    /// What a host function was called with.
    Caller(NonNull<Caller<'static, Data>>),
    /// What a callback was called with.
    Context(NonNull<Context<'static>>),
}

impl StoreCell {
    fn new(engine: &Engine, host: HostInfo) -> Arc<Self> {
        let engine = engine.clone();
        Arc::new_cyclic(|cell| {
            let data = Data {
                cell: cell.clone(),
                host,
                host_infos: HostInfos::default(),
                limits: StoreLimits::default(),
                #[cfg(feature = "wasi")]
                wasi: None,
            };
            let store = UnsafeCell::new(Store::new(&engine, data));
            Self { store, engine, current: Cell::new(Current::Root) }
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Calls `body` with the store.
    #[inline]
    pub(crate) fn with<R>(&self, body: impl FnOnce(Context<'_>) -> R) -> R {
        let mut current = self.current.get();
        // SAFETY: the file's contract.
        let context = unsafe {
            match &mut current {
                Current::Root => (&mut *self.store.get()).as_context_mut(),
                Current::Caller(caller) => caller.as_mut().as_context_mut(),
                Current::Context(context) => context.as_mut().as_context_mut(),
            }
        };
        body(context)
    }

    /// Makes `current` current until what is given back is dropped.
    pub(crate) fn enter(&self, current: Current) -> Entered<'_> {
        Entered { cell: self, before: self.current.replace(current) }
    }
}

/// Restores what was current before.
pub(crate) struct Entered<'a> {
    cell: &'a StoreCell,
    before: Current,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.cell.current.set(self.before);
    }
}

impl Data {
    /// The store's cell.
    pub(crate) fn cell(&self) -> Arc<StoreCell> {
        self.cell.upgrade().expect("a store that is in use")
    }

    /// The address of the cell, which is alive as long as the store is in use.
    pub(crate) fn cell_ptr(&self) -> *const StoreCell {
        self.cell.as_ptr()
    }
}

/// A handle of a store.
#[derive(Clone)]
#[repr(transparent)]
pub(crate) struct wasm_store_t(pub(crate) Arc<StoreCell>);

/// `aotc_limits_t`; [`usize::MAX`] for no limit.
#[repr(C)]
pub(crate) struct aotc_limits_t {
    pub(crate) memory_bytes: usize,
    pub(crate) table_elements: usize,
    pub(crate) instances: usize,
    pub(crate) tables: usize,
    pub(crate) memories: usize,
    pub(crate) trap_on_grow_failure: bool,
}

#[unsafe(no_mangle)]
extern "C" fn wasm_store_new(engine: &wasm_engine_t) -> Option<Box<wasm_store_t>> {
    aotc_store_new(engine, ptr::null_mut(), None)
}

#[unsafe(no_mangle)]
extern "C" fn wasm_store_delete(store: Option<Box<wasm_store_t>>) {
    drop(store);
}

#[unsafe(no_mangle)]
extern "C" fn aotc_store_new(
    engine: &wasm_engine_t,
    data: *mut c_void,
    finalizer: Option<extern "C" fn(*mut c_void)>,
) -> Option<Box<wasm_store_t>> {
    shield_or(None, || {
        let cell = StoreCell::new(engine.engine(), HostInfo::new(data, finalizer));
        Ok(Some(Box::new(wasm_store_t(cell))))
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_store_data(store: &wasm_store_t) -> *mut c_void {
    store.0.with(|store| store.data().host.data())
}

#[unsafe(no_mangle)]
extern "C" fn aotc_store_set_data(
    store: &wasm_store_t,
    data: *mut c_void,
    finalizer: Option<extern "C" fn(*mut c_void)>,
) {
    let info = HostInfo::new(data, finalizer);
    drop(store.0.with(|mut store| core::mem::replace(&mut store.data_mut().host, info)));
}

#[unsafe(no_mangle)]
extern "C" fn aotc_store_limit(store: &wasm_store_t, limits: &aotc_limits_t) -> Failure {
    let mut builder = StoreLimitsBuilder::new().trap_on_grow_failure(limits.trap_on_grow_failure);
    if limits.memory_bytes != usize::MAX {
        builder = builder.memory_size(limits.memory_bytes);
    }
    if limits.table_elements != usize::MAX {
        builder = builder.table_elements(limits.table_elements);
    }
    let builder = builder.instances(limits.instances);
    let built = builder.tables(limits.tables).memories(limits.memories).build();
    shield(|| {
        // Counts are read when the limiter is set, which only the store itself can.
        let Current::Root = store.0.current.get() else {
            anyhow::bail!("limits cannot be set while code of the store is running");
        };
        // SAFETY: the file's contract: nothing is borrowed, since the root is what is current and no `with` runs.
        let store = unsafe { &mut *store.0.store.get() };
        store.data_mut().limits = built;
        store.limiter(|data| &mut data.limits);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_store_set_fuel(store: &wasm_store_t, fuel: u64) -> Failure {
    shield(|| store.0.with(|mut store| store.set_fuel(fuel)))
}

#[unsafe(no_mangle)]
extern "C" fn aotc_store_fuel(store: &wasm_store_t, fuel: &mut MaybeUninit<u64>) -> Failure {
    fuel.write(0);
    shield(|| {
        fuel.write(store.0.with(|store| store.get_fuel())?);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn aotc_store_set_epoch_deadline(store: &wasm_store_t, epochs: u64) {
    store.0.with(|mut store| store.set_epoch_deadline(epochs));
}

#[unsafe(no_mangle)]
extern "C" fn aotc_store_epoch_deadline_trap(store: &wasm_store_t) {
    store.0.with(|mut store| store.epoch_deadline_trap());
}

/// `aotc_epoch_callback_t`.
type EpochCallback = extern "C" fn(*mut c_void, &wasm_store_t, &mut u64) -> Failure;

#[unsafe(no_mangle)]
extern "C" fn aotc_store_epoch_deadline_callback(
    store: &wasm_store_t,
    callback: EpochCallback,
    env: *mut c_void,
    finalizer: Option<extern "C" fn(*mut c_void)>,
) {
    let env = HostInfo::new(env, finalizer);
    let at_deadline = move |mut context: Context<'_>| {
        let store = wasm_store_t(context.data().cell());
        let current = Current::Context(NonNull::from(&mut context).cast());
        let mut epochs = 0;
        let entered = store.0.enter(current);
        let failure = callback(env.data(), &store, &mut epochs);
        drop(entered);
        match failure {
            None => Ok(UpdateDeadline::Continue(epochs)),
            Some(error) => Err(error.into_error()),
        }
    };
    store.0.with(|mut store| store.epoch_deadline_callback(at_deadline));
}

#[unsafe(no_mangle)]
extern "C" fn aotc_store_gc(store: &wasm_store_t) {
    store.0.with(|mut store| store.gc(None));
}
