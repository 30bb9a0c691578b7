//! Host functions, and how compiled code calls them.
//!
//! # Safety
//!
//! Compiled code, or the loader in its place, calls in with a [`VmHostFunc`] that
//! [`HostFunc::record`] filled, below which lies a prefix with the address of the store (which is that of its
//! [`StoreInner`]), and with as many value slots as the larger of parameters and results. A host
//! function for data `T` only gets into stores of `T`: that is what the types of [`crate::Linker`], [`crate::Func::wrap`] and
//! [`crate::Func::new`] see to. While a host function runs, the borrow of the store from which wasm was
//! entered is not used.
#![allow(unsafe_code, reason = "compiled code calls in with raw pointers")]

use core::any::Any;
use core::marker::PhantomData;

use anyhow::{Error, Result, bail};
use aotc_abi::vmctx::{VmHostFunc, VmStoreCtx, VmValue};

use super::direct::{self, DirectClosure, DirectParams};
use super::{Caller, RawFunc};
use crate::call::{self, DirectReturn};
use crate::prelude::*;
use crate::store::{CallHook, StoreContextMut, StoreInner, StoreOpaque, restrict_again};
use crate::types::FuncType;
use crate::unwind::{self, Payload};
use crate::value::Val;
use crate::vmctx::{self, VmPtr};

/// A host function, not bound to a store.
pub struct HostFunc {
    ty: FuncType,
    /// [`VmHostFunc::call`].
    call: u64,
    array_call: ArrayCall,
    /// Whether it may have to wait.
    is_async: bool,
    closure: Box<dyn Any + Send + Sync>,
}

/// [`VmHostFunc::array_call`].
pub(super) type ArrayCall = unsafe extern "C" fn(*mut VmHostFunc, *mut VmValue) -> u32;

/// A closure over value slots, with the number of slots it needs.
pub(crate) struct SlotClosure<T, F> {
    slots: usize,
    closure: F,
    data: PhantomData<fn(T)>,
}

impl<T: 'static, F> SlotClosure<T, F>
where
    F: Fn(Caller<'_, T>, &mut [VmValue]) -> Result<()> + Send + Sync + 'static,
{
    /// `slots` is the larger of the numbers of parameters and results.
    pub(crate) fn new(slots: usize, closure: F) -> Self {
        Self { slots, closure, data: PhantomData }
    }
}

impl HostFunc {
    /// A function of type `ty` over the slots of an array call.
    pub(crate) fn over_slots<T: 'static, F>(ty: FuncType, closure: SlotClosure<T, F>) -> Self
    where
        F: Fn(Caller<'_, T>, &mut [VmValue]) -> Result<()> + Send + Sync + 'static,
    {
        let array_call: ArrayCall = enter_slot_closure::<T, F>;
        let call = direct::collector(&ty).unwrap_or(array_call as *const () as u64);
        Self { ty, call, array_call, is_async: false, closure: Box::new(closure) }
    }

    /// A function of type `ty`, which can be called directly, over the bits of its `Bits` parameters.
    pub(super) fn over_bits<T, Bits, F>(ty: FuncType, closure: F) -> Self
    where
        T: 'static,
        Bits: DirectParams,
        F: DirectClosure<T, Bits>,
    {
        debug_assert!(direct::has_direct_calls(&ty));
        let (call, array_call) = (Bits::enter::<T, F>(), Bits::spread(ty.results().len()));
        Self { ty, call, array_call, is_async: false, closure: Box::new(closure) }
    }

    /// A function of type `ty` over [`Val`]s.
    pub(crate) fn dynamic<T: 'static>(
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        let slots = ty.params().len().max(ty.results().len());
        let closure_ty = ty.clone();
        let closure = move |mut caller: Caller<'_, T>, slots: &mut [VmValue]| {
            let ty = &closure_ty;
            let params = ty.params().len();
            let store = &mut caller.store.0.opaque;
            let mut values: Vec<Val> = ty
                .params()
                .zip(&*slots)
                .map(|(ty, slot)| Val::from_slot(slot, ty, store))
                .collect();
            values.extend(ty.results().filter_map(|ty| Val::default_for_ty(&ty)));
            let (params, results) = values.split_at_mut(params);
            let ctx = caller.ctx;
            func(Caller { store: caller.as_context_mut(), ctx }, params, results)?;
            let store = &mut caller.store.0.opaque;
            for ((result, slot), ty) in results.iter().zip(slots).zip(ty.results()) {
                let found = result.val_type();
                if found != ty {
                    bail!(
                        "function attempted to return an incompatible value: expected {ty}, found {found}"
                    );
                }
                result.to_slot(store, slot);
            }
            Ok(())
        };
        Self::over_slots(ty, SlotClosure::new(slots, closure))
    }

    /// A host function that calls a function of the store: for those without a reference record.
    pub(crate) fn bridge<T: 'static>(ty: FuncType, func: RawFunc) -> Self {
        let slots = ty.params().len().max(ty.results().len());
        let closure = move |caller: Caller<'_, T>, slots: &mut [VmValue]| {
            let store = &mut caller.store.0.opaque;
            let callee = store.callee(&func)?;
            call::call(store, callee, slots)
        };
        Self::over_slots(ty, SlotClosure::new(slots, closure))
    }

    /// The same function, known to be one that may have to wait.
    #[cfg(feature = "async")]
    pub(super) fn asynchronous(self) -> Self {
        Self { is_async: true, ..self }
    }

    /// Whether it may have to wait.
    pub(crate) fn is_async(&self) -> bool {
        self.is_async
    }

    /// The type.
    pub(crate) fn ty(&self) -> &FuncType {
        &self.ty
    }

    /// What compiled code needs to call it on behalf of the instance with context `caller`, or 0. Valid as long as `self`.
    #[inline]
    pub(crate) fn record(&self, caller: u64) -> VmHostFunc {
        let data = &raw const *self.closure;
        let (call, array_call) = (self.call, self.array_call as *const () as u64);
        VmHostFunc { call, data: data.cast::<()>() as u64, caller, array_call }
    }
}

