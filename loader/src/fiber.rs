//! Fibers: calls that can be suspended, which is what asynchronous calls are made of.
//!
//! ```text
//!   task's stack                      fiber's stack
//!   poll ── resume ──────────────────> call() ── wasm ── host function ── block_on
//!    '── Pending <── suspend ──────────────────────────────────────────────'  its future is pending
//!   poll ── resume ──────────────────────────────────────────────────────> ... polls it again
//!    '── Ready <────── returns ─── call() <── wasm <── host function <──────'
//! ```
//!
//! A [`FiberFuture`] owns a stack and runs an ordinary synchronous call on it. What must wait does so in [`block_on`],
//! which suspends the whole stack; it goes on when the future is polled again, on whatever thread. A thread's
//! activations on the fiber go with it ([`crate::sys::thread::enter_fiber`]).
//!
//! A future that is dropped before it is ready cancels its fiber: the fiber is resumed once more, and from then on
//! [`block_on`] fails at once, so host functions return the error, compiled code is left as by any error of the host, and
//! every value on the stack is dropped. No stack is ever unwound by force.
//!
//! # Safety
//!
//! What runs on a fiber borrows the store, and the [`FiberFuture`] has that borrow for its own lifetime; while the fiber is
//! suspended nobody uses it. The store knows its current fiber by the address of a [`Shared`], which is set while, and only
//! while, the fiber runs. A fiber that has begun has ended when its future is gone: `drop` sees to it. (A future
//! that is forgotten leaks its stack with everything on it.) Values on a fiber's stack move between threads with it: the
//! functions that make one ask for the data to be `Send`; the frames between are the loader's and compiled code's.
#![allow(unsafe_code, reason = "stacks that are switched")]

use alloc::boxed::Box;
use core::any::Any;
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::pin::{Pin, pin};
use core::ptr;
use core::task::{Context, Poll};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use anyhow::Result;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::engine::Engine;
use crate::store::{StoreInner, StoreOpaque, set_fiber};
use crate::sys::{FiberStack, thread};

/// What the code on a fiber needs of it.
pub(crate) struct Shared {
    /// How to suspend it; null until it runs.
    yielder: Cell<*const Yielder<(), ()>>,
    /// The task that polls; null when the fiber is cancelled.
    context: Cell<*mut Context<'static>>,
}

/// The call was dropped before it was ready. What waits on its fiber gets this error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the asynchronous call was cancelled")
    }
}

impl core::error::Error for Cancelled {}

/// The fiber on which the caller runs.
#[derive(Clone, Copy)]
pub(crate) struct FiberRef(*const Shared);

impl FiberRef {
    /// The store's current fiber, if something of the store runs on one now.
    pub(crate) fn current(store: &StoreOpaque) -> Option<Self> {
        let shared = store.fiber.get();
        (shared != 0).then_some(Self(shared as *const Shared))
    }

    /// Waits until `future` is ready, without keeping the thread.
    ///
    /// # Errors
    /// If the call that made the fiber was dropped.
    pub(crate) fn block_on<F: Future>(self, future: F) -> Result<F::Output> {
        let mut future = pin!(future);
        loop {
            // SAFETY: the file's contract: this runs on the fiber, so its future is alive.
            let shared = unsafe { &*self.0 };
            let context = shared.context.get();
            if context.is_null() {
                return Err(Cancelled.into());
            }
            // SAFETY: the context of the `poll` that resumed the fiber, which has not returned.
            if let Poll::Ready(output) = future.as_mut().poll(unsafe { &mut *context }) {
                return Ok(output);
            }
            // SAFETY: the fiber's own, which is set as long as the fiber runs.
            unsafe { &*shared.yielder.get() }.suspend(());
        }
    }
}

/// Runs `run` on a fiber of its own.
///
/// # Errors
/// If there is no stack for it.
///
/// # Panics
/// With the panic of `run`.
pub(crate) async fn on_fiber<T, R>(
    store: &mut StoreInner<T>,
    run: impl FnOnce(&mut StoreInner<T>) -> R + Send,
) -> Result<R>
where
    T: Send + 'static,
    R: Send,
{
    Ok(FiberFuture::new(store, run)?.await)
}

