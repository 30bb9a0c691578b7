//! Asynchronous calls, and host functions that wait.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future;
use core::pin::Pin;

use anyhow::{Context, Result};
use aotc_abi::vmctx::VmValue;

use super::host::{HostFunc, SlotClosure};
use super::typed::sealed::Results;
use super::{Caller, Func, TypedFunc, WasmParams, WasmResults, WasmRet};
use crate::engine::Engine;
use crate::fiber::{FiberRef, on_fiber};
use crate::store::{AsContextMut, StoreOpaque};
use crate::types::FuncType;
use crate::value::Val;

/// Parameters of a host function that waits: a tuple of up to 17 [`crate::WasmTy`].
pub trait WasmTyList: WasmResults {}

impl HostFunc {
    /// A function over Rust types whose result is waited for.
    pub(crate) fn wrap_async<T, F, Params, R>(engine: &Engine, func: F) -> Self
    where
        T: 'static,
        F: for<'a> Fn(Caller<'a, T>, Params) -> Box<dyn Future<Output = R> + Send + 'a>
            + Send
            + Sync
            + 'static,
        Params: WasmTyList + 'static,
        R: WasmRet + 'static,
    {
        let ty = FuncType::new(engine, <Params as Results>::types(), R::types());
        let closure = move |mut caller: Caller<'_, T>, slots: &mut [VmValue]| {
            let ctx = caller.ctx;
            let store = &mut caller.store.0.opaque;
            let fiber = fiber(store)?;
            let params = Params::from_slots(slots, store);
            let future = func(Caller { store: caller.as_context_mut(), ctx }, params);
            let result = fiber.block_on(Pin::from(future))?;
            result.to_slots(&mut caller.store.0.opaque, slots)
        };
        let slots = usize::max(<Params as Results>::COUNT, R::COUNT);
        Self::over_slots(ty, SlotClosure::new(slots, closure)).asynchronous()
    }

    /// A function over [`Val`]s that is waited for.
    pub(crate) fn dynamic_async<T, F>(ty: FuncType, func: F) -> Self
    where
        T: 'static,
        F: for<'a> Fn(
                Caller<'a, T>,
                &'a [Val],
                &'a mut [Val],
            ) -> Box<dyn Future<Output = Result<()>> + Send + 'a>
            + Send
            + Sync
            + 'static,
    {
        let closure = move |caller: Caller<'_, T>, params: &[Val], results: &mut [Val]| {
            let fiber = fiber(&caller.store.0.opaque)?;
            fiber.block_on(Pin::from(func(caller, params, results)))?
        };
        Self::dynamic(ty, closure).asynchronous()
    }
}

fn fiber(store: &StoreOpaque) -> Result<FiberRef> {
    FiberRef::current(store).context(
        "an asynchronous host function was called by a synchronous one, or from a synchronous call: use the `*_async` functions",
    )
}

impl Func {
    /// A host function of type `ty` that takes and gives [`Val`]s, and may wait. From then on the store's functions are
    /// called with [`Func::call_async`] only.
    pub fn new_async<T: Send + 'static, F>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        func: F,
    ) -> Self
    where
        F: for<'a> Fn(
                Caller<'a, T>,
                &'a [Val],
                &'a mut [Val],
            ) -> Box<dyn Future<Output = Result<()>> + Send + 'a>
            + Send
            + Sync
            + 'static,
    {
        let store = &mut store.as_context_mut().0.opaque;
        store.add_host_func(Arc::new(HostFunc::dynamic_async(ty, func)))
    }

    /// A host function from a closure whose result is waited for; its type follows from the closure's. From then on the
    /// store's functions are called with [`Func::call_async`] only.
    pub fn wrap_async<T: Send + 'static, F, Params, R>(
        mut store: impl AsContextMut<Data = T>,
        func: F,
    ) -> Self
    where
        F: for<'a> Fn(Caller<'a, T>, Params) -> Box<dyn Future<Output = R> + Send + 'a>
            + Send
            + Sync
            + 'static,
        Params: WasmTyList + 'static,
        R: WasmRet + 'static,
    {
        let store = &mut store.as_context_mut().0.opaque;
        let func = HostFunc::wrap_async(&store.engine, func);
        store.add_host_func(Arc::new(func))
    }

    /// Calls the function on a stack of its own, so that host functions can wait.
    ///
    /// Dropping the future before it is ready ends the call: what it waits for gets an error, and so does whoever calls
    /// that, up to here.
    ///
    /// # Errors
    /// As [`Func::call`], and if there is no memory for a stack.
    ///
    /// # Panics
    /// As [`Func::call`].
    pub async fn call_async(
        &self,
        mut store: impl AsContextMut<Data: Send>,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let func = *self;
        let store = store.as_context_mut().0;
        store.opaque.check(self.store);
        on_fiber(store, move |store| func.call_here(&mut store.opaque, params, results)).await?
    }
}

impl<Params: WasmParams, Results: WasmResults> TypedFunc<Params, Results> {
    /// Calls the function on a stack of its own, so that host functions can wait. See [`Func::call_async`].
    ///
    /// # Errors
    /// As [`TypedFunc::call`], and if there is no memory for a stack.
    ///
    /// # Panics
    /// As [`TypedFunc::call`].
    pub async fn call_async(
        &self,
        mut store: impl AsContextMut<Data: Send>,
        params: Params,
    ) -> Result<Results> {
        let func = *self;
        let store = store.as_context_mut().0;
        store.opaque.check(self.func().store);
        on_fiber(store, move |store| func.call_here(&mut store.opaque, params)).await?
    }
}
