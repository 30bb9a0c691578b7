//! What the embedder is asked and told: a store's limiter and its call hook.
//!
//! They are functions of the host's data, which the loader reaches through the address of the store: what asks knows a
//! [`StoreOpaque`] only.
//!
//! # Safety
//!
//! [`StoreOpaque::limiter`] and [`StoreOpaque::call_hook`] are set by a [`Store`] of the same data type, and a [`StoreOpaque`]
//! is always the first field of a [`StoreInner`] in its box. Whoever asks has the store's mutable borrow, and uses nothing
//! else of it meanwhile.
#![allow(unsafe_code, reason = "the data's type is not known where it is needed")]

use alloc::boxed::Box;
use core::fmt;

use anyhow::{Error, Result, bail};

use super::{Store, StoreContextMut, StoreInner, StoreOpaque};
#[cfg(feature = "async")]
use crate::fiber::FiberRef;
use crate::limits::ResourceLimiter;
#[cfg(feature = "async")]
use crate::limits::{BoxFuture, ResourceLimiterAsync};

/// Where a call crosses between the host and WebAssembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallHook {
    /// The host is about to call a function of an instance.
    CallingWasm,
    /// A function of an instance is about to return to the host, or trapped.
    ReturningFromWasm,
    /// A host function is about to be called.
    CallingHost,
    /// A host function is about to return.
    ReturningFromHost,
}

impl CallHook {
    /// Whether the host runs next.
    pub fn entering_host(&self) -> bool {
        matches!(self, Self::ReturningFromWasm | Self::CallingHost)
    }

    /// Whether the host ran before.
    pub fn exiting_host(&self) -> bool {
        matches!(self, Self::ReturningFromHost | Self::CallingWasm)
    }
}

/// A call hook that may wait; see [`Store::call_hook_async`]. The signature is that which `#[async_trait]` makes of an
/// asynchronous function.
#[cfg(feature = "async")]
pub trait CallHookHandler<T: 'static>: Send {
    /// Is told that a call crosses between the host and WebAssembly.
    ///
    /// # Errors
    /// Any error ends the call.
    fn handle_call_event<'life0, 'life1, 'async_trait>(
        &'life0 self,
        store: StoreContextMut<'life1, T>,
        hook: CallHook,
    ) -> core::pin::Pin<Box<dyn Future<Output = Result<()>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait;
}

type LimiterOf<T> = Box<dyn (FnMut(&mut T) -> &mut dyn ResourceLimiter) + Send + Sync>;
#[cfg(feature = "async")]
type AsyncLimiterOf<T> = Box<dyn (FnMut(&mut T) -> &mut dyn ResourceLimiterAsync) + Send + Sync>;
type HookOf<T> = Box<dyn FnMut(StoreContextMut<'_, T>, CallHook) -> Result<()> + Send + Sync>;

/// How the limiter is found in the host's data.
pub(crate) enum Limiter<T> {
    Sync(LimiterOf<T>),
    #[cfg(feature = "async")]
    Async(AsyncLimiterOf<T>),
}

/// What is called when calls cross between the host and WebAssembly.
pub(crate) enum Hook<T: 'static> {
    Sync(HookOf<T>),
    #[cfg(feature = "async")]
    Async(Box<dyn CallHookHandler<T> + Send + Sync>),
}

/// The hooks of a store for data `T`.
pub(crate) struct Hooks<T: 'static> {
    limiter: Option<Limiter<T>>,
    call_hook: Option<Hook<T>>,
}

impl<T: 'static> Default for Hooks<T> {
    fn default() -> Self {
        Self { limiter: None, call_hook: None }
    }
}

/// What a limiter is asked.
pub(crate) enum Question {
    MemoryGrowing(Growth),
    MemoryGrowFailed(Error),
    TableGrowing(Growth),
    TableGrowFailed(Error),
}

/// A growth: in bytes for memories, in elements for tables.
#[derive(Clone, Copy)]
pub(crate) struct Growth {
    pub(crate) current: usize,
    pub(crate) desired: usize,
    pub(crate) maximum: Option<usize>,
}

/// A limiter, for any data: what asks it, and what it said of counts.
#[derive(Clone, Copy)]
pub(crate) struct AnyLimiter {
    /// # Safety
    /// The first argument is the address of the store; see the file's contract.
    ask: unsafe fn(u64, Question) -> Result<bool>,
    instances: usize,
    tables: usize,
    memories: usize,
}

/// A call hook, for any data.
///
/// # Safety
/// As [`AnyLimiter::ask`].
pub(crate) type AnyHook = unsafe fn(u64, CallHook) -> Result<()>;

