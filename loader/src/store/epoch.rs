//! Interruption: what happens when code has consumed its fuel, or the epoch has reached a store's deadline.
//!
//! # Safety
//!
//! [`StoreOpaque::out_of_fuel`] and [`StoreOpaque::new_epoch`] are called, through a builtin, by code that runs in the
//! store, with the store's address: nobody else uses the store then, and the host's callback may as host functions
//! may. While a call waits, no reference into the store is alive here. A callback for data `T` only gets into stores of `T`.
#![allow(unsafe_code, reason = "callbacks into the host from compiled code")]

#[cfg(feature = "async")]
use core::future::Future;
#[cfg(feature = "async")]
use core::pin::Pin;
#[cfg(feature = "async")]
use core::task::{Context, Poll};

use anyhow::Result;
#[cfg(feature = "async")]
use anyhow::anyhow;

use super::{Store, StoreContextMut, StoreInner, StoreOpaque};
#[cfg(feature = "async")]
use crate::fiber::FiberRef;
use crate::prelude::*;
use crate::trap::Trap;

/// What becomes of code whose store's deadline the epoch has reached.
#[non_exhaustive]
pub enum UpdateDeadline {
    /// It stops with [`Trap::Interrupt`].
    Interrupt,
    /// It goes on, until this many epochs after the current one.
    Continue(u64),
    /// It goes on, until this many epochs after the then current one, when the task's executor has run other tasks. If
    /// the call is not one of the `*_async` functions', it stops with an error.
    #[cfg(feature = "async")]
    Yield(u64),
    /// It goes on, until this many epochs after the then current one, when this future is ready. If the call is
    /// not one of the `*_async` functions', it stops with an error.
    #[cfg(feature = "async")]
    YieldCustom(u64, Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// A callback, given the address of its store.
pub(crate) type AtDeadline =
    Box<dyn FnMut(*mut StoreOpaque) -> Result<UpdateDeadline> + Send + Sync>;

impl StoreOpaque {
    /// What code does when the fuel it may consume is consumed.
    ///
    /// # Errors
    /// [`Trap::OutOfFuel`], or that the call was cancelled while it waited.
    ///
    /// # Safety
    /// 1. `store` is the address of a store in which compiled code runs, on this thread.
    pub(crate) unsafe fn out_of_fuel(store: *mut Self) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { &mut *store }.refuel()?;
        #[cfg(feature = "async")]
        {
            // SAFETY: the caller's promise.
            let opaque = unsafe { &*store };
            let fiber = FiberRef::current(opaque).filter(|_| opaque.yields_on_fuel());
            if let Some(fiber) = fiber {
                fiber.block_on(YieldNow::default())?;
            }
        }
        Ok(())
    }

    /// What code does when it finds the epoch at its deadline.
    ///
    /// # Errors
    /// [`Trap::Interrupt`], the callback's error, or that the call was cancelled while it waited.
    ///
    /// # Safety
    /// 1. `store` is the address of a store in which compiled code runs, on this thread.
    pub(crate) unsafe fn new_epoch(store: *mut Self) -> Result<()> {
        // SAFETY: the caller's promise.
        let callback = unsafe { &mut *store }.at_deadline.take();
        let (callback, update) = match callback {
            None => (None, Ok(UpdateDeadline::Interrupt)),
            Some(mut callback) => {
                let update = callback(store);
                (Some(callback), update)
            }
        };
        // SAFETY: the caller's promise.
        unsafe { &mut *store }.at_deadline = callback;
        let ticks = match update? {
            UpdateDeadline::Interrupt => return Err(Trap::Interrupt.into()),
            UpdateDeadline::Continue(ticks) => ticks,
            #[cfg(feature = "async")]
            UpdateDeadline::Yield(ticks) => {
                // SAFETY: the caller's promise.
                unsafe { wait(store, "Yield", YieldNow::default()) }?;
                ticks
            }
            #[cfg(feature = "async")]
            UpdateDeadline::YieldCustom(ticks, future) => {
                // SAFETY: the caller's promise.
                unsafe { wait(store, "YieldCustom", future) }?;
                ticks
            }
        };
        // SAFETY: the caller's promise.
        unsafe { &mut *store }.set_epoch_deadline(ticks);
        Ok(())
    }

    fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        if self.engine.config().interruption.epochs {
            let deadline = self.engine.current_epoch().saturating_add(ticks_beyond_current);
            self.set_vm_epoch_deadline(deadline);
        }
    }
}