/// The record of a host function of a store.
pub(crate) fn host_record(func: &RawFunc) -> VmHostFunc {
    assert_eq!(func.code, 0, "expected a host function");
    // SAFETY: without code a function is the host's, and its context its record, alive like the store.
    unsafe { VmPtr::<VmHostFunc>::new(func.ctx) }.read()
}

/// Calls a host function as compiled code does.
///
/// # Safety
/// `host` is the address of a filled [`VmHostFunc`] with its prefix below, and `values` has the slots
/// that the function's type needs.
pub(crate) unsafe fn call_host(host: u64, values: *mut VmValue) -> u32 {
    let host = host as *mut VmHostFunc;
    // SAFETY: the caller's promise: `host.array_call` is an `ArrayCall`, to be called with these.
    unsafe {
        let call: ArrayCall = core::mem::transmute((*host).array_call as *const ());
        call(host, values)
    }
}

/// Calls a host function between two events of the call hook. It may touch all memories; who called it, what it could before.
fn with_hook<T: 'static>(
    store: &mut StoreInner<T>,
    call: impl FnOnce(&mut StoreInner<T>) -> Result<u64>,
) -> Result<u64> {
    let key = store.opaque.open_keys();
    let between = |store: &mut StoreInner<T>| {
        store.opaque.tell(CallHook::CallingHost)?;
        let result = call(store);
        store.opaque.tell(CallHook::ReturningFromHost)?;
        result
    };
    let result = between(store);
    restrict_again(key);
    result
}

unsafe extern "C" fn enter_slot_closure<T, F>(host: *mut VmHostFunc, values: *mut VmValue) -> u32
where
    T: 'static,
    F: Fn(Caller<'_, T>, &mut [VmValue]) -> Result<()> + Send + Sync + 'static,
{
    let run = |closure: &SlotClosure<T, F>, caller: Caller<'_, T>| {
        let slots: &mut [VmValue] = match closure.slots {
            0 => &mut [],
            // SAFETY: the file's contract; the slots are the callee's alone until it returns.
            count => unsafe { core::slice::from_raw_parts_mut(values, count) },
        };
        (closure.closure)(caller, slots).map(|()| 0)
    };
    // SAFETY: the file's contract, and this is put into the record of such a closure.
    let returned = unsafe {
        if has_call_hook(host) {
            run_closure_with_hook(host, run)
        } else {
            run_closure(host, Roots::MayBeMade, run)
        }
    };
    returned.status as u32
}