impl<T: 'static> Store<T> {
    /// Sets the limiter, which is found in the host's data: it is asked before memories and tables are made or grow. The
    /// limits of counts are read now.
    ///
    /// ```
    /// use aotc_loader::{Engine, Memory, MemoryType, Store, StoreLimits, StoreLimitsBuilder};
    ///
    /// # fn main() -> anyhow::Result<()> {
    /// struct Host {
    ///     limits: StoreLimits,
    /// }
    /// let limits = StoreLimitsBuilder::new().memory_size(1 << 20).memories(1).build();
    /// let mut store = Store::new(&Engine::default(), Host { limits });
    /// store.limiter(|host| &mut host.limits);
    /// let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
    /// assert!(memory.grow(&mut store, 15).is_ok());
    /// assert!(memory.grow(&mut store, 1).is_err());
    /// assert!(Memory::new(&mut store, MemoryType::new(1, None)).is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn limiter(
        &mut self,
        mut limiter: impl (FnMut(&mut T) -> &mut dyn ResourceLimiter) + Send + Sync + 'static,
    ) {
        let inner = &mut *self.inner;
        let found = limiter(&mut inner.data);
        let (instances, tables, memories) = (found.instances(), found.tables(), found.memories());
        inner.opaque.limiter = Some(AnyLimiter { ask: ask::<T>, instances, tables, memories });
        inner.hooks.limiter = Some(Limiter::Sync(Box::new(limiter)));
    }

    /// Sets a limiter that may wait. From then on the store is used through the `*_async` functions only.
    #[cfg(feature = "async")]
    pub fn limiter_async(
        &mut self,
        mut limiter: impl (FnMut(&mut T) -> &mut dyn ResourceLimiterAsync) + Send + Sync + 'static,
    ) where
        T: Send,
    {
        let inner = &mut *self.inner;
        let found = limiter(&mut inner.data);
        let (instances, tables, memories) = (found.instances(), found.tables(), found.memories());
        inner.opaque.limiter = Some(AnyLimiter { ask: ask::<T>, instances, tables, memories });
        inner.opaque.obstacles.add(super::Obstacle::Async);
        inner.hooks.limiter = Some(Limiter::Async(Box::new(limiter)));
    }

    /// Sets what is called whenever a call crosses between the host and WebAssembly. Its error ends the call: before a
    /// function it is not called, and behind it its results are dropped. A host function that the host calls itself is not
    /// a crossing into WebAssembly.
    pub fn call_hook(
        &mut self,
        hook: impl FnMut(StoreContextMut<'_, T>, CallHook) -> Result<()> + Send + Sync + 'static,
    ) {
        self.inner.opaque.set_call_hook(call_hook::<T>);
        self.inner.hooks.call_hook = Some(Hook::Sync(Box::new(hook)));
    }

    /// Sets a call hook that may wait. From then on the store is used through the `*_async` functions only.
    #[cfg(feature = "async")]
    pub fn call_hook_async(&mut self, hook: impl CallHookHandler<T> + Sync + 'static)
    where
        T: Send,
    {
        self.inner.opaque.set_call_hook(call_hook::<T>);
        self.inner.opaque.obstacles.add(super::Obstacle::Async);
        self.inner.hooks.call_hook = Some(Hook::Async(Box::new(hook)));
    }
}

/// Asks the limiter of the store at `store`.
///
/// # Safety
/// The file's contract: the store is one of `T`, borrowed by the caller.
unsafe fn ask<T: 'static>(store: u64, question: Question) -> Result<bool> {
    let inner = store as *mut StoreInner<T>;
    // SAFETY: the caller's promise. The fields are others than the one that the caller has borrowed.
    let (data, limiter) = unsafe { (&mut (*inner).data, &mut (*inner).hooks.limiter) };
    match limiter.as_mut().expect("it is asked because it was set") {
        Limiter::Sync(find) => {
            let limiter = find(data);
            match question {
                Question::MemoryGrowing(Growth { current, desired, maximum }) => {
                    limiter.memory_growing(current, desired, maximum)
                }
                Question::TableGrowing(Growth { current, desired, maximum }) => {
                    limiter.table_growing(current, desired, maximum)
                }
                Question::MemoryGrowFailed(error) => {
                    limiter.memory_grow_failed(error).map(|()| false)
                }
                Question::TableGrowFailed(error) => {
                    limiter.table_grow_failed(error).map(|()| false)
                }
            }
        }
        #[cfg(feature = "async")]
        Limiter::Async(find) => {
            let limiter = find(data);
            let answer: BoxFuture<'_, Result<bool>> = match question {
                Question::MemoryGrowing(Growth { current, desired, maximum }) => {
                    limiter.memory_growing(current, desired, maximum)
                }
                Question::TableGrowing(Growth { current, desired, maximum }) => {
                    limiter.table_growing(current, desired, maximum)
                }
                Question::MemoryGrowFailed(error) => {
                    return limiter.memory_grow_failed(error).map(|()| false);
                }
                Question::TableGrowFailed(error) => {
                    return limiter.table_grow_failed(error).map(|()| false);
                }
            };
            // SAFETY: as above; only a cell of it is read.
            let fiber = FiberRef::current(unsafe { &(*inner).opaque });
            let Some(fiber) = fiber else {
                bail!("the limiter may wait: use the `*_async` functions");
            };
            fiber.block_on(answer)?
        }
    }
}