/// Waits for `future` on the store's fiber.
///
/// # Safety
/// 1. `store` is the address of a store in which compiled code runs, on this thread.
#[cfg(feature = "async")]
unsafe fn wait(
    store: *mut StoreOpaque,
    variant: &str,
    future: impl Future<Output = ()>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let fiber = FiberRef::current(unsafe { &*store });
    let fiber = fiber.ok_or_else(|| {
        anyhow!("cannot use `UpdateDeadline::{variant}` without using an async wasm entrypoint")
    })?;
    fiber.block_on(future)
}

/// Is ready when it is polled for the second time.
#[cfg(feature = "async")]
#[derive(Default)]
struct YieldNow {
    has_yielded: bool,
}

#[cfg(feature = "async")]
impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if core::mem::replace(&mut self.has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<T: 'static> StoreInner<T> {
    fn epoch_deadline_callback(
        &mut self,
        mut callback: impl FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline>
        + Send
        + Sync
        + 'static,
    ) {
        self.opaque.at_deadline = Some(Box::new(move |store| {
            // SAFETY: the address of the store that this is kept in, which nobody else uses now; a `StoreInner` is where its
            // `StoreOpaque` is.
            callback(StoreContextMut(unsafe { &mut *store.cast::<StoreInner<T>>() }))
        }));
    }

    #[cfg(feature = "async")]
    fn epoch_deadline_async_yield_and_update(&mut self, delta: u64) {
        self.opaque.obstacles.add(super::Obstacle::Async);
        self.epoch_deadline_callback(move |_| Ok(UpdateDeadline::Yield(delta)));
    }
}

impl<T: 'static> Store<T> {
    /// Sets the deadline to this many epochs after the engine's current one ([`crate::Engine::increment_epoch`]). At first it is
    /// reached already.
    ///
    /// Code that comes to the beginning of a function or to the head of a loop when the epoch has reached the deadline stops
    /// with [`Trap::Interrupt`], or does what [`Store::epoch_deadline_callback`] says. Functions and loops that are certain to be
    /// over soon do not stop. Does nothing if the engine does not have [`crate::Config::epoch_interruption`].
    pub fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        self.inner.opaque.set_epoch_deadline(ticks_beyond_current);
    }

    /// Lets code stop with [`Trap::Interrupt`] at the deadline, as it does at first.
    pub fn epoch_deadline_trap(&mut self) {
        self.inner.opaque.at_deadline = None;
    }

    /// Lets `callback` decide what becomes of code at the deadline. With its error, code stops.
    pub fn epoch_deadline_callback(
        &mut self,
        callback: impl FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline> + Send + Sync + 'static,
    ) {
        self.inner.epoch_deadline_callback(callback);
    }

    /// Lets asynchronous calls yield to their executor at the deadline, and go on until `delta` epochs after the then current one.
    /// From then on the store's functions are called with the `*_async` functions only.
    #[cfg(feature = "async")]
    pub fn epoch_deadline_async_yield_and_update(&mut self, delta: u64) {
        self.inner.epoch_deadline_async_yield_and_update(delta);
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// See [`Store::set_epoch_deadline`].
    pub fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        self.0.opaque.set_epoch_deadline(ticks_beyond_current);
    }

    /// See [`Store::epoch_deadline_trap`].
    pub fn epoch_deadline_trap(&mut self) {
        self.0.opaque.at_deadline = None;
    }

    /// See [`Store::epoch_deadline_callback`].
    pub fn epoch_deadline_callback(
        &mut self,
        callback: impl FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline> + Send + Sync + 'static,
    ) {
        self.0.epoch_deadline_callback(callback);
    }

    /// See [`Store::epoch_deadline_async_yield_and_update`].
    #[cfg(feature = "async")]
    pub fn epoch_deadline_async_yield_and_update(&mut self, delta: u64) {
        self.0.epoch_deadline_async_yield_and_update(delta);
    }
}
