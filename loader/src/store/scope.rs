//! How long handles of external values keep them.

use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;

use anyhow::{Context, Result};

use super::{AsContext, AsContextMut, StoreContext, StoreContextMut, StoreId};
use crate::value::ExternRef;

/// A part of a program: handles of external values that are given within it keep their values until it ends. It stands for the
/// store that it was made of.
pub struct RootScope<C: AsContextMut> {
    store: C,
    roots: usize,
}

impl<C: AsContextMut> RootScope<C> {
    /// Begins here; ends when it is dropped.
    pub fn new(store: C) -> Self {
        let roots = store.as_context().0.opaque.extern_refs.root_count();
        Self { store, roots }
    }
}

impl<C: AsContextMut> Drop for RootScope<C> {
    fn drop(&mut self) {
        self.store.as_context_mut().0.opaque.extern_refs.unroot(self.roots);
    }
}

impl<C: AsContextMut> AsContext for RootScope<C> {
    type Data = C::Data;

    fn as_context(&self) -> StoreContext<'_, Self::Data> {
        self.store.as_context()
    }
}

impl<C: AsContextMut> AsContextMut for RootScope<C> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, Self::Data> {
        self.store.as_context_mut()
    }
}

impl<C: AsContextMut> fmt::Debug for RootScope<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootScope").field("roots", &self.roots).finish_non_exhaustive()
    }
}

/// A handle that keeps its value until it, and every copy that was cloned from it, is dropped, whatever scopes end.
pub struct OwnedRooted<T> {
    store: StoreId,
    number: u64,
    token: Arc<()>,
    object: PhantomData<fn() -> T>,
}

impl<T> Clone for OwnedRooted<T> {
    fn clone(&self) -> Self {
        let (store, number, token) = (self.store, self.number, self.token.clone());
        Self { store, number, token, object: PhantomData }
    }
}

impl<T> fmt::Debug for OwnedRooted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedRooted").field("number", &self.number).finish_non_exhaustive()
    }
}

impl OwnedRooted<ExternRef> {
    /// Keeps the value of a handle.
    ///
    /// # Errors
    /// If it was collected.
    ///
    /// # Panics
    /// If it belongs to another store.
    pub fn new(mut store: impl AsContextMut, handle: ExternRef) -> Result<Self> {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(handle.store);
        let token = store.extern_refs.own(handle.number).context(crate::value::COLLECTED)?;
        Ok(Self { store: handle.store, number: handle.number, token, object: PhantomData })
    }

    /// A handle of the value, for the innermost scope.
    ///
    /// # Panics
    /// If it belongs to another store.
    pub fn to_rooted(&self, mut store: impl AsContextMut) -> ExternRef {
        let store = &mut store.as_context_mut().0.opaque;
        store.check(self.store);
        store.extern_refs.root(self.number);
        ExternRef { store: self.store, number: self.number }
    }
}
