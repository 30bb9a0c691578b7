//! Stores: they own everything that instances consist of.
//!
//! ```text
//!   Store<T> ── Box<StoreInner<T>> ─┬─ StoreOpaque ─┬─ VmStoreCtx            first, so that its address is the store's
//!                                   │               ├─ instances             each owns its slot (context, memory 0)
//!                                   │               ├─ memories, tables      owners of definitions
//!                                   │               ├─ globals, host functions, external references
//!                                   │               └─ modules               what keeps code mapped
//!                                   ├─ data: T
//!                                   └─ hooks                 limiter, call hook: functions of the data
//! ```
//!
//! Handles ([`crate::Func`], [`crate::Memory`], ...) are a store's number and an index or an address in it. They are checked
//! against the store they are used with, so what they lead to is alive. Nothing in a store refers to
//! another store, and nothing it owns refers back to it but the address in each context.

mod context;
mod epoch;
mod fuel;
mod hooks;
mod obstacles;
mod opaque;
mod references;
mod scope;

use core::fmt;

pub use context::{AsContext, AsContextMut, StoreContext, StoreContextMut};
pub use epoch::UpdateDeadline;
pub use hooks::CallHook;
#[cfg(feature = "async")]
pub use hooks::CallHookHandler;
pub(crate) use hooks::Growth;
pub(crate) use obstacles::Obstacle;
#[cfg(feature = "async")]
pub(crate) use obstacles::set_fiber;
pub(crate) use opaque::{
    InstanceData, MemoryAddresses, MemoryData, NO_TABLE, StoreId, StoreOpaque, TableData,
    restrict_again,
};

use hooks::Hooks;

pub use scope::{OwnedRooted, RootScope};

use crate::engine::Engine;
use crate::prelude::*;

/// Owns instances and all that belongs to them, and the host's data `T`. All is kept until the store
/// is dropped.
pub struct Store<T: 'static> {
    inner: Box<StoreInner<T>>,
}

/// What a store's handle leads to. Its address is that of its [`aotc_abi::vmctx::VmStoreCtx`].
#[repr(C)]
pub(crate) struct StoreInner<T: 'static> {
    pub(crate) opaque: StoreOpaque,
    pub(crate) data: T,
    hooks: Hooks<T>,
}

impl<T: 'static> Store<T> {
    /// A store with the host's `data`.
    pub fn new(engine: &Engine, data: T) -> Self {
        let (mut opaque, hooks) = (StoreOpaque::new(engine), Hooks::default());
        opaque.hook_keys::<T>();
        Self { inner: Box::new(StoreInner { opaque, data, hooks }) }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.inner.opaque.engine
    }

    /// The host's data.
    pub fn data(&self) -> &T {
        &self.inner.data
    }

    /// The host's data.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.inner.data
    }

    /// Drops the external values that nobody can reach any more: not through a table or global of the store, nor through a
    /// handle whose [`RootScope`] has not ended, nor an [`OwnedRooted`]. Values are also dropped from time to time when new ones
    /// are made. While WebAssembly of the store is on the stack, it may hold any of them, and nothing is dropped.
    ///
    /// `why` is of no use: it is there since Wasmtime's function takes an argument.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use aotc_loader::{Engine, ExternRef, RootScope, Store};
    ///
    /// # fn main() -> anyhow::Result<()> {
    /// let mut store = Store::new(&Engine::default(), ());
    /// let value = Arc::new(5);
    /// {
    ///     let mut scope = RootScope::new(&mut store);
    ///     ExternRef::new(&mut scope, value.clone())?;
    /// }
    /// assert_eq!(Arc::strong_count(&value), 2);
    /// store.gc(None);
    /// assert_eq!(Arc::strong_count(&value), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn gc(&mut self, why: Option<&core::convert::Infallible>) {
        let _ = why;
        self.inner.opaque.collect();
    }

    /// Drops everything but the host's data.
    pub fn into_data(self) -> T {
        let StoreInner { opaque, data, hooks } = *self.inner;
        drop((opaque, hooks));
        data
    }
}

impl<T: fmt::Debug> fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("data", &self.inner.data).finish_non_exhaustive()
    }
}