/// Whether a call of a host function may make roots: handles that it is given are roots until it returns.
#[derive(Clone, Copy)]
pub(super) enum Roots {
    /// It has a [`Caller`], or a handle among its parameters.
    MayBeMade,
    /// It knows nothing of the store.
    None,
}

/// Whether somebody is told of calls of this host function.
///
/// # Safety
/// `host` has its prefix below, and nothing else uses its store now.
#[inline]
pub(super) unsafe fn has_call_hook(host: *const VmHostFunc) -> bool {
    // SAFETY: the caller's promise; a store's address is that of its first field.
    unsafe { (*store_of(host).cast::<StoreOpaque>()).has_call_hook() }
}

/// Calls a host function's closure through `run`, which gives the bits of the result. What it returned or raised is the
/// host function's. Nobody is told of it.
///
/// # Safety
/// `host` is filled, with its prefix below, its data is a `C`, and its store, which is of `T`, is used by nothing else now.
#[inline(always)]
pub(super) unsafe fn run_closure<T: 'static, C>(
    host: *mut VmHostFunc,
    roots: Roots,
    run: impl FnOnce(&C, Caller<'_, T>) -> Result<u64>,
) -> DirectReturn {
    // SAFETY: the caller's promise; `record` put the closure's address there.
    unsafe {
        let store = store_of(host).cast::<StoreInner<T>>();
        let closure = &*((*host).data as *const C);
        let ctx = (*host).caller;
        let run = |store: &mut _| run(closure, Caller { store: StoreContextMut(store), ctx });
        run_caught(store, roots, run)
    }
}

/// As [`run_closure`], between two events of the call hook.
///
/// # Safety
/// As [`run_closure`].
#[inline]
pub(super) unsafe fn run_closure_with_hook<T: 'static, C>(
    host: *mut VmHostFunc,
    run: impl FnOnce(&C, Caller<'_, T>) -> Result<u64>,
) -> DirectReturn {
    let run = |closure: &C, caller: Caller<'_, T>| {
        let ctx = caller.ctx;
        let run = |store: &mut _| run(closure, Caller { store: StoreContextMut(store), ctx });
        with_hook(caller.store.0, run)
    };
    // SAFETY: the caller's promise.
    unsafe { run_closure(host, Roots::MayBeMade, run) }
}

/// The store of a host function.
///
/// # Safety
/// `host` has its prefix below.
#[inline]
pub(super) unsafe fn store_of(host: *const VmHostFunc) -> *mut VmStoreCtx {
    // SAFETY: the caller's promise.
    unsafe { vmctx::store_address(host as u64) as *mut VmStoreCtx }
}

/// Runs what a host function does, and catches its panic.
///
/// # Safety
/// `store` is a store that nothing else uses now.
#[inline(always)]
unsafe fn run_caught<T: 'static>(
    store: *mut StoreInner<T>,
    roots: Roots,
    run: impl FnOnce(&mut StoreInner<T>) -> Result<u64>,
) -> DirectReturn {
    // SAFETY: the caller's promise, three times: what borrowed the store has ended each time.
    unsafe {
        let root_count = match roots {
            Roots::MayBeMade => Some((*store).opaque.extern_refs.root_count()),
            Roots::None => None,
        };
        match unwind::catch(|| run(&mut *store)) {
            Ok(Ok(result)) => {
                if let Some(count) = root_count {
                    (*store).opaque.extern_refs.unroot(count);
                }
                DirectReturn { result, status: 0 }
            }
            Ok(Err(error)) => raise(&mut (*store).opaque, root_count, Ok(error)),
            Err(panic) => raise(&mut (*store).opaque, root_count, Err(panic)),
        }
    }
}

/// Records a host function's error or panic.
#[cold]
#[inline(never)]
fn raise(
    store: &mut StoreOpaque,
    root_count: Option<usize>,
    reason: Result<Error, Payload>,
) -> DirectReturn {
    if let Some(count) = root_count {
        store.extern_refs.unroot(count);
    }
    match reason {
        Ok(error) => store.record_error(error),
        Err(panic) => store.record_panic(panic),
    }
    direct::raised(store.vm.get())
}