/// Calls the hook of the store at `store`.
///
/// # Safety
/// As [`ask`].
unsafe fn call_hook<T: 'static>(store: u64, event: CallHook) -> Result<()> {
    let inner = store as *mut StoreInner<T>;
    // SAFETY: the caller's promise. The hook is taken out, since it gets the whole store.
    let Some(mut hook) = (unsafe { (*inner).hooks.call_hook.take() }) else {
        // There is none, and the store has a protection key; or it uses the store, and does not call itself.
        return Ok(());
    };
    // SAFETY: as above; the caller uses nothing of the store meanwhile.
    let store = StoreContextMut(unsafe { &mut *inner });
    let result = match &mut hook {
        Hook::Sync(hook) => hook(store, event),
        #[cfg(feature = "async")]
        Hook::Async(hook) => match FiberRef::current(&store.0.opaque) {
            Some(fiber) => {
                fiber.block_on(hook.handle_call_event(store, event)).and_then(|result| result)
            }
            None => Err(anyhow::anyhow!("the call hook may wait: use the `*_async` functions")),
        },
    };
    // SAFETY: as above.
    unsafe { (*inner).hooks.call_hook.get_or_insert(hook) };
    result
}

impl StoreOpaque {
    /// Whether the limiter, if there is one, allows a memory's growth.
    ///
    /// # Errors
    /// The limiter's.
    pub(crate) fn memory_may_grow(&mut self, growth: Growth) -> Result<bool> {
        self.ask(Question::MemoryGrowing(growth), true)
    }

    /// Whether the limiter, if there is one, allows a table's growth.
    ///
    /// # Errors
    /// The limiter's.
    pub(crate) fn table_may_grow(&mut self, growth: Growth) -> Result<bool> {
        self.ask(Question::TableGrowing(growth), true)
    }

    /// Tells the limiter that a memory did not grow.
    ///
    /// # Errors
    /// The limiter's.
    pub(crate) fn memory_did_not_grow(&mut self, error: Error) -> Result<()> {
        self.ask(Question::MemoryGrowFailed(error), false).map(|_| ())
    }

    /// Tells the limiter that a table did not grow.
    ///
    /// # Errors
    /// The limiter's.
    pub(crate) fn table_did_not_grow(&mut self, error: Error) -> Result<()> {
        self.ask(Question::TableGrowFailed(error), false).map(|_| ())
    }

    #[inline]
    fn ask(&mut self, question: Question, without: bool) -> Result<bool> {
        match self.limiter {
            None => Ok(without),
            // SAFETY: the file's contract: this is the store of the data that the limiter was set with.
            Some(limiter) => unsafe { (limiter.ask)(self.lend(), question) },
        }
    }

    /// Checks that the store may have as many more instances, memories and tables.
    ///
    /// # Errors
    /// If that is too many of one kind.
    pub(crate) fn check_counts(
        &self,
        instances: usize,
        memories: usize,
        tables: usize,
    ) -> Result<()> {
        let Some(limiter) = self.limiter else { return Ok(()) };
        let (held_memories, held_tables) = self.memory_and_table_count();
        for (what, count, limit) in [
            ("instance", self.instances.len() + instances, limiter.instances),
            ("memory", held_memories + memories, limiter.memories),
            ("table", held_tables + tables, limiter.tables),
        ] {
            if count > limit {
                bail!("resource limit exceeded: {what} count too high at {count}");
            }
        }
        Ok(())
    }

    /// Whether there is a limiter.
    pub(crate) fn has_limiter(&self) -> bool {
        self.limiter.is_some()
    }

    /// Whether there is a call hook.
    #[inline]
    pub(crate) fn has_call_hook(&self) -> bool {
        self.call_hook.is_some()
    }

    /// Makes calls of a store whose memories have a protection key cross with [`StoreOpaque::tell`], whoever is told. `T` is the
    /// type of the store's data.
    pub(super) fn hook_keys<T: 'static>(&mut self) {
        if self.key.is_some() {
            self.set_call_hook(call_hook::<T>);
        }
    }

    /// Tells the call hook, if there is one. When WebAssembly is called it may touch the memories of its store only, and when it
    /// has returned, the host all.
    ///
    /// # Errors
    /// The hook's. The host goes on then.
    #[inline]
    pub(crate) fn tell(&mut self, event: CallHook) -> Result<()> {
        match self.call_hook {
            None => Ok(()),
            Some(hook) => {
                if event == CallHook::ReturningFromWasm {
                    self.open_keys();
                }
                // SAFETY: the file's contract: this is the store of the data that the hook was set with.
                unsafe { hook(self.lend(), event) }?;
                if event == CallHook::CallingWasm {
                    self.restrict_keys();
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for AnyLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyLimiter").finish_non_exhaustive()
    }
}