type Outcome<R> = Result<R, Box<dyn Any + Send>>;

/// A fiber that runs a call in a store.
struct FiberFuture<'a, R> {
    /// `None` when it has ended.
    coroutine: Option<Coroutine<(), (), Outcome<R>, Box<FiberStack>>>,
    shared: Box<Shared>,
    store: *const StoreOpaque,
    engine: Engine,
    thread: thread::FiberState,
    borrow: PhantomData<&'a mut ()>,
}

// SAFETY: what is on the stack is `Send`, as the file's contract says; the rest are addresses of what the future owns
// or has borrowed.
unsafe impl<R: Send> Send for FiberFuture<'_, R> {}

impl<R> Unpin for FiberFuture<'_, R> {}

impl<'a, R> FiberFuture<'a, R> {
    fn new<T: Send + 'static>(
        store: &'a mut StoreInner<T>,
        run: impl FnOnce(&mut StoreInner<T>) -> R + Send + 'a,
    ) -> Result<Self> {
        let engine = store.opaque.engine.clone();
        let stack = engine.take_stack()?;
        let low = stack.low();
        let store: *mut StoreInner<T> = store;
        let shared = Box::new(Shared {
            yielder: Cell::new(ptr::null()),
            context: Cell::new(ptr::null_mut()),
        });
        let shared_at: *const Shared = &raw const *shared;
        let body = move |yielder: &Yielder<(), ()>, ()| {
            // SAFETY: the future, which owns it, is alive while the fiber runs.
            unsafe { &*shared_at }.yielder.set(yielder);
            // SAFETY: the borrow that the future has for as long as it lives.
            catch_unwind(AssertUnwindSafe(|| run(unsafe { &mut *store })))
        };
        // SAFETY: what the body borrows outlives the future, which drives the coroutine to its end before it is gone.
        let coroutine = unsafe { Coroutine::with_stack_unchecked(stack, body) };
        Ok(Self {
            coroutine: Some(coroutine),
            shared,
            // SAFETY: a place in the store, which nobody else uses.
            store: unsafe { &raw const (*store).opaque },
            engine,
            thread: thread::FiberState::new(low),
            borrow: PhantomData,
        })
    }

    /// Runs the fiber until it suspends (`None`) or ends.
    fn resume(&mut self, context: *mut Context<'static>) -> Option<Outcome<R>> {
        let coroutine = self.coroutine.as_mut().expect("a future is not polled when it was ready");
        self.shared.context.set(context);
        // SAFETY: the store is borrowed by this future. Only cells of it are used here.
        let (fiber, obstacles, vm) =
            unsafe { (&(*self.store).fiber, &(*self.store).obstacles, (*self.store).vm.get()) };
        let outer = set_fiber(fiber, obstacles, &raw const *self.shared as usize);
        // SAFETY: `leave_fiber` follows on this thread, before anything else enters or leaves compiled code here.
        let outcome = unsafe {
            let running = thread::enter_fiber(&mut self.thread, vm);
            let outcome = coroutine.resume(());
            thread::leave_fiber(&mut self.thread, running, vm);
            outcome
        };
        set_fiber(fiber, obstacles, outer);
        self.shared.context.set(ptr::null_mut());
        match outcome {
            CoroutineResult::Yield(()) => None,
            CoroutineResult::Return(outcome) => {
                let stack = self.coroutine.take().map(Coroutine::into_stack);
                self.engine.give_back_stack(stack.expect("it was running"));
                Some(outcome)
            }
        }
    }
}

impl<R> Future for FiberFuture<'_, R> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        match self.resume(ptr::from_mut(context).cast()) {
            None => Poll::Pending,
            Some(Ok(result)) => Poll::Ready(result),
            Some(Err(panic)) => resume_unwind(panic),
        }
    }
}

impl<R> Drop for FiberFuture<'_, R> {
    fn drop(&mut self) {
        // One that has not begun owns what it would run, and drops it.
        while self.coroutine.as_ref().is_some_and(Coroutine::started) {
            // The result, an error or a panic, is of no interest to anyone.
            drop(self.resume(ptr::null_mut()));
        }
    }
}
